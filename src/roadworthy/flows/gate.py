"""Whether a release of the store keeps its gates: each line by its newest evidence, and what scans of it found."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from roadworthy.core.evidence import Measure
from roadworthy.core.gates import CHAMPION, FAIL, PASS, Gate, Judged, judge, overall
from roadworthy.core.measured import BEHAVIOUR, EVALUATION, PLAN, TESTS
from roadworthy.core.system import System
from roadworthy.errors import NotFound, nearest
from roadworthy.flows.evidence import evidence_of, measures_of
from roadworthy.flows.findings import items_of, scanned, still_open
from roadworthy.flows.releases import Vault, asked_release, load_project
from roadworthy.flows.waivers import standing
from roadworthy.ports import Store

DIGITS = 6  # of a fingerprint, at least, by which a finding is named
SUPPLIES = {  # the command that makes a kind of evidence which training does not
    PLAN: "roadworthy plan --rate R --keep", BEHAVIOUR: "roadworthy behave", TESTS: "roadworthy behave",
}  # fmt: skip


def declared_of(vault: Vault, name: str, system: str = "") -> tuple[str, System]:
    """The digest of a release, and what its own declaration says, its gates among it.

    `name` is its first hex digits; without them it is the newest release of the system. Raises NotFound, InputError,
    Refused for files that do not match their digest.
    """
    digest = asked_release(vault.store, system, name)
    return digest, load_project(digest, vault).system


def gate_release(vault: Vault, name: str, system: str, at: str) -> dict[str, Any]:
    """A release held against its gates, as plain data: see `declared_of` and `judged`."""
    digest, declared = declared_of(vault, name, system)
    return judged(vault.store, digest, declared, at)


def line_of(store: Store, release: str, declared: System, text: str) -> tuple[str, str]:
    """What a waiver of a line would be about, and the line as it is kept.

    A line of `gates` is about the release; a finding of a scan, by six or more digits of its fingerprint, about the
    system. Raises NotFound.
    """
    gates = {"".join(each.text.split()): each.text for each in declared.gates}
    if gate := gates.get("".join(text.split())):
        return release, gate
    prints = {each["fingerprint"] for scan in scanned(store, declared.name) for each in scan["items"]}
    found = [each for each in prints if each.startswith(text)] if len(text) >= DIGITS else []
    if len(found) == 1:
        return declared.name, found[0]
    raise NotFound(f"'{text}' is no gate of this release, and no finding of a scan",
                   hint=nearest(text, [*gates.values(), *prints]))  # fmt: skip


def judged(store: Store, release: str, declared: System, at: str) -> dict[str, Any]:
    """Every line with its verdict at a time (ISO 8601), and every finding of a scan that was kept, as plain data.

    It fails while a finding is open. Raises Refused for evidence that was edited.
    """
    evidence = evidence_of(store, release)
    measures = {id: measures_of(body) for id, body in evidence.items()}
    waivers = standing(store, release, at)
    lines = judge(declared.gates, measures, {line: each for line, each in waivers.items() if each["holds"]})
    findings = items_of(store, declared, at)
    verdict = FAIL if still_open(findings) else overall(lines)
    return {
        "release": release, "system": declared.name, "at": at, "verdict": verdict, "pass": verdict == PASS,
        "lines": [plain(each) for each in lines], "findings": findings,
        "waivers": [{"gate": line, **each} for line, each in waivers.items()],
        "evidence": {body["kind"]: id for id, body in evidence.items()},
    }  # fmt: skip


def broken(made: Mapping[str, Any]) -> list[str]:
    """What stands in the way of a release, in words: from the document of `judged`."""
    lines = [f"{each['gate']}: {each['verdict']}" + (f" before `{each['settled_by']}`" if each["settled_by"] else "")
             for each in made["lines"] if not each["kept"]]  # fmt: skip
    found = Counter(each["rule"] for each in still_open(made["findings"]))
    rules = ", ".join(f"{rule} ({count})" if count > 1 else rule for rule, count in found.items())
    return [*lines, f"open findings of a scan: {rules}"] if found else lines


def evidence_page(store: Store, release: str, declared: System, at: str) -> dict[str, Any]:
    """All that is known of a release: the newest evidence of each kind, its gates, and its waivers."""
    documents = [{"id": id, **body} for id, body in evidence_of(store, release).items()]
    return {"system": declared.name, "release": release, "documents": documents,
            "gates": judged(store, release, declared, at)}  # fmt: skip


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
