"""Schemas move forward: each store has a tuple of steps, and step i brings its tables from schema i to i + 1.

A step that was released is never changed; what has to change is a further step. The number of steps is the schema.
"""

from __future__ import annotations

from collections.abc import Sequence

from roadworthy.errors import StoreError

Step = Sequence[str]  # statements of SQL


def missing(steps: Sequence[Step], found: int, where: str, *, writes: bool) -> Sequence[Step]:
    """The steps that tables of schema `found` still need; `where` names the store in errors.

    Raises StoreError for a newer schema, and for an older one when the store may not be written to.
    """
    if found > len(steps):
        raise StoreError(
            f"{where}: expected schema {len(steps)}, got schema {found}",
            hint="a newer release of Roadworthy wrote it; upgrade this one",
        )
    if found < len(steps) and not writes:
        raise StoreError(
            f"{where}: expected schema {len(steps)}, got schema {found}",
            hint="an older release wrote it; a command that writes, such as `roadworthy serve`, brings it forward",
        )
    return steps[found:]


def foreign(where: str, names: Sequence[str], hint: str) -> StoreError:
    """The error of tables that are not those of a store."""
    return StoreError(f"{where}: expected the tables of a store, got {', '.join(sorted(names)) or 'none'}", hint=hint)
