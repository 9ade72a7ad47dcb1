"""What a live log teaches: the decided rows with the facts they were decided on, and what became known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from roadworthy.core import record
from roadworthy.core.aggregate import positions
from roadworthy.core.batch import Batch, Bools, Column, Floats, Ints, concat, microseconds, text
from roadworthy.core.decide import AUDIT
from roadworthy.core.draws import uniform
from roadworthy.core.outcomes import CORRECTION, REVIEW
from roadworthy.core.release import Release
from roadworthy.core.system import System
from roadworthy.core.views import facts_of
from roadworthy.core.watch.answers import SAMPLE
from roadworthy.core.weights import agreement, times, weights
from roadworthy.flows.decide import INPUT, OUTCOME
from roadworthy.flows.outcomes import input_rows
from roadworthy.flows.respond import UPTO, written
from roadworthy.flows.sharing import together
from roadworthy.flows.told import Told, labels, read
from roadworthy.flows.train import Examples
from roadworthy.ports import Item, Store


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """The decisions of a log. Arrays have shape (decisions,)."""

    rows: Batch
    facts: Batch
    at: Ints  # microseconds
    ids: list[bytes]
    release: Column  # digests, 32 bytes each
    action: Column
    audited: Bools
    looked: Bools  # people looked at it in a sample
    probability: Floats
    propensity: Floats  # the chance that its outcome could be seen, by its action, an audit or a sample
    labels: Floats  # what was said of each outcome comes to: 1, 0, or NaN
    sure: Floats  # how sure that is, 0 to 1
    rejected: int  # rows that broke their contract
    until: int  # microseconds: the newest thing that the log knows

    def take(self, mask: Bools) -> Decided:
        """Those of a mask."""
        kept = np.flatnonzero(mask)
        return Decided(
            self.rows.take(kept), self.facts.take(kept), self.at[kept], [self.ids[row] for row in kept.tolist()],
            self.release[kept], self.action[kept], self.audited[kept], self.looked[kept],
            self.probability[kept], self.propensity[kept],
            self.labels[kept], self.sure[kept], self.rejected, self.until,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.at)


def decided(store: Store, release: Release) -> Decided | None:
    """The decisions of a system's log, as a release reads them; None where there are none."""
    system, names = release.system, [fact.name for view in release.views for fact in facts_of(view)]
    rows, facts, headers, rejected = [], [], list[record.Header](), 0
    for entries in together(store.scan(system.name, INPUT)):
        items = [item for entry in entries for item in entry.items]
        found = [record.header_of(record.decode(item.record)) for item in items]
        made = [place for place, header in enumerate(found) if header.kind == "decision"]
        rejected += len(items) - len(made)
        if made:
            kept, fields = [items[place] for place in made], entries[0].fields
            rows.append(input_rows(release.contract, fields["input"], kept))
            facts.append(_facts(names, fields["facts"], kept))
            headers += [found[place] for place in made]
    if not headers:
        return None
    table, known = concat(rows), _labels(store, system)
    at = microseconds(table[system.decision.at])
    until = max(int(at.max()), *(header.known or 0 for header in headers), *(each.known for each in known.values()), 0)
    words = [known.get(header.id, SILENCE) for header in headers]
    found_labels = np.array([each.label for each in words], np.float64)
    if system.outcome.absent == "false":
        found_labels = np.where(np.isnan(found_labels) & (at + system.outcome.matures <= until), 0.0, found_labels)
    looked, missed = _in_samples(store, system, headers, known)
    propensity = np.array([header.propensity / record.QUANTUM for header in headers], np.float64)
    missing = np.nan
    return Decided(
        table, concat(facts), at, [header.id for header in headers],
        np.array([header.release for header in headers], object), text(header.action for header in headers),
        np.array([header.tier == AUDIT for header in headers], np.bool_), looked,
        np.array([missing if header.probability is None else header.probability / record.QUANTUM
                  for header in headers], np.float64),
        np.where(propensity < 1, 1 - (1 - propensity) * missed, propensity),
        found_labels, np.array([each.sure for each in words], np.float64), rejected, until + 1,
    )  # fmt: skip


def _in_samples(
    store: Store, system: System, headers: Sequence[record.Header], known: Mapping[bytes, Word]
) -> tuple[Bools, Floats]:
    """Which decisions people looked at in a sample, and for each the chance that no sample showed it.

    Of those whose action hid the outcome it is known how many people looked at: that is a part of the sample's chance.
    """
    number = np.array([header.seq for header in headers], np.int64)
    looked, missed = np.zeros(len(headers), np.bool_), np.ones(len(headers))
    for body in written(store, system.name):
        if body["what"] != SAMPLE or not isinstance(body["result"], dict) or UPTO not in body["result"]:
            continue
        cases = body["result"]["cases"]
        hidden = {bytes.fromhex(each["decision_id"]) for each in cases if each["action"] not in system.decision.reveals}
        told = hidden & set(known)
        looked |= np.array([header.id in told for header in headers], np.bool_)
        chance = body["result"]["chance"] * len(told) / max(len(hidden), 1)
        missed[number <= body["result"][UPTO]] *= 1 - chance
    return looked, missed


def _facts(names: Sequence[str], fields: Sequence[str], items: Sequence[Item]) -> Batch:
    """The facts of stored decisions; one that was not there then is missing."""
    bodies = [record.values(record.decode(item.record).parts[1].body) for item in items]
    stored = dict(zip(fields, zip(*bodies, strict=True), strict=True)) if bodies and bodies[0] else {}
    columns: dict[str, Column] = {}
    for name in names:
        values = stored.get(name, (None,) * len(items))
        columns[name] = (text(values) if any(isinstance(value, str) for value in values) else
                         np.array([np.nan if value is None else value for value in values], np.float64))  # fmt: skip
    return Batch(columns, len(items))


class Word(NamedTuple):
    """What was said about one outcome comes to."""

    known: int  # microseconds: when its last version was
    label: float
    sure: float


SILENCE = Word(0, float("nan"), 1.0)


def _labels(store: Store, system: System) -> dict[bytes, Word]:
    """What each outcome has come to by the system's policy, or by the verdicts of its reviewers alone."""
    told: dict[bytes, list[Told]] = {}
    for entry in store.scan(system.name, OUTCOME):
        for item in entry.items:
            version = read(item)
            told.setdefault(version.id, []).append(version)
    return {id: word_of(many, system) for id, many in told.items()}


def word_of(many: Sequence[Told], system: System) -> Word:
    """What the versions of an outcome, oldest first, come to for training.

    Where nobody but reviewers has spoken each has a vote, by Bayes' rule with their declared accuracy; one who spoke
    again has only the last. A table's word, or a person's correction, is sure.
    """
    known, label = many[-1].known, float(labels(many, system.outcome.conflict)[-1])
    last = {(each.kind, each.by if each.kind == REVIEW else None): each.value for each in _since_correction(many)}
    spoken = {whose: value for whose, value in last.items() if not np.isnan(value)}
    if system.reviewers is None or not spoken or any(kind != REVIEW for kind, _ in spoken):
        return Word(known, label, 1.0)
    true = np.array([sum(value == 1 for value in spoken.values())])
    found, sure = agreement(true, len(spoken) - true, system.reviewers.accuracy)
    return Word(known, float(found[0]), float(sure[0]))


def _since_correction(many: Sequence[Told]) -> Sequence[Told]:
    """From the last correction on, which settles what was said before it."""
    settles = [place for place, each in enumerate(many) if each.kind == CORRECTION]
    return many[settles[-1] :] if settles else many


def shown(release: Release, found: Decided) -> Bools:
    """Which decisions let their outcome be seen, by their action or because people looked at them in a sample."""
    return np.isin(found.action.astype(str), list(release.system.decision.reveals)) | found.looked


def examples(release: Release, found: Decided) -> Examples:
    """The decisions as training rows: each as often as it stands for, by the chance that its outcome could be seen.

    A label that the action hid is not used, whoever told it: such labels come from those who complain. One of a sample
    is, because its chance is known.
    """
    labels = np.where(shown(release, found), found.labels, np.nan)
    one = np.ones(len(found))
    drawn = np.array(uniform("learn", found.ids))
    stands_for = times(weights(found.propensity, one, one), drawn)
    sure = None if (found.sure == 1).all() else found.sure
    return Examples(found.rows, found.facts, found.at, labels, stands_for, sure)


def joined(before: Examples, ids: Column, log: Examples, log_ids: Column) -> Examples:
    """Examples of a history and of a log; a row of both is taken from the log, which knows what it was decided on."""
    other = positions(np.unique(log_ids), ids) < 0
    kept = before.take(other)

    def of_both(one: Batch, two: Batch) -> Batch:
        names = [name for name in one.names if name in two]
        return concat([one.select(names), two.select(names)])

    return Examples(
        of_both(kept.rows, log.rows), of_both(kept.facts, log.facts), np.concatenate([kept.at, log.at]),
        np.concatenate([kept.labels, log.labels]), np.concatenate([kept.stands_for, log.stands_for]),
        None if log.sure is None else np.concatenate([np.ones(len(kept)), log.sure]),
    )  # fmt: skip
