"""Whether a release of the store keeps its gates: its newest evidence, its waivers, and the verdict of each line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from roadworthy.core.evidence import Measure
from roadworthy.core.gates import CHAMPION, PASS, Gate, Judged, judge, overall
from roadworthy.core.measured import BEHAVIOUR, EVALUATION, PLAN, TESTS
from roadworthy.flows.evidence import evidence_of, measures_of
from roadworthy.flows.releases import Vault, asked_release, load_project
from roadworthy.flows.waivers import standing
from roadworthy.ports import Store

SUPPLIES = {  # the command that makes a kind of evidence which training does not
    PLAN: "roadworthy plan --rate R --keep", BEHAVIOUR: "roadworthy behave", TESTS: "roadworthy behave",
}  # fmt: skip


def gates_of(vault: Vault, name: str, system: str = "") -> tuple[str, str, tuple[Gate, ...]]:
    """The digest of a release, its system, and the gates that its own declaration has.

    `name` is its first hex digits; without them it is the newest release of the system. Raises NotFound, InputError,
    Refused for files that do not match their digest.
    """
    digest = asked_release(vault.store, system, name)
    declared = load_project(digest, vault).system
    return digest, declared.name, declared.gates


def gate_release(vault: Vault, name: str, system: str, at: str) -> dict[str, Any]:
    """A release held against its gates, as plain data: see `gates_of` and `judged`."""
    digest, owner, gates = gates_of(vault, name, system)
    return judged(vault.store, digest, owner, gates, at)


def judged(store: Store, release: str, system: str, gates: Sequence[Gate], at: str) -> dict[str, Any]:
    """Every line with its verdict at a time (ISO 8601), as plain data. Raises Refused for evidence that was edited."""
    evidence = evidence_of(store, release)
    measures = {id: measures_of(body) for id, body in evidence.items()}
    waivers = standing(store, release, at)
    lines = judge(gates, measures, {line: each for line, each in waivers.items() if each["holds"]})
    verdict = overall(lines)
    return {
        "release": release, "system": system, "at": at, "verdict": verdict, "pass": verdict == PASS,
        "lines": [plain(each) for each in lines],
        "waivers": [{"gate": line, **each} for line, each in waivers.items()],
        "evidence": {body["kind"]: id for id, body in evidence.items()},
    }  # fmt: skip


def evidence_page(store: Store, release: str, system: str, gates: Sequence[Gate], at: str) -> dict[str, Any]:
    """All that is known of a release: the newest evidence of each kind, its gates, and its waivers."""
    documents = [{"id": id, **body} for id, body in evidence_of(store, release).items()]
    return {"system": system, "release": release, "documents": documents,
            "gates": judged(store, release, system, gates, at)}  # fmt: skip


def plain(line: Judged) -> dict[str, Any]:
    """A judged line as a JSON object."""
    return {
        "gate": line.gate.text, "verdict": line.verdict, "kept": line.kept, "why": why(line),
        "measured": line.measure.plain() if line.measure else None, "evidence": line.evidence,
        "settled_by": SUPPLIES.get(line.gate.kind, "") if line.measure is None else "",
        "waiver": dict(line.waiver) if line.waiver else None,
    }  # fmt: skip


def why(line: Judged) -> str:
    """What a verdict rests on, in words, where the numbers do not say it."""
    gate, measure = line.gate, line.measure
    if measure is None:
        return f"there is no {gate.kind} evidence of it"
    if gate.rival == CHAMPION and measure.against != CHAMPION:
        return "no champion yet"
    return measure.why


def in_rehearsal(gates: Sequence[Gate], measures: Sequence[Mapping[str, Any]]) -> list[Judged]:
    """The gates over what an evaluation measured. Those on the machine or on tests are not part of a rehearsal.

    Times and memory would make a log depend on the machine that it was made on.
    """
    from_data = [gate for gate in gates if gate.kind == EVALUATION]
    return judge(from_data, {"": [Measure(**each) for each in measures]})
