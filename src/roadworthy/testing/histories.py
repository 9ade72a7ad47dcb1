"""Adversarial histories: everything that makes views hard, from one seed.

Ties at one instant, rows that come late, rows sent again under another id, keys and values that are missing, outcomes
that are corrected, taken back, early, late or nobody's, and another table with events of its own.
"""

from __future__ import annotations

import numpy as np

from roadworthy.core.batch import Batch, Column, Ints, batch, text
from roadworthy.core.outcomes import KINDS
from roadworthy.core.system import DAY
from roadworthy.core.views import Events, History, Outcomes, View, view

HOUR = DAY // 24
START = 1_522_540_800_000_000  # 2018-04-01
QUANTA = {"amount": 0.01, "outcome": 1.0}


def history(seed: int, rows: int = 40, keys: int = 4) -> History:
    """A history of about `rows` rows over a fortnight, always the same for the same seed."""
    rng = np.random.default_rng(seed)
    step = rng.choice([1, HOUR, DAY])  # by days nearly everything is a tie, by microseconds nearly nothing
    at = START + rng.integers(0, 14 * DAY, rows) // step * step
    known = at + _delays(rng, rows)
    known[rng.random(rows) < 0.2] -= DAY  # before it happened, which is taken as when it happened
    given = _rows(rng, rows, keys)
    again = rng.integers(0, rows, rows // 5)  # sent again later under another id, equal in content
    order = rng.permutation(rows + len(again))
    place = np.concatenate((np.arange(rows), again))[order]
    later = np.concatenate((np.zeros(rows, np.int64), rng.integers(0, 3 * DAY, len(again)) // HOUR * HOUR))[order]
    ids = _ids(rng, len(place))
    at, known = at[place], known[place] + later
    others = {"profile": _events(rng, rows, keys, step)}
    return History(given.take(place), at, known, ids, _outcomes(rng, at, ids), others)


def feed(seed: int, rows: int = 25, versions: int = 40) -> tuple[dict[str, Column], dict[str, Column]]:
    """The columns of decisions and of what was told of them: re-sent, late, early, torn, taken back, and nobody's.

    Ids come again in another release; entities are decided on more than once, also at one instant.
    """
    rng = np.random.default_rng(seed)
    step = int(rng.choice([1, HOUR, DAY]))
    each = np.arange(rows)
    made = START + np.sort(rng.integers(0, 9 * DAY, rows)) // step * step
    decisions = {"id": text(f"d{number % max(1, rows * 3 // 4)}" for number in each),
                 "release": text("a" if number < max(1, rows * 3 // 4) else "b" for number in each),
                 "entity": _words(rng, rows, "vwxyz"), "made": made}  # fmt: skip
    whose = rng.integers(0, max(rows, 1), versions if rows else 0)
    happened = made[whose] + rng.integers(-DAY, 4 * DAY, len(whose)) // step * step
    known = happened + rng.choice([-DAY, 0, 0, HOUR, 5 * DAY], len(whose))
    nobodys = rng.random(len(whose)) < 0.1
    told = {"id": np.where(nobodys, "nobody", decisions["id"][whose]).astype(object),
            "release": decisions["release"][whose], "happened": happened, "known": known,
            "entity": np.where(nobodys, "q", decisions["entity"][whose]).astype(object),
            "value": rng.choice([0.0, 1.0, 1.0, np.nan], len(whose)),
            "kind": text(rng.choice(list(KINDS), len(whose), p=[0.7, 0.2, 0.1]))}  # fmt: skip
    return decisions, told


def views() -> tuple[View, ...]:
    """Views that ask for every aggregate, over several windows and lags, with and without the row itself."""
    declared = {
        "plain": view(key="number", over=["1d", "7d"], count=True, sum="amount", mean="amount", distinct="shop"),
        "open": view(key="word", count=True, mean="amount", min="amount", max="amount", distinct="amount", empty=-1.0),
        "others": view(
            key="word", over=["6h", "3d"], include_self=False, count=True, since=True, last=["shop", "amount", "opened"]
        ),
        "lagged": view(key="number", over=["2d"], lag="1d", count=True, since=True, last="shop", sum="amount"),
        "risk": view(key="word", over=["1d", "7d"], lag="2d", count=True, mean="outcome", empty=0.0),
        "now": view(key="number", over="30d", sum="outcome", mean="outcome", max="outcome", last="outcome"),
        "large": view(
            key="word", over="7d", where="amount > 20", count=True, mean=["amount", "outcome"], min="outcome"
        ),
        "profile": view(
            key="word", source="profile", last=["level", "score"], count=True, since=True, distinct="level"
        ),
        "recent": view(
            key="word", source="profile", over="3d", lag="12h", where="score > 0", mean="score", min="score", count=True
        ),
    }
    return tuple(named(name, one) for name, one in declared.items())


def named(name: str, declared: View) -> View:
    """The view under the name of its variable, as reading `model.py` binds it."""
    return View(**{slot: getattr(declared, slot) for slot in View.__slots__ if slot != "name"}, name=name)


def _delays(rng: np.random.Generator, rows: int) -> Ints:
    late = rng.choice([0, 0, 0, 1, HOUR, DAY, 2 * DAY], rows)
    return np.where(rng.random(rows) < 0.1, rng.integers(0, 4 * DAY, rows), late).astype(np.int64)


def _rows(rng: np.random.Generator, rows: int, keys: int) -> Batch:
    number = rng.integers(0, keys, rows).astype(np.float64)
    number[rng.random(rows) < 0.1] = np.nan
    amount = np.round(rng.normal(20, 30, rows), 3)  # finer than its quantum
    amount[rng.random(rows) < 0.15] = np.nan
    opened = (START + rng.integers(0, 5, rows) * DAY).astype("datetime64[us]")
    opened[rng.random(rows) < 0.2] = np.datetime64("NaT")
    columns = {"number": number, "amount": amount, "opened": opened}
    return batch(columns | {"word": _words(rng, rows, "abcdefgh"[:keys]), "shop": _words(rng, rows, "xyz")})


def _words(rng: np.random.Generator, rows: int, letters: str) -> Column:
    return text(None if rng.random() < 0.1 else str(rng.choice(list(letters))) for _ in range(rows))


def _ids(rng: np.random.Generator, rows: int) -> Column:
    numbers = rng.permutation(rows)
    return text(f"id-{number}" for number in numbers) if rng.random() < 0.5 else numbers.astype(np.float64)


def _outcomes(rng: np.random.Generator, at: Ints, ids: Column) -> Outcomes | None:
    if rng.random() < 0.1:
        return None
    versions = int(1.5 * len(at))
    row = rng.integers(0, len(at), versions)
    known = at[row] + rng.choice([-DAY, 0, HOUR, DAY, 2 * DAY, 5 * DAY], versions)
    value = rng.choice([0.0, 1.0, 0.0, 1.0, np.nan], versions)
    whose = ids[row]
    whose[rng.random(versions) < 0.05] = "nobody" if ids.dtype == object else -1.0
    return Outcomes(whose, known, value)


def _events(rng: np.random.Generator, rows: int, keys: int, step: int) -> Events:
    count = int(rng.integers(0, rows))
    at = START + rng.integers(-DAY, 14 * DAY, count) // step * step
    score = np.round(rng.normal(1, 2, count), 1)
    score[rng.random(count) < 0.2] = np.nan
    columns = {"word": _words(rng, count, "abcdefgh"[:keys]), "level": _words(rng, count, "lmn"), "score": score}
    return Events(batch(columns), at, at + _delays(rng, count))
