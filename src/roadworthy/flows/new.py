"""New: from one table to a complete system that passes `check`, trains and rehearses without a line edited.

What the table says becomes contracts and features; what it cannot say (what a decision is worth, who answers) becomes
neutral proposals, marked DECIDE. The folder is written whole or not at all.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from roadworthy.core.batch import Column, missing
from roadworthy.errors import InputError
from roadworthy.flows.draft_system import Given, document, files_of
from roadworthy.flows.infer import Inferred
from roadworthy.flows.outputs import write_table
from roadworthy.flows.roles import KNOWN, Asked
from roadworthy.flows.study import Study, studied


def new(asked: Asked, given: Given | None = None) -> dict[str, Any]:
    """Write the folder of a new system; returns what was inferred, as a document. `given` takes the place of proposals.

    Raises InputError, and writes nothing, for a folder that holds something, columns that are not there, an id that
    repeats, times that cannot be read, and an outcome that is constant or has more than two values.
    """
    name = _name(asked.folder)
    _is_free(asked.folder)
    study = studied(name, asked)
    files = files_of(study, given)
    _written(study, files)
    return document(study, files, given)


def _name(folder: Path) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", folder.resolve().name.lower()).strip("-")[:60]
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise InputError(f"{folder}: expected a folder whose name begins with a letter, such as card-fraud")
    return name


def _is_free(folder: Path) -> None:
    if folder.is_dir():
        held = sorted(each.name for each in folder.iterdir())
        if held:
            shown = ", ".join(held[:5]) + (", ..." if len(held) > 5 else "")
            raise InputError(f"{folder}: expected an empty folder, or none", hint=f"it holds {shown}")
    elif folder.exists():
        raise InputError(f"{folder}: expected a folder, or nothing, got a file")


def _written(study: Study, files: Mapping[str, str]) -> None:
    """Put the files in their folder: in a folder beside it first, which then takes its name."""
    folder = study.asked.folder.resolve()
    unfinished = folder.with_name(f".{folder.name}.unfinished")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(unfinished, ignore_errors=True)
        for name, text in files.items():
            target = unfinished / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        _copies(study, unfinished / "data")
        unfinished.replace(folder)
    except OSError as error:
        raise InputError(f"{study.asked.folder} cannot be written: {error}") from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)


def _copies(study: Study, folder: Path) -> None:
    """The tables that the system needs beside the original file, if any."""
    outcome = study.asked.outcome
    if study.copied or study.outcome_copied:
        folder.mkdir()
    if study.copied:
        columns = {name: _stored(each) for name, each in study.columns.items()}
        write_table(folder / f"{study.name}.parquet", {**columns, outcome: _stored(study.outcome)})
    if study.outcome_copied and study.known is not None:
        id = study.columns[study.keys.id]
        columns = {study.keys.id: _stored(id), outcome: _stored(study.outcome), KNOWN: study.known.values}
        write_table(folder / "outcomes.parquet", columns)


def _stored(column: Inferred) -> Column:
    """A column as a file holds it: whole numbers as such where none is missing."""
    if column.field.logical_type in ("integer", "boolean") and not missing(column.values).any():
        return column.values.astype(np.int64 if column.field.logical_type == "integer" else np.bool_)
    return column.values
