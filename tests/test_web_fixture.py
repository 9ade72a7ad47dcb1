"""A rehearsal's report as the pages get it, made by a function, and a small house that has it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any

from roadworthy.core.openmetrics import Family
from roadworthy.errors import NotFound, nearest

HERE = Path(__file__).parent
SERVE = """
from test_web_fixture import FakeApp
from roadworthy.web.server import run
run(FakeApp(), port=0, ready=lambda url: print(url, flush=True))
print("stopped", flush=True)
"""
FIXTURE = Path(__file__).parent / "fixtures" / "report.json"
DAYS = 183
RELEASES = ("rule", "lightgbm", "lightgbm", "lightgbm", "lightgbm", "lightgbm")
SCHEMA = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "required": ["transaction_id", "tx_datetime", "customer_id", "terminal_id", "tx_amount"],
    "properties": {
        "transaction_id": {"type": "integer"},
        "tx_datetime": {"type": "string", "format": "date-time"},
        "customer_id": {"type": "integer"},
        "terminal_id": {"type": "integer"},
        "tx_amount": {"type": "number", "minimum": 0},
    },
}


def digest(name: object) -> str:
    """A digest that depends on the name alone."""
    return sha256(str(name).encode()).hexdigest()


def make_days(random: Random, starts: Sequence[int]) -> dict[str, Any]:
    """183 days of card payments: a rule for six weeks, then models that get a little better each time."""
    days: dict[str, Any] = {name: [] for name in ("date", "value", "do_nothing", "rule", "perfect", "decisions")}
    days["actions"] = {"approve": [], "review": [], "block": []}
    days |= {name: [] for name in ("cases", "worked", "expired", "capacity", "review_price")}
    for day in range(DAYS):
        losses = 9_000 * (0.55 + 0.45 * min(day / 50, 1)) * random.uniform(0.75, 1.3)
        rule = -losses * random.uniform(0.84, 0.92) - 260
        stage = sum(start <= day for start in starts) - 1
        value = rule if stage == 0 else -losses * random.uniform(0.36, 0.5) * (1.06 - 0.03 * stage) - 390
        decisions = 9_585 + int(random.gauss(0, 95))
        cases = random.randint(70, 96) if stage == 0 else random.randint(88, 122)
        worked = min(cases, 100)
        block = 0 if stage == 0 else random.randint(38, 62)
        for name, number in {
            "date": str(date(2018, 4, 1) + timedelta(day)), "value": round(value, 2), "do_nothing": round(-losses, 2),
            "rule": round(rule, 2), "perfect": 0.0, "decisions": decisions, "cases": cases, "worked": worked,
            "expired": cases - worked, "capacity": 100,
            "review_price": 0.0 if stage == 0 else round(random.uniform(1.5, 6), 2),
        }.items():  # fmt: skip
            days[name].append(number)
        for action, number in {"approve": decisions - cases - block, "review": cases, "block": block}.items():
            days["actions"][action].append(number)
    return days


def make_training(random: Random, stage: int, at: str) -> dict[str, Any]:
    """One training and its evidence."""
    ap, auc = 0.58 + 0.02 * stage + random.uniform(-0.01, 0.01), 0.93 + 0.005 * stage
    around = {"roc_auc": (auc, 0.012), "average_precision": (ap, 0.035),
              "card_precision_at_100": (0.27 + 0.01 * stage, 0.02), "calibration_error": (0.0021, 0.0006),
              "value_per_day": (-3_900.0 + 60 * stage, 420.0)}  # fmt: skip
    evidence = {
        name: {"estimate": round(middle, 4), "low": round(middle - half, 4), "high": round(middle + half, 4), "n": 478}
        for name, (middle, half) in around.items()
    }
    rows = 240_000 + 110_000 * stage
    return {"at": at, "rows": rows, "positives": rows // 118, "release": digest(f"release {stage}"), "kind": "lightgbm",
            "seconds": round(3 + stage * 0.8, 1), "evidence": evidence}  # fmt: skip


def make_bins() -> list[dict[str, Any]]:
    """A reliability table of a rare outcome."""
    table = [(0.0006, 0.0005, 21_400), (0.0014, 0.0017, 14_900), (0.004, 0.0035, 7_100), (0.011, 0.013, 2_600),
             (0.034, 0.029, 980), (0.09, 0.1, 420), (0.23, 0.21, 190), (0.48, 0.53, 130), (0.81, 0.78, 140),
             (0.97, 0.98, 160)]  # fmt: skip
    bins = []
    for predicted, observed, count in table:
        half = 1.96 * (observed * (1 - observed) / count) ** 0.5
        bins.append({"predicted": predicted, "observed": observed, "low": round(max(observed - half, 0), 5),
                     "high": round(min(observed + half, 1), 5), "count": count})  # fmt: skip
    return bins


def make_report() -> dict[str, Any]:
    """The whole document, the same on every run."""
    random = Random(0)
    starts = [0, *range(42, 170, 28)]
    days = make_days(random, starts)
    moments = [f"{date(2018, 4, 1) + timedelta(start)}T00:00:00Z" for start in starts]
    total = {name: round(sum(days[name]), 2) for name in ("value", "do_nothing", "rule", "perfect")}
    gain = (total["value"] - total["rule"]) / DAYS

    def daily(middle: float, half: float) -> dict[str, float]:
        low, high = round(middle - half, 2), round(middle + half, 2)
        return {"estimate": round(middle, 2), "low": low, "high": high, "level": 0.95}

    accuracies = [0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0]
    by_accuracy = [
        {"accuracy": each, "total": round(total["value"] - (0.95 - each) * 220_000, 2),
         "gain_over_rule": round(gain - (0.95 - each) * 220_000 / DAYS, 2)}
        for each in accuracies
    ]  # fmt: skip
    reasons = ["3 of the terminal's last 41 payments were fraud (7 days)", "amount is 6.4 times the customer's usual"]
    return {
        "system": "card-fraud", "currency": "EUR", "from": "2018-04-01T00:00:00Z",
        "until": "2018-10-01T00:00:00Z", "seed": 0,
        "decisions": sum(days["decisions"]), "rejections": 0,
        "actions": {action: sum(values) for action, values in days["actions"].items()},
        "reviews": {"capacity": sum(days["capacity"]), "worked": sum(days["worked"]), "expired": sum(days["expired"]),
                    "cases": sum(days["cases"])},
        "value": {"currency": "EUR", "total": total["value"], "per_day": daily(total["value"] / DAYS, 310),
                  "baselines": {name: total[name] for name in ("do_nothing", "rule", "perfect")},
                  "gain_over_rule": daily(gain, 265), "reviewer_accuracy": by_accuracy,
                  "unknown_outcomes": {"rows": 8_123, "low": total["value"] - 21_400, "high": total["value"] + 3_300}},
        "trainings": [make_training(random, stage, at) for stage, at in enumerate(moments) if stage],
        "releases": [{"at": at, "digest": digest(f"release {stage}"), "kind": kind}
                     for stage, (at, kind) in enumerate(zip(moments, RELEASES, strict=True))],
        "calibration": [{"release": digest("release 5"), "bins": make_bins()}],
        "days": days,
        "examples": [{"decision_id": digest(f"decision {n}")[:32], "action": action,
                      "at": f"2018-09-{20 + n}T14:0{n}:27Z", "reasons": reasons}
                     for n, action in enumerate(["block", "block", "review", "review"])],
        "assumptions": ["What is decided does not change what happens next: fraudsters do not adapt.",
                        "A reviewer is right in 95 % of the cases, 4 hours after the case was opened.",
                        "A case nobody reaches within 24 hours is approved.",
                        "Training sees only outcomes that the taken action revealed."],
        "log_digest": digest("log"), "seconds": 71.2,
    }  # fmt: skip


def make_decision(id: str, row: dict[str, Any], action: str = "approve") -> dict[str, Any]:
    """A decision as the desk answers it."""
    return {
        "decision_id": id, "system": "card-fraud", "release": digest("release 5"), "arm": "champion",
        "at": row.get("tx_datetime", "2018-09-20T14:00:27Z"), "action": action, "tier": None, "score": 0.913,
        "probability": 0.874, "confidence": 0.874, "interval": [0.82, 0.91], "prediction_set": None,
        "reasons": [
            {"feature": "terminal_mean_outcome_7d", "value": 0.0732, "contribution": 2.41,
             "text": "3 of the terminal's last 41 payments were fraud (7 days)"},
            {"feature": "amount_vs_usual", "value": 6.4, "contribution": 1.12,
             "text": "the amount is 6.4 times the customer's usual"},
            {"feature": "night", "value": 0, "contribution": -0.31, "text": "it is not at night"},
        ],
        "case_id": None, "fallback": False, "guardrails": [], "expected_value": -4.52,
        "timing": {"parse": 0.004, "prefetch": 0.021, "decide": 0.187, "commit": 0.402},
    }  # fmt: skip


class FakeDesk:
    """Decides by the amount, rejects what has none, and knows a repeat from a changed body."""

    def __init__(self) -> None:
        self.taken: dict[object, object] = {}
        self.threads: set[int] = set()

    def read(self, body: bytes) -> object | None:
        """A row that has what every payment has; all else needs care."""
        try:
            row = json.loads(body)
        except (ValueError, RecursionError):
            return None
        return row if isinstance(row, dict) and isinstance(row.get("tx_amount"), float) else None

    def decide(self, rows: list[object]) -> Sequence[dict[str, Any]]:
        """One answer a row, in order."""
        self.threads.add(threading.get_ident())
        return [self._decide(row) for row in rows]

    def outcomes(self, rows: list[object]) -> Sequence[dict[str, Any]]:
        """Every outcome is taken."""
        self.threads.add(threading.get_ident())
        return [{"status": 200, "body": {"taken": True, "row": row}} for row in rows]

    def coverage(self) -> dict[str, Any]:
        """Nothing came yet."""
        return {"counts": {"outcomes": 0}, "coverage": {"share": None}}

    def _decide(self, row: object) -> dict[str, Any]:
        if not isinstance(row, dict) or "tx_amount" not in row:
            fault = {"path": "tx_amount", "expected": "a number", "got": "nothing", "hint": "every payment has one"}
            return {"status": 422, "body": {"error": {"code": "input", "message": "1 fault", "faults": [fault]}}}
        if row["tx_amount"] == "crash":
            raise ZeroDivisionError("a secret of the inside")
        id = digest(row.get("transaction_id"))[:32]
        if self.taken.setdefault(id, row) != row:
            return {"status": 409, "body": {"error": {"code": "conflict", "message": "the body changed", "hint": ""}}}
        body = make_decision(id, row, "block" if row["tx_amount"] > 1000 else "approve")
        return {"status": 200, "body": body, "spent": (0.000004, 0.000021, 0.000187, 0.000402)}


def make_table() -> dict[str, Any]:
    """How a table stands that is late, whose source changed, and of which rows wait."""
    column = {"name": "tx_amount", "type": "number", "description": "payment amount", "classification": "",
              "missing": 3, "distinct": 4711, "min": 0.0, "max": 999.5, "mean": 53.6,
              "top": None}  # fmt: skip
    times = {"name": "paid_at", "type": "timestamp", "description": "", "classification": "personal", "missing": 0,
             "distinct": None, "min": "2018-04-01T00:00:31.000000Z", "max": None, "mean": None,
             "top": None}  # fmt: skip
    return {
        "table": "input", "contract": "payments@1.2.0", "source": "data/payments.parquet",
        "snapshot": {"digest": digest("snapshot"), "rows": 1_770_415, "made_at": "2018-10-01T00:00:00Z",
                     "version": 3, "pulled": {}},
        "newest_row": "2018-09-30T23:59:19Z", "refreshed": "2018-10-01T00:00:00Z", "every": 86_400_000_000,
        "due": "2018-10-02T00:00:00Z", "error": "", "late": ["the newest row is 3 d old; at most 1 d 6 h are promised"],
        "pull": {"number": 4, "state": "done", "counts": {}, "rules": [
                    {"name": "rowCount", "severity": "warning", "verdict": "fail"}]},
        "drift": ["column chanel: expected a column of the contract, got an unknown column (did you mean 'channel'?)"],
        "waiting": [{"path": "$.tx_amount", "expected": "a number >= 0", "count": 12, "first": []}],
        "columns": [column, times],
    }  # fmt: skip


class FakeOffice:
    """The history of one release that was approved, and its owners."""

    def history(self, system: str, at: str) -> dict[str, Any]:
        """Two changes, the last of them to live."""
        seen = {"id": "5f", "by": "risk@example.com", "authenticated": True, "at": "2026-01-02T00:00:00Z",
                "evidence": {"training": digest("evidence")}, "standing": None, "why": ""}  # fmt: skip
        changes = [
            {"number": number, "system": system, "release": digest("release 5"), "environment": "prod", "state": state,
             "from": before, "by": "ann@example.com", "authenticated": number > 1, "at": f"2026-01-0{number}T00:00:00Z",
             "approval": None, "why": "<b>better</b>"}
            for number, (before, state) in enumerate((("", "draft"), ("approved", "live")), 1)
        ]  # fmt: skip
        standing = [{"id": "5f", "by": "risk@example.com", "at": changes[0]["at"], "until": "2026-03-01T00:00:00Z"}]
        return {"system": system, "environment": "prod", "at": at, "live": {**changes[1], "approval": seen},
                "changes": changes, "standing": standing}  # fmt: skip

    def report(self, system: str, since: str, until: str) -> dict[str, Any]:
        """A report that says what it was asked for."""
        return {"system": system, "from": since, "until": until}

    def scorecard(self, system: str) -> dict[str, Any]:
        """A system of which little is known."""
        items = [{"id": "halt", "asks": "Was stopping it tried?", "verdict": "not enough data", "said": "it never was",
                  "supplies": f"roadworthy halt {system} --by NAME --why TEXT"},
                 {"id": "watched", "asks": "Do its monitors look at it?", "verdict": "pass", "said": "1 hour ago",
                  "supplies": ""}]  # fmt: skip
        part = {"property": "operational", "means": "it runs", "verdict": "not enough data", "passed": 1, "of": 2,
                "items": items}  # fmt: skip
        return {"system": system, "environment": "dev", "at": "2018-10-02T09:00:00Z", "release": digest("aa"),
                "verdict": "not enough data", "passed": 1, "of": 2, "properties": [part]}  # fmt: skip

    def owned(self, system: str) -> list[dict[str, Any]]:
        """One who has confirmed, and one who has not."""
        return [
            {"system": system, "part": "product", "name": "p@example.com", "confirmed": "2026-01-01T00:00:00Z",
             "until": "2026-04-01T00:00:00Z", "holds": True},
            {"system": system, "part": "on_call", "name": "o@example.com", "confirmed": None, "until": None,
             "holds": False},
        ]  # fmt: skip


class FakeApp:
    """A house with one system that was rehearsed and one that was not."""

    def __init__(self, reports: dict[str, Any] | None = None, reasons: Sequence[str] = ()) -> None:
        self.reports = {"card-fraud": make_report(), "tickets": None} if reports is None else reports
        self.reasons = list(reasons)
        self.desks = {name: FakeDesk() for name in self.reports}
        nothing = {"halted": False, "by": None, "at": None, "why": None, "history": []}
        self.halts: dict[str, Any] = {name: {"system": name, **nothing} for name in self.reports}

    @property
    def office(self) -> FakeOffice:
        """The office."""
        return FakeOffice()

    def systems(self) -> list[str]:
        """Their names."""
        return list(self.reports)

    def desk(self, system: str) -> FakeDesk:
        """The desk of a system."""
        return self._known(self.desks, system)

    def report(self, system: str) -> dict[str, Any] | None:
        """The newest rehearsal."""
        return self._known(self.reports, system)

    def data(self, system: str) -> list[dict[str, Any]]:
        """A table that is late and has rows in quarantine, and one that was never acquired."""
        self._known(self.reports, system)
        return [
            make_table(),
            {**make_table(), "table": "outcome", "snapshot": None, "pull": None, "late": [], "waiting": []},
        ]

    def ready(self) -> list[str]:
        """Why not."""
        return self.reasons

    def warnings(self) -> list[str]:
        """The systems that are halted."""
        return [f"{name} is halted by {body['by']}" for name, body in self.halts.items() if body["halted"]]

    def models(self) -> dict[str, Any]:
        """Models that are well."""
        return {name: {"kind": "lightgbm", "breaker": "closed", "late": 0} for name in self.reports}

    def rollout(self, system: str) -> dict[str, Any]:
        """There was none."""
        raise NotFound(f"{system} has had no rollout")

    def roll(self, system: str, what: str, release: str, by: str, why: str) -> dict[str, Any]:
        """There is none to change."""
        raise NotFound(f"no rollout of {system} is under way")

    def halted(self, system: str) -> dict[str, Any]:
        """How a halt stands."""
        return self._known(self.halts, system)

    def halt(self, system: str, by: str, why: str) -> dict[str, Any]:
        """Halt."""
        return self._halt(system, "halted", by, why, halted=True)

    def lift(self, system: str, by: str, why: str) -> dict[str, Any]:
        """Lift."""
        return self._halt(system, "lifted", by, why, halted=False)

    def _halt(self, system: str, what: str, by: str, why: str, *, halted: bool) -> dict[str, Any]:
        at, before = "2018-10-02T09:00:00Z", self.halted(system)
        now = {"halted": halted, "by": by if halted else None, "at": at, "why": why}
        entry = {"what": what, "by": by, "at": at, "why": why}
        self.halts[system] = {**before, **now, "history": [*before["history"], entry]}
        return self.halts[system]

    def measures(self) -> list[Family]:
        """One metric."""
        return [Family("roadworthy_halted", "gauge", "1 while the system is halted", [({"system": "card-fraud"}, 0)])]

    def gates(self, release: str) -> dict[str, Any]:
        """A release that passes, and one that does not."""
        if release not in {"aa", "bb"}:
            raise NotFound(f"there is no release '{release}'", hint=nearest(release, ("aa", "bb")))
        verdict = "pass" if release == "aa" else "not enough data"
        line = {"gate": "average_precision >= 0.50", "verdict": verdict, "kept": release == "aa", "why": "",
                "measured": None, "evidence": "", "waiver": None}  # fmt: skip
        return {"release": digest(release), "system": "card-fraud", "at": "2018-10-02T09:00:00Z", "verdict": verdict,
                "pass": release == "aa", "lines": [line], "findings": [], "waivers": [], "evidence": {}}  # fmt: skip

    def evidence(self, system: str) -> dict[str, Any]:
        """A system whose live release was measured, and one whose release was not."""
        if self._known(self.reports, system) is None:
            none = {**self.gates("aa"), "lines": []}
            return {"system": system, "release": digest("aa"), "documents": [], "gates": none}
        weak = {"name": "excess_log_loss", "value": 0.051, "low": 0.02, "high": 0.082, "n": 400,
                "slice": {"channel": "app", "tx_amount": "over 220"}}  # fmt: skip
        worst = {"name": "robustness_drop", "value": 0.674, "low": 0.6, "high": 0.728, "n": 4425,
                 "why": "the worst: tx_amount x 100"}  # fmt: skip
        document = {"id": digest("evidence"), "kind": "evaluation", "made_at": "2018-10-02T09:00:00Z", "snapshots": {},
                    "code": digest("code"), "measures": [weak, worst]}  # fmt: skip
        return {"system": system, "release": digest("aa"), "documents": [document], "gates": self._held()}

    def _held(self) -> dict[str, Any]:
        """Gates of every verdict, one of them waived."""
        precision = {"name": "average_precision", "value": 0.813, "low": 0.774, "high": 0.853, "n": 48_085}
        worth = {"name": "value", "value": -1096.0, "low": -1344.0, "high": -871.0, "n": 48_085, "unit": "money"}
        apart = {"difference": -49.4, "difference_low": -134.1, "difference_high": 0.8}
        value = {**worth, "against": "champion", **apart}
        slow = {"name": "latency_p99", "value": 0.0612, "low": 0.0561, "high": 0.0702, "n": 400, "unit": "s"}
        waiver = {"by": "ann@example.com", "why": "a pilot", "until": "2018-11-01T23:59:59Z", "holds": True}
        found = (
            ("average_precision >= 0.50", "pass", "", precision, None),
            ("value >= champion", "not enough data", "", value, waiver),
            ("latency_p99 <= 50ms", "fail", "", slow, None),
            ("cost_per_1000 <= 20", "not enough data", "there is no plan evidence of it", None, None),
        )
        lines = [{"gate": gate, "verdict": verdict, "kept": verdict == "pass" or bool(waived), "why": why,
                  "measured": measure, "evidence": "", "waiver": waived}
                 for gate, verdict, why, measure, waived in found]  # fmt: skip
        waived = {"gate": "value >= champion", **waiver}
        seed = {
            "fingerprint": "ab" * 8, "rule": "no-seed", "title": "No seed", "level": "warning", "place": "a.py line 3",
            "found": "a random draw", "mend": "Set one.", "owner": "ann@example.com", "since": "2018-09-01T00:00:00Z",
            "waiver": None, "kept": False,
        }  # fmt: skip
        return {**self.gates("bb"), "verdict": "fail", "lines": lines, "waivers": [waived], "findings": [seed]}

    def contract_schema(self, system: str) -> dict[str, Any]:
        """The input row of payments, for every system."""
        return self._known(dict.fromkeys(self.reports, SCHEMA), system)

    def find(self, system: str, caller_id: str) -> str:
        """Every number is a decision."""
        self._known(self.reports, system)
        if not caller_id.isdigit():
            raise NotFound(f"{system} has no decision on '{caller_id}'")
        return digest(int(caller_id))[:32]

    def trace(self, id: str) -> dict[str, Any]:
        """A trace of every well-formed id."""
        if len(id) != 32:
            raise NotFound(f"no decision '{id}'", hint="an id has 32 hexadecimal digits")
        row = {"transaction_id": 1704831, "tx_datetime": "2018-09-20T14:00:27Z", "customer_id": 596,
               "terminal_id": 3156, "tx_amount": 221.35, "note": "<script>alert(1)</script>"}  # fmt: skip
        parts = [{"name": name, "hash": digest(name), "key_id": None} for name in ("input", "facts", "reasons")]
        shares = [{"feature": "amount_vs_usual", "text": "amount against usual", "value": 6.4, "contribution": 3.1},
                  {"feature": "tx_amount", "text": None, "value": 221.35, "contribution": -0.25}]  # fmt: skip
        decision = make_decision(id, row, "block")
        explanation = {
            "reasons": decision["reasons"], "source": "record", "why": None, "no_contributions": None,
            "contributions": {"base": -0.5, "log_odds": 2.35, "features": shares},
        }  # fmt: skip
        return {
            "decision": decision, "explanation": explanation, "input": row,
            "facts": {"customer_count_7d": 12, "customer_mean_tx_amount_30d": 34.61, "terminal_mean_outcome_7d": 0.0732,
                      "terminal_mean_outcome_1d": None},
            "record": {"seq": 1_704_832, "leaf": digest("leaf"), "parts": parts},
            "release": {"digest": digest("release 5"), "kind": "lightgbm", "made_at": "2018-09-02T00:00:00Z",
                        "model": digest("model"), "contracts": {"transactions": digest("contract")},
                        "evidence": {"metrics": make_training(Random(1), 5, "2018-09-02T00:00:00Z")["evidence"]}},
            "outcomes": [{"value": True, "known": "2018-09-27T14:00:27Z"}], "store": "rehearsal",
        }  # fmt: skip

    @staticmethod
    def _known(table: dict[str, Any], system: str) -> Any:
        if system not in table:
            raise NotFound(f"no system '{system}'", hint=nearest(system, table))
        return table[system]


@contextmanager
def serving() -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """A real server process over the fake house: its address and the process; stopped at the end."""
    path = os.pathsep.join([str(HERE), str(HERE.parent / "src")])
    started = subprocess.Popen(
        [sys.executable, "-c", SERVE], stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    try:
        assert started.stdout is not None
        yield started.stdout.readline().strip(), started
    finally:
        started.send_signal(signal.SIGTERM)
        started.communicate(timeout=20)


def test_the_fixture_is_what_the_generator_makes() -> None:
    """The stored report equals the generated one, so that it is never edited by hand."""
    assert json.loads(FIXTURE.read_text()) == make_report()
