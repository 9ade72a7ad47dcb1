"""Assess: whether a use case is fit for AI, from one table. Nothing else of Roadworthy is needed: no home, no system.

Every draw is seeded by the digest of the file, so that the same data give the same answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from roadworthy.core.assess import enough, outcome, population, stability, upkeep, worth
from roadworthy.core.assess.answer import Answer, Overall, overall
from roadworthy.core.assess.curve import Curve, fit
from roadworthy.core.assess.left_out import left_out
from roadworthy.core.assess.rules import Rule, rules
from roadworthy.core.batch import Bools, Column, Floats, Ints
from roadworthy.core.calibrate import fit as calibrated
from roadworthy.core.confident import Suspects, suspects
from roadworthy.core.duplicates import contradictions
from roadworthy.core.expressions import MAX_LENGTH
from roadworthy.core.leakage import Strength, auc
from roadworthy.flows.assess_model import QUICK, encoded, out_of_fold, trained
from roadworthy.flows.assess_table import Prepared, Use, compiled, money_of, prepared
from roadworthy.flows.infer import infer
from roadworthy.tables import read_table

SIZES, REPEATS = 9, 3
LEAST_SIZE, LEAST_KIND = 60, 8  # rows of the smallest training, and of each outcome in it
RULE_ROWS, PAIR_ROWS = 20_000, 8_000
RELABEL = 100  # rows that are named to be labelled again
TIMES = (1 / 9, 1 / 3, 1, 3, 9)  # of the ratio of costs at which acting always and never cost the same
HOW = "paired bootstrap on rows that stayed out"


@dataclass(frozen=True, slots=True, eq=False)
class Assessment:
    """All that was found. `best` is the rule to run where no model is worth it."""

    use: Use
    prepared: Prepared
    verdict: Overall
    why: str
    answers: tuple[Answer, ...]
    ratios: tuple[worth.Ratio, ...]
    best: worth.Decided | None
    doubtful: tuple[str, ...]  # ids of rows to label again


@dataclass(frozen=True, slots=True, eq=False)
class _Fitted:
    """The model of the training rows: its test probabilities, its strength, its doubts, its learning curve."""

    matrix: Floats
    codes: list[int]
    probability: Floats
    strength: Strength
    doubts: Suspects
    curve: Curve


def assess(use: Use) -> Assessment:
    """Answer every question. Raises InputError for a table, a column or an expression that cannot be used."""
    found = prepared(use)
    if use.rule:
        compiled("--rule", use.rule, found.rows)
    if use.priced:
        money_of(use, found.rows)
    measured = outcome.measured(found.labels)
    if measured.verdict != "pass":
        verdict, why = overall([measured, _untold("worth", worth.QUESTION)], use.priced)
        return Assessment(use, found, verdict, why, (measured, *_rest(measured)), (), None, ())
    model = _fitted(found)
    contests, ratios, answer = _contested(use, found, model)
    a_day = use.per_day or (len(found.study.at) / max(found.span, 1.0) if found.span else 0.0)
    main = contests[len(contests) // 2]
    gain = main.gain if use.priced else None
    acts = _acts(use, found, model)
    answers = (
        measured,
        outcome.consistent(model.doubts, contradictions(found.features, found.truth.astype(np.float64))),
        outcome.soon(_delays(found), use.asked.matures, found.span),
        enough.enough(model.curve, model.strength, len(found.test)),
        answer if not use.priced else worth.worth(main, a_day, use.upkeep, use.currency, _how(found)),
        upkeep.frequent(gain, a_day, use.upkeep, use.currency),
        _population(use, found),
        _stable(found, model),
        upkeep.workflow(int(acts.sum()), len(acts), a_day, use.capacity),
        *_suspected(use, found, model),
    )
    verdict, why = overall(answers, use.priced)
    return Assessment(use, found, verdict, why, answers, tuple(ratios), main.best, _doubtful(found, model.doubts))


def _untold(id: str, question: str) -> Answer:
    return Answer(id, question, "not enough data", "too few outcomes are known", (), ())


def _rest(measured: Answer) -> list[Answer]:
    """The questions that cannot be answered before the first is."""
    rest = {
        "consistent": "Is it consistent?", "soon": "Is it known soon enough?", "enough": enough.QUESTION,
        "worth": worth.QUESTION, "population": population.QUESTION, "stable": stability.QUESTION,
    }  # fmt: skip
    return [Answer(id, question, "not enough data", "too few outcomes are known", (), measured.resolve)
            for id, question in rest.items()]  # fmt: skip


def _how(found: Prepared) -> str:
    split = "the latest 40 % of the rows" if found.span else "40 % of the rows, drawn"
    return f"{HOW} ({split}), by {'subject' if found.study.keys.subject else 'row'}"


def _fitted(found: Prepared) -> _Fitted:
    matrix, codes = encoded(found.features)
    train, test, seed = found.train, found.test, found.seed
    inside, truth = matrix[train], found.truth[train]
    folded = out_of_fold(inside, truth, codes, seed, 3)
    scores = trained(inside, truth, codes, seed)(matrix[test])
    probability = calibrated(folded, truth.astype(np.float64))(scores)
    doubts = suspects(truth, np.stack([1 - folded, folded], axis=1))
    return _Fitted(matrix, codes, probability, _area(scores, found.truth[test] == 1), doubts,
                   _curve(found, matrix, codes))  # fmt: skip


def _area(scores: Floats, truth: Bools) -> Strength:
    return auc(scores, truth) if truth.any() and not truth.all() else Strength(0.5, 0.0, 1.0)


def _curve(found: Prepared, matrix: Floats, codes: list[int]) -> Curve:
    """Losses (1 - AUC on the test rows) of models of ever more training rows."""
    train, test, draw = found.train, found.test, np.random.default_rng(found.seed)
    truth = found.truth[test] == 1
    rare = max(min(found.truth[train].mean(), 1 - found.truth[train].mean()), 1e-6)
    largest = int(0.9 * len(train))  # so that the repeats of the largest size differ, too
    smallest = max(LEAST_SIZE, int(LEAST_KIND / rare), largest // 64)
    sizes = np.unique(np.geomspace(min(smallest, largest), largest, SIZES).astype(np.int64))
    losses = np.empty((len(sizes), REPEATS))
    for place, size in enumerate(sizes.tolist()):
        for repeat in range(REPEATS):
            rows = draw.permutation(train)[:size]
            score = trained(matrix[rows], found.truth[rows], codes, found.seed + repeat, QUICK)
            losses[place, repeat] = 1 - _area(score(matrix[test]), truth).auc
    return fit(sizes.astype(np.float64), losses)


def _contested(use: Use, found: Prepared, model: _Fitted) -> tuple[list[worth.Contest], list[worth.Ratio], Answer]:
    """The model against the rules: in money where it is known, else for several ratios of costs."""
    if use.priced:
        contests = [_contest(use, found, model, money_of(use, found.rows))]
        return contests, [], worth.unpriced(worth.by_ratio([1.0], contests))
    base = float(found.truth.mean())
    ratios = [float(f"{(1 - base) / base * times:.2g}") for times in TIMES]
    one = np.ones(len(found.truth))
    contests = [_contest(use, found, model, worth.Money(ratio * one, -one)) for ratio in ratios]
    rows = worth.by_ratio(ratios, contests)
    return contests, rows, worth.unpriced(rows)


def _contest(use: Use, found: Prepared, model: _Fitted, money: worth.Money) -> worth.Contest:
    test, truth = found.test, found.truth == 1
    acts = money.take(test).acts(model.probability)
    rivals = _rivals(use, found, money.gain(truth))
    return worth.contest(acts, rivals, money.gain(truth)[test], truth[test], found.clusters[test])


def _rivals(use: Use, found: Prepared, gain: Floats) -> list[worth.Decided]:
    """The rules made on the training rows, never and always acting, and today's rule, as they act on the test rows."""
    known = [Rule("constant", "False"), Rule("constant", "True")]
    if use.rule:
        known.append(Rule("the rule of today", use.rule))
    return _tested(found, [*_made(found, found.plain, gain), *known])


def _made(found: Prepared, columns: Mapping[str, Column], gain: Floats) -> list[Rule]:
    rows = found.train
    if len(rows) > RULE_ROWS:
        rows = np.sort(np.random.default_rng(found.seed).choice(rows, RULE_ROWS, replace=False))
    return rules({name: column[rows] for name, column in columns.items()}, gain[rows])


def _tested(found: Prepared, made: Sequence[Rule]) -> list[worth.Decided]:
    rows = found.rows.take(found.test)
    return [worth.Decided(each.name, each.when, compiled("--rule", each.when, rows).fires(rows))
            for each in made if len(each.when) <= MAX_LENGTH]  # fmt: skip


def _suspected(use: Use, found: Prepared, model: _Fitted) -> list[Answer]:
    """What a rule would earn over columns that are left out as they may know the outcome; nothing without such."""
    names = [each.column for each in found.study.suspects
             if each.column in found.left_out and each.column in found.rows.names and each.kind != "id"
             and each.column.isidentifier() and found.rows[each.column].dtype.kind != "M"]  # fmt: skip
    if not names or not use.priced:
        return []
    money, truth, test = money_of(use, found.rows), found.truth == 1, found.test
    gain = money.gain(truth)
    made = _made(found, {**found.plain, **{name: found.rows[name] for name in names}}, gain)
    own = [each for each in _tested(found, made) if any(name in each.when for name in names)]
    if not own:
        return []
    best = max(own, key=lambda each: float(np.nansum(gain[test][each.acts])))
    ours = worth.Decided("the model", "", money.take(test).acts(model.probability))
    against = worth.contest(best.acts, [ours], gain[test], truth[test], found.clusters[test])
    read = [name for name in names if name in best.when]
    return [left_out(read, best.when, against, use.currency)]


def _acts(use: Use, found: Prepared, model: _Fitted) -> Bools:
    """Where the model acts on the test rows: by the money, or where both errors weigh alike in sum."""
    if use.priced:
        return money_of(use, found.rows).take(found.test).acts(model.probability)
    return np.asarray(model.probability > found.truth.mean())


def _delays(found: Prepared) -> Ints | None:
    known = found.study.known
    if known is None or not found.study.keys.at or len(known.values) != len(found.study.at):
        return None
    there = ~np.isnat(known.values)
    return known.values[there].astype("datetime64[us]").view(np.int64) - found.study.at[there]


def _doubtful(found: Prepared, doubts: Suspects) -> tuple[str, ...]:
    place = np.flatnonzero(doubts.suspect)
    place = place[np.argsort(-doubts.doubt[place], kind="stable")][:RELABEL]
    ids = found.rows[found.study.keys.id][found.train][place]
    return tuple(f"{each:.0f}" if isinstance(each, float) else str(each) for each in ids.tolist())


def _apart(first: dict[str, Column], second: dict[str, Column], seed: int) -> tuple[Strength, str]:
    """How well a classifier tells two sets of rows apart, and the column that alone does so best."""
    draw = np.random.default_rng(seed)
    both = {}
    picks = [np.sort(draw.permutation(len(next(iter(each.values()))))[:PAIR_ROWS]) for each in (first, second)]
    for name in first:
        both[name] = np.concatenate([first[name][picks[0]], second[name][picks[1]]])
    side = np.repeat([0, 1], [len(picks[0]), len(picks[1])])
    matrix, codes = encoded(both)
    found = auc(out_of_fold(matrix, side, codes, seed, 2, QUICK), side == 1)
    alone = {name: abs(_area(np.nan_to_num(matrix[:, place], nan=-1e18), side == 1).auc - 0.5)
             for place, name in enumerate(both)}  # fmt: skip
    told = max(alone, key=lambda name: alone[name], default="")
    return found, f"'{told}'" if told and found.low > 0.5 else ""


def _population(use: Use, found: Prepared) -> Answer:
    if use.population is None:
        return population.no_population()
    table = read_table(use.population)
    held = infer(table)
    own = {name: column for name, column in found.features.items() if name in found.rows.names}
    same = {name: held[name].values for name, column in own.items()
            if name in held and held[name].values.dtype == column.dtype}  # fmt: skip
    lacking = tuple(name for name in own if name not in same)
    if not same or table.length < 2 * LEAST_SIZE:
        step = f"bring at least {2 * LEAST_SIZE} rows with the columns {', '.join(list(own)[:8])}"
        said = f"{use.population.name} has {table.length:,} rows and {len(same)} of {len(own)} columns"
        return Answer("population", population.QUESTION, "not enough data", said, (), (step,))
    support = {name: own[name] for name in same}
    strength, told = _apart(support, same, found.seed)
    third = np.random.default_rng(found.seed).permutation(len(found.truth)) % 3 == 0
    usual = population.outside({name: column[third] for name, column in support.items()},
                               {name: column[~third] for name, column in support.items()})  # fmt: skip
    beyond = population.outside(same, support)
    return population.population(strength, len(found.truth) + table.length, beyond, usual, told, lacking)


def _stable(found: Prepared, model: _Fitted) -> Answer:
    if not found.span:
        return stability.unknown("the table has no time", "name the column of the row's own time: --at COL")
    third = len(found.truth) // 3
    later = stability.blocks(np.arange(third, len(found.truth)))
    truth = [found.truth[rows] == 1 for rows in later]
    own = found.truth[:third] == 1
    if not stability.enough([*truth, own]):
        step = "bring a longer history: 20 of each outcome are needed in each of five stretches"
        return stability.unknown("a stretch of the history has too few of one outcome", step)
    score = trained(model.matrix[:third], found.truth[:third], model.codes, found.seed)
    areas = [auc(score(model.matrix[rows]), each) for rows, each in zip(later, truth, strict=True)]
    columns = {name: column for name, column in found.features.items() if name in found.rows.names}
    apart = None
    if columns:
        apart, _ = _apart({name: each[:third] for name, each in columns.items()},
                          {name: each[-third:] for name, each in columns.items()}, found.seed)  # fmt: skip
    return stability.stability(areas, truth, apart)


def steps(answers: Sequence[Answer]) -> list[str]:
    """What would resolve what is open, each once, in the order of the questions."""
    return list(dict.fromkeys(step for each in answers if each.verdict != "pass" for step in each.resolve))
