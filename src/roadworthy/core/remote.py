"""A model that runs elsewhere, as data: `train` returns one, and its canonical bytes are the model of the release."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_args

import msgspec

from roadworthy.errors import InputError, Refused, nearest

Protocol = Literal["v2", "json"]
MOST_RETRIES = 0.1  # of the calls: a model that fails is not helped by twice the calls


class Probe(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A golden row: features by name (None: missing), and the score that they had when the release was made."""

    row: dict[str, float | str | None]
    score: float


class Remote(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a model is and how it is asked. Times are in seconds, money in the currency of the system."""

    url: str
    protocol: Protocol
    model: str  # of protocol v2: its name, version ("": the server's choice) and output ("": the first)
    version: str
    output: str
    timeout: float  # of one call
    rows: int  # the most rows of one call
    retries: float  # the share of extra calls
    cost_per_call: float
    cache_for: float  # how long an answer may be used again for the same input of the same subject; 0: never
    headers: dict[str, str]  # sent with each call; `${NAME}` is read from the environment, so no secret is kept
    probes: tuple[Probe, ...]
    tolerance: float  # how far a probe's score may be from the one expected
    probe_every: float


def remote(  # noqa: PLR0913  each is one line of the declaration
    url: str,
    *,
    protocol: Protocol = "v2",
    model: str = "",
    version: str = "",
    output: str = "",
    timeout: float = 1.0,
    rows: int = 256,
    retries: float = MOST_RETRIES,
    cost_per_call: float = 0.0,
    cache_for: float = 0.0,
    headers: Mapping[str, str] | None = None,
    probes: Iterable[tuple[Mapping[str, float | str | None], float]] = (),
    tolerance: float = 1e-6,
    probe_every: float = 600.0,
) -> Remote:
    """A model behind HTTP, to be returned by `train`. Raises InputError that names every mistake at once.

    `protocol` is `v2` (Open Inference Protocol: `url` is the server, `model` its model) or `json` (`url` is posted
    `{"rows": [...]}` and answers `{"scores": [...]}`). Each probe is a row of features and its expected score.
    """
    made = Remote(
        url=url, protocol=protocol, model=model, version=version, output=output, timeout=float(timeout), rows=rows,
        retries=float(retries), cost_per_call=float(cost_per_call), cache_for=float(cache_for),
        headers=dict(headers or {}), probes=tuple(Probe(dict(row), float(score)) for row, score in probes),
        tolerance=float(tolerance), probe_every=float(probe_every),
    )  # fmt: skip
    faults = _faults(made)
    if faults:
        raise InputError("\n".join(["the remote model cannot be used:", *(f"  {fault}" for fault in faults)]))
    return made


def canonical(made: Remote) -> bytes:
    """The bytes that stand for it in a release: JSON with sorted keys."""
    return msgspec.json.encode(made, order="sorted")


def of_bytes(data: bytes) -> Remote:
    """What these bytes declare. Raises Refused for anything that is not in its canonical form."""
    try:
        made = msgspec.json.decode(data, type=Remote)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Refused(f"expected the declaration of a remote model: {error}") from None
    if canonical(made) != data or _faults(made):
        raise Refused("the declaration of a remote model is not in its canonical form", hint="train it again")
    return made


def _faults(made: Remote) -> list[str]:
    """Every mistake, with what was expected and what came."""
    faults = []
    if not re.fullmatch(r"https?://[^/@\s?#]+(/[^\s?#]*)?(\?[^\s#]*)?", made.url):
        hint = " (a password belongs in `headers`, as ${NAME})" if "@" in made.url else ""
        faults.append(f"url: expected http:// or https:// and a host, got {made.url!r}{hint}")
    if made.protocol not in get_args(Protocol):
        hint = nearest(str(made.protocol), get_args(Protocol))
        faults.append(f"protocol: expected v2 or json, got {made.protocol!r}{f' ({hint})' if hint else ''}")
    if made.protocol == "v2" and not made.model:
        faults.append("model: expected the model's name on the server, got nothing")
    faults += _numbers(made)
    names = {tuple(sorted(probe.row)) for probe in made.probes}
    if len(names) > 1:
        faults.append("probes: expected the same features in each, got different ones")
    faults += [f"probes[{place}]: expected a score from 0 to 1, got {probe.score}"
               for place, probe in enumerate(made.probes) if not 0 <= probe.score <= 1]  # fmt: skip
    return faults


def _numbers(made: Remote) -> list[str]:
    bounds: Sequence[tuple[str, float, float]] = (
        ("timeout", 0.001, 600), ("rows", 1, 100_000), ("retries", 0, MOST_RETRIES), ("cost_per_call", 0, 1e9),
        ("cache_for", 0, 366 * 86_400), ("tolerance", 0, 1), ("probe_every", 1, 366 * 86_400),
    )  # fmt: skip
    values: list[tuple[str, Any, float, float]] = [(name, getattr(made, name), low, high) for name, low, high in bounds]
    return [f"{name}: expected a number from {low:g} to {high:g}, got {value}"
            for name, value, low, high in values if not (math.isfinite(value) and low <= value <= high)]  # fmt: skip
