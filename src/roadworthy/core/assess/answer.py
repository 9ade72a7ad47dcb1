"""What is answered: a question, one of three verdicts, the evidence, and what would resolve what is open."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["pass", "fail", "not enough data"]
Overall = Literal["ready", "ready with conditions", "use a rule", "not enough is known"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """A number with its 95 % interval, the rows it rests on, and how it was made. None is what cannot be known."""

    what: str
    estimate: float | None
    low: float | None
    high: float | None
    n: int
    how: str
    unit: Literal["share", "number", "money", "days", "area"] = "number"


@dataclass(frozen=True, slots=True)
class Answer:
    """One question answered. `resolve` are the commands or steps that would settle what is open."""

    id: str
    question: str
    verdict: Verdict
    said: str
    evidence: tuple[Evidence, ...] = ()
    resolve: tuple[str, ...] = ()

    def plain(self) -> dict[str, Any]:
        """As a JSON object."""
        return asdict(self)


BASIC = ("measured", "consistent")  # without these nothing else that is said can be relied on
NEEDED = ("measured",)


def overall(answers: Sequence[Answer], priced: bool) -> tuple[Overall, str]:
    """The verdict on the use case, and why in one sentence. `priced` says whether the money of errors is known."""
    by_id: Mapping[str, Answer] = {each.id: each for each in answers}
    for name in NEEDED:
        if by_id[name].verdict != "pass":
            return "not enough is known", by_id[name].said
    worth = by_id["worth"]
    if worth.verdict == "fail":
        return "use a rule", worth.said
    if worth.verdict != "pass" and not priced:
        return (
            "not enough is known",
            "name the costs: without the money of a miss and an alarm, nothing can be worth it",
        )
    if worth.verdict != "pass":
        return "not enough is known", worth.said
    left = [each for each in answers if each.verdict != "pass"]
    if not left:
        return "ready", "every question was answered with evidence"
    failed = sum(each.verdict == "fail" for each in left)
    said = [f"{failed} to mend"] * (failed > 0) + [f"{len(left) - failed} open"] * (len(left) > failed)
    return "ready with conditions", f"{worth.said}; conditions: {', '.join(said)}"
