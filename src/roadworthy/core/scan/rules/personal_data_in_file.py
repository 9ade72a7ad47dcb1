"""Tables with data of persons lie beside the code."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.core.personal import personal
from roadworthy.core.scan.finding import Hit, Rule, Sure
from roadworthy.core.scan.subject import Folder

ENOUGH = 0.9


def across(folder: Folder) -> Iterator[Hit]:
    """Each table with columns that are likely personal data."""
    for path, columns in sorted(folder.tables.items()):
        found = {name: held for name, values in columns.items() if name and (held := personal(name, values[:40]))}
        said = [f"{name} ({held.what})" for name, held in found.items() if held.classification == "personal"]
        if said:
            sure: Sure = "high" if any(held.sure >= ENOUGH for held in found.values()) else "medium"
            yield Hit(0, f"holds {', '.join(said[:5])}", sure, path)


RULE = Rule(
    id="personal-data-in-file",
    group="safety",
    level="warning",
    sure="medium",
    title="Data of persons beside the code",
    why="A copy in a project folder has no owner, no purpose and no date at which it is erased.",
    mend="Keep it where access is governed, work on a sample without names, and keep the file out of version control.",
    source="GDPR, Article 5(1)",
    across=across,
)
