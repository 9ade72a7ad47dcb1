"""Evidence: intervals that hold what they promise, slices and groups that are not noise, and what wrong inputs cost."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest
import small_world
from hypothesis import given
from hypothesis import strategies as st
from small_world import CHANGES, quiet

from roadworthy.cli import run
from roadworthy.core.batch import batch, text
from roadworthy.core.evidence import Estimate, Measure, estimate, estimate_sum, evidence_digest, exact, share
from roadworthy.core.groups import disparity, gap, posterior, prior_of, shrunk
from roadworthy.core.measured import EVALUATION, LATENCY, MEASURED, PLAN
from roadworthy.core.metrics.average_precision import average_precision
from roadworthy.core.metrics.calibration_slope import calibration_slope
from roadworthy.core.metrics.decisions import clustered_share, highest_a_day
from roadworthy.core.slices import binned, excess_loss, weak_slices
from roadworthy.flows.declare import read_system
from roadworthy.flows.evidence import EVIDENCE, evidence_of, measure, measures_of
from roadworthy.flows.evidence import evidence as evidence_document
from roadworthy.flows.latency import TIMES, latency, quantile, weight
from roadworthy.flows.train import Examples
from roadworthy.home import open_home
from roadworthy.runs import run_training
from roadworthy.stores import MemoryStore


def within(found: Estimate, truth: float) -> bool:
    """Whether an interval covers a number."""
    return found.low <= truth <= found.high


def ranked(rng, subjects=80, each=5):
    """Labels and scores of subjects who have a risk of their own: rows of one subject are alike."""
    risk = np.repeat(rng.normal(-2.0, 1.0, subjects), each)
    labels = (rng.random(len(risk)) < 1 / (1 + np.exp(-risk))).astype(float)
    return labels, 1 / (1 + np.exp(-(risk + rng.normal(0, 1, len(risk))))), np.repeat(np.arange(subjects), each)


def test_intervals_of_average_precision_cover_it():
    """Of 150 samples of clustered rows nearly 95 in 100 intervals cover the average precision of all rows."""
    rng = np.random.default_rng(0)
    labels, scores, _ = ranked(rng, 40_000)
    truth = average_precision(labels, scores, np.ones(len(labels)))
    covered = [within(estimate(average_precision, *ranked(rng)), truth) for _ in range(150)]
    assert np.mean(covered) >= 0.88


def test_intervals_of_value_cover_it():
    """Money with a heavy tail, clustered by subject: nearly 95 in 100 intervals cover what a day is worth."""
    rng, covered = np.random.default_rng(1), []
    subjects = np.repeat(np.arange(150), 4)
    for _ in range(400):
        level = np.repeat(rng.normal(0, 20, 150), 4)
        money = level + rng.gamma(0.5, 40.0, len(subjects)) - 30
        covered.append(within(estimate_sum(money, subjects, 5.0), -10 * len(subjects) / 5))
    assert np.mean(covered) >= 0.90


def test_intervals_of_shares_know_that_rows_of_one_subject_are_alike():
    """Clustered rows: the interval covers the share where one for independent rows is too narrow."""
    rng, aware, naive = np.random.default_rng(2), [], []
    for _ in range(1_000):
        rates = np.repeat(rng.beta(1, 3, 60), 8)
        hits, clusters = rng.random(480) < rates, np.repeat(np.arange(60), 8)
        aware.append(within(clustered_share(hits, clusters), 0.25))
        naive.append(within(share(int(hits.sum()), 480), 0.25))
    assert np.mean(aware) >= 0.93
    assert np.mean(naive) <= 0.85


def test_a_share_of_all_or_none_is_not_certain():
    """Three of three are no proof: the interval stays wide, and without rows there is none."""
    clusters = np.arange(3)
    assert clustered_share(np.ones(3, bool), clusters).low < 0.5
    assert clustered_share(np.zeros(3, bool), clusters).high > 0.5
    assert clustered_share(np.zeros(0, bool), clusters[:0]) == Estimate(None, None, None, 0)


def test_the_calibration_slope_is_the_one_that_was_put_in():
    """Probabilities that are twice as extreme as the truth have the slope one half, and its interval covers it."""
    rng, covered, found = np.random.default_rng(3), [], []
    for _ in range(200):
        truth = rng.normal(-1, 1, 600)
        labels = (rng.random(600) < 1 / (1 + np.exp(-truth))).astype(float)
        one = calibration_slope(labels, 1 / (1 + np.exp(-2 * truth)), np.arange(600))
        covered.append(within(one, 0.5))
        found.append(one.estimate)
    assert np.mean(covered) >= 0.91
    assert np.mean(found) == pytest.approx(0.5, abs=0.02)
    assert calibration_slope(labels, np.full(600, 0.5), np.arange(600)).estimate is None
    assert calibration_slope(np.zeros(600), truth, np.arange(600)).estimate is None
    assert calibration_slope(labels, np.append(truth[1:], np.nan), np.arange(600)).estimate is None


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3)), min_size=1, max_size=60), st.integers(1, 5))
def test_the_highest_of_a_day_are_as_many_as_people_can_work(rows, most):
    """No day has more than its capacity, and no row that is left out has a higher score than one that is in."""
    scores, day = np.array([score for score, _ in rows]), np.array([day for _, day in rows])
    chosen = highest_a_day(scores, day, most)
    for one in set(day.tolist()):
        inside, outside = scores[chosen & (day == one)], scores[~chosen & (day == one)]
        assert len(inside) == min(most, (day == one).sum())
        assert not len(outside) or inside.min() >= outside.max()


def sliced(rng, weak, rows=8_000):
    """A model that is right, or wrong for large amounts in the app: (bins, loss, halves)."""
    channel, amount = text(rng.choice(["web", "app", "shop"], rows).tolist()), rng.gamma(2.0, 50.0, rows)
    noise = [(f"noise{each}", rng.normal(size=rows)) for each in range(4)]
    probability = rng.beta(1, 8, rows)
    true = rng.random(rows) < probability
    planted = (channel == "app") & (amount > np.quantile(amount, 0.75))
    if weak:
        true = np.where(planted, rng.random(rows) < np.minimum(1, 3 * probability), true)
    bins = [binned(name, column) for name, column in (("channel", channel), ("amount", amount), *noise)]
    return bins, excess_loss(true.astype(float), probability), rng.random(rows) < 0.5


def test_a_weak_slice_is_found_and_named():
    """Where the probabilities are three times too low, the very crossing of two columns comes out first."""
    worst = weak_slices(*sliced(np.random.default_rng(4), weak=True))[0]
    assert worst.where["channel"] == "app"
    assert worst.where["amount"].startswith("over")
    assert worst.excess.low > 0


def test_noise_is_hardly_ever_a_weak_slice():
    """With right probabilities at most the promised share of evaluations confirms any of some hundred candidates."""
    found = [bool(weak_slices(*sliced(np.random.default_rng(seed), weak=False, rows=3_000))) for seed in range(80)]
    assert np.mean(found) <= 0.11  # 5 % promised; 9 of 80 would come by chance once in 50 times


@given(st.lists(st.one_of(st.none(), st.sampled_from("abcdefghijklm")), min_size=1, max_size=40))
def test_every_row_is_in_one_bin(values):
    """A column of texts has a code and words for each row, the missing and the rare ones too."""
    made = binned("channel", text(values))
    if made is None:
        assert len(set(values)) == 1
    else:
        words = [made.words[code] for code in made.codes.tolist()]
        assert all((word == "missing") == (value is None) for word, value in zip(words, values, strict=True))


def test_groups_of_one_rate_are_not_told_apart():
    """24 groups of 11 to 331 rows and one true rate: the raw gap is large, the shrunk one and the spread are not."""
    rng, raw, after, spread, zero = np.random.default_rng(5), [], [], [], []
    n = np.geomspace(11, 331, 24).astype(int)
    for seed in range(60):
        hits = rng.binomial(n, 0.3)
        draws = posterior(hits, n, prior_of(hits, n), seed)
        raw.append(np.ptp(hits / n))
        after.append(gap(draws, n.tolist()).estimate)
        found = disparity(hits, n, seed)
        spread.append(found.estimate)
        zero.append(found.low == 0)
    assert np.mean(raw) > 0.25
    assert np.mean(after) < 0.25 * np.mean(raw)
    assert np.median(spread) < 0.03
    assert np.mean(zero) > 0.85


def test_a_group_that_is_treated_otherwise_is_told():
    """A true spread of .1 is found, and a group of few rows is shrunk more than one of many."""
    rng = np.random.default_rng(6)
    n = np.array([4_000, 4_000, 4_000, 20])
    hits = np.append(rng.binomial(n[:3], [0.2, 0.3, 0.4]), 20)
    assert disparity(hits[:3], n[:3], 0).estimate == pytest.approx(0.1, abs=0.02)
    assert disparity(hits[:3], n[:3], 0).low > 0.05
    prior = prior_of(hits[:3], n[:3])
    rates = shrunk(hits, n, prior, posterior(hits, n, prior, 0))
    assert abs(rates[0].estimate - 0.2) < 0.02
    assert rates[3].estimate < 0.9
    assert disparity(hits[:1], n[:1], 0).estimate is None


def test_quantiles_of_times_have_the_ends_that_were_seen():
    """The interval of a median is two of the times; a high quantile of too few has no upper end."""
    times = np.arange(1, 401) / 1000
    median, high, few = quantile("a", times, 0.5), quantile("a", times, 0.99), quantile("a", times[:100], 0.99)
    assert (median.low, median.high) == pytest.approx((0.180, 0.221), abs=0.002)
    assert high.low < high.value < high.high <= 0.4
    assert [(each.value, each.n) for each in weight(b"model", 0)] == [(5, 1), (None, 0)]
    assert (few.low is not None, few.high) == (True, None)


def test_a_number_that_was_counted_is_its_own_interval():
    """An exact measure has no room for doubt, and a document's digest leaves out only when it was made."""
    assert exact("weak_slices", 3, 10) == Measure("weak_slices", 3.0, 3.0, 3.0, 10)
    assert exact("weak_slices", 3, 10).plain().keys() == {"name", "value", "low", "high", "n"}
    body = {"release": "a", "measures": [Measure("value", None, None, None, 0).plain()]}
    assert evidence_digest({**body, "made_at": "x"}) == evidence_digest({**body, "made_at": "y"})
    assert evidence_digest(body) != evidence_digest({**body, "release": "b"})


COLUMNS = """
      - name: channel
        logicalType: string
        physicalType: VARCHAR
        description: where it was paid
        required: true
        examples: [web]
      - name: region
        logicalType: string
        physicalType: VARCHAR
        description: where the customer lives
        classification: protected
        required: true
        examples: [north]
"""
GATES = """  - recall >= 0.5 where channel = web
  - value >= -1000 where channel = web
  - average_precision >= 0.1 where channel = fax
  - recall_gap <= 0.9
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A small world with a channel and a protected region."""
    folder = tmp_path_factory.mktemp("evidence")
    made = small_world.make_place(folder, changes={**CHANGES, "  - average_precision >= 0.50\n": GATES})
    contract = made.system / "contracts" / "transactions.odcs.yaml"
    contract.write_text(contract.read_text().rstrip() + COLUMNS)
    payments, frauds = small_world.columns(a_day=300)
    rng, rows = np.random.default_rng(0), len(payments["tx_amount"])
    channel = rng.choice(["web", "app"], rows)
    region = rng.choice(["north", "south", "far"], rows, p=[0.5, 0.4, 0.1])
    small_world.write_tables(made.data, {**payments, "channel": channel, "region": region}, frauds)
    return made


@pytest.fixture(scope="module")
def trained(place):
    """Its release, trained."""
    with open_home(place.home) as home:
        return run_training(home, read_system(place.system), place.data, seed=0, progress=quiet)


def documents(place, release, kind):
    """The evidence of a kind about a release."""
    with open_home(place.home, writes=False) as home:
        found = home.store.list(EVIDENCE)
    return [(id, body) for id, body in found if (body["release"], body["kind"]) == (release, kind)]


def measures(place, trained, name, **slice):
    """The measures of a name and slice."""
    ((_, body),) = documents(place, trained.release.digest, EVALUATION)
    return [each for each in measures_of(body) if each.name == name and each.slice == slice]


def test_every_measure_has_a_known_name_and_a_plausible_interval(place, trained):
    """Whatever a training measured can be named in a gate, and each interval lies around its number."""
    found = [each for kind in (EVALUATION, LATENCY, PLAN) for _, body in documents(place, trained.release.digest, kind)
             for each in measures_of(body)]  # fmt: skip
    plain = {each.name for each in found if not each.slice}
    told = {name for name, known in MEASURED.items() if known.kind in (EVALUATION, LATENCY, PLAN)}
    assert {each.name for each in found} <= told
    assert told - plain == {"excess_log_loss"}
    for each in found:
        if each.low is not None and each.value is not None:
            assert each.low <= each.value <= each.high, each


def test_categories_and_named_slices_are_measured(place, trained):
    """Each value of a declared category has its rates, once; what a gate asks of a slice is there, too."""
    for channel in ("web", "app"):
        rates = [measures(place, trained, name, channel=channel) for name in ("precision", "false_positive_rate")]
        assert all(each and each[0].n > 0 for each in rates)
    (web,) = measures(place, trained, "recall", channel="web")
    (value,) = measures(place, trained, "value", channel="web")
    assert 0.5 < web.low < web.high
    assert value.low < value.value < value.high
    (fax,) = measures(place, trained, "average_precision", channel="fax")
    assert (fax.value, fax.n) == (None, 0)


def test_small_groups_are_kept_and_not_ranked(place, trained):
    """A group with fewer than 30 true rows stands in the evidence and says so, and no gap is about it."""
    (far,) = measures(place, trained, "recall", region="far")
    assert "not ranked" in far.why
    assert all(each.n for each in measures(place, trained, "action_rate", region="north"))
    assert not measures(place, trained, "recall", region="missing")
    gaps = measures(place, trained, "recall_gap", region="*")
    assert gaps[0].n == sum(measures(place, trained, "recall", region=name)[0].n for name in ("north", "south"))


def test_wrong_inputs_cost_what_they_carry(place, trained):
    """Without the view of known frauds the ranking is lost; a column that no feature reads costs nothing."""
    (view,), (unread,) = (measures(place, trained, "robustness_drop", **{name: "missing"})
                          for name in ("terminal", "terminal_id"))  # fmt: skip
    (worst,) = measures(place, trained, "robustness_drop")
    assert view.low > 0.3
    assert (unread.value, unread.low, unread.high) == (0, 0, 0)
    assert worst.value >= view.value
    assert worst.why.startswith("the worst: ")
    assert not measures(place, trained, "robustness_drop", terminal_id="x 100")


def test_the_same_inputs_are_the_same_evidence(place, trained, tmp_path):
    """A training in another home on the same tables has the evaluation's very digest; times are apart from it."""
    with open_home(tmp_path / "home") as home:
        again = run_training(home, read_system(place.system), place.data, seed=0, progress=quiet)
    kinds = again.evidence["documents"]
    assert again.release.digest == trained.release.digest
    assert kinds[EVALUATION] == trained.evidence["documents"][EVALUATION]
    assert set(kinds) == {EVALUATION, LATENCY, PLAN}


def test_times_are_those_of_the_timer(trained):
    """Of a clock that moves a second a look, each decision took one second."""
    rows = small_world.columns()[0]
    clock = itertools.count()
    features = {name: np.zeros(70) for name in ("terminal_sum_outcome_14d", "terminal_count_14d", "customer_count_1d")}
    given_rows = batch({name: column[:70] for name, column in rows.items()})
    facts = batch({**features, "customer_mean_tx_amount_1d": np.zeros(70)})
    some = Examples(given_rows, facts, np.zeros(70, np.int64), np.zeros(70), np.ones(70, np.int64))
    found = latency(trained.release, some, 0.0, lambda: float(next(clock)))
    assert [(each.name, each.value, each.n) for each in found] == [
        (name, 1.0, TIMES) for name in ("latency_p50", "latency_p99", "latency_of_64_p50", "latency_of_64_p99")
    ]


def test_evidence_is_shown_and_told_as_json(place, trained, capsysbinary):
    """The command shows tables of all rows, of wrong inputs and of slices; `--json` has the documents themselves."""
    where = ("--home", str(place.home))
    assert run(["evidence", trained.release.digest[:10], *where]) == 0
    out = capsysbinary.readouterr().out.decode()
    for words in ("average precision", "over the baseline", "an input goes wrong", "terminal missing", "region far",
                  "not ranked", "latency p99", "gates: fail", "cost per 1000"):  # fmt: skip
        assert words in out, words
    assert run(["evidence", "--system", str(place.system), *where, "--json"]) == 0
    made = json.loads(capsysbinary.readouterr().out)
    assert {body["kind"]: body["id"] for body in made["documents"]} == trained.evidence["documents"]
    lines = {line["gate"]: line["verdict"] for line in made["gates"]["lines"]}
    assert lines["average_precision >= 0.1 where channel = fax"] == "not enough data"


def test_evidence_of_behaviour_is_read_like_all_other() -> None:
    """What `behave` and `goals` keep matches its digest, and its measures are read, whatever else they say."""
    store = MemoryStore()
    said = [measure("behaviour_violations", 0, 0, 0.1, 30, verdict="pass", wanted="at most 0")]
    document = evidence_document("ab" * 32, "cards", "behaviour", "2024-01-01T00:00:00Z", {}, "c", said)
    store.append([], [document])
    ((id, body),) = evidence_of(store, "ab" * 32).items()
    assert id == document[1]
    assert [(each.name, each.value, each.n) for each in measures_of(body)] == [("behaviour_violations", 0, 30)]
