"""A release beside its champion on the same rows: what both did, and what that was worth in every part of the rows."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

import numpy as np

from roadworthy.core.batch import Batch, Column, Floats, Ints
from roadworthy.core.release import Release
from roadworthy.core.slices import ALPHA, LEAST, binned
from roadworthy.core.system import System


def against(release: Release, rows: Batch, labels: Floats, subjects: Ints, mine: tuple[Column, Floats],
            theirs: tuple[Column, Floats]) -> dict[str, Any]:  # fmt: skip
    """Counts of both sides' actions, and the gain in each slice; a side is (actions, money), shape (rows,).

    `labels` are 1 or 0.
    """
    system = release.system
    return {
        "actions": _counts(system, mine[0]), "champion_actions": _counts(system, theirs[0]),
        "true": int(labels.sum()), "champion_value": float(theirs[1].sum()),
        "slices": slices(release, rows, subjects, mine[1] - theirs[1]),
    }  # fmt: skip


def _counts(system: System, actions: Column) -> Mapping[str, int]:
    return {name: int((actions == name).sum()) for name in system.decision.actions}


def slices(release: Release, rows: Batch, subjects: Ints, gain: Floats) -> list[dict[str, Any]]:
    """The gain in every bin of every column that says what a row is; intervals hold together (Bonferroni)."""
    apart = (release.system.decision.id, release.system.decision.at, release.system.decision.subject)
    bins = [found for name in rows.names if name not in apart and (found := binned(name, rows[name])) is not None]
    parts = [(f"{each.name} is {word}", each.codes == code) for each in bins for code, word in enumerate(each.words)]
    parts = [(said, mask) for said, mask in parts if mask.sum() >= LEAST]
    z = -NormalDist().inv_cdf(ALPHA / 2 / max(1, len(parts)))
    out = []
    for said, mask in parts:
        by_subject = np.bincount(subjects[mask], weights=gain[mask])
        total, error = float(gain[mask].sum()), float(np.sqrt((by_subject**2).sum()))
        out.append({"where": said, "gain": total, "low": total - z * error, "high": total + z * error})
    return out
