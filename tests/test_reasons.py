"""Reasons on demand: from the record and the release alone, and exactly what would have been stored."""

from __future__ import annotations

from dataclasses import replace

import lightgbm
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_decide import row
from test_laws import SYSTEM, OpenDesk
from test_models import booster, table

from roadworthy.core import record
from roadworthy.core.batch import Batch, coded
from roadworthy.core.contract import Contract, Field
from roadworthy.core.decide import decide, halt, route
from roadworthy.core.explain import Contributions, Reason, in_words
from roadworthy.core.features import Feature
from roadworthy.core.release import descriptions_of, sensitive_features
from roadworthy.core.views import view
from roadworthy.errors import Refused
from roadworthy.flows.answer import decide_rows, reasons_of
from roadworthy.flows.decide import INPUT
from roadworthy.flows.reasons import COMPUTED, NOTHING, STORED, explanation
from roadworthy.models import loader
from roadworthy.stores import MemoryStore
from roadworthy.testing import systems


def decided(desk):
    """The records of the decisions of a desk's log, with the names of their values."""
    for entry in desk.store.scan(SYSTEM, INPUT):
        for item in entry.items:
            stored = record.decode(item.record)
            if record.header_of(stored).kind == "decision":
                yield stored, entry.fields


def without(stored, place):
    """A record one of whose parts is as a decision without it would have it."""
    parts = tuple(record.Part(record.EMPTY) if each == place else part for each, part in enumerate(stored.parts))
    return record.Record(stored.header, parts)


def only(desk):
    """Opens the desk's release, and no other."""
    return {desk.release.digest: desk.release}.__getitem__


def one(given_row, release=None, system=None):
    """The record of a row decided alone, its names, and what opens its release."""
    made = release or systems.small_release(system=system or systems.small_system(audit=0.0))
    desk = OpenDesk(MemoryStore(), made).desk
    (answer,) = decide_rows(desk, [given_row])
    ((stored, fields),) = decided(desk)
    return answer["body"], stored, fields, only(desk)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32))
def test_recomputed_reasons_are_the_stored_ones(seed):
    """Of every decision with reasons, reasons computed from input and facts are the stored ones, byte for byte.

    The rows have missing values, categories that no training knew, and amounts that make model and features raise.
    """
    opened = OpenDesk(MemoryStore())
    opened.decide(systems.payments(seed, 60))
    explained = 0
    for stored, fields in decided(opened.desk):
        told = explanation(without(stored, 2), fields, only(opened.desk))
        if stored.parts[2].body != record.EMPTY:
            explained += 1
            assert told["source"] == COMPUTED
            values = [tuple(reason.values()) for reason in told["reasons"]]
            assert record.body(values) == stored.parts[2].body
        else:
            assert (told["source"] is None) == (record.header_of(stored).score is None)
            assert told["reasons"] or told["why"]
    assert explained


def test_a_decision_without_stored_reasons_gets_them_on_demand():
    """An approved payment has none in its answer and computed ones in its explanation; stored ones stay stored."""
    body, stored, fields, load = one(row(amount=40.0))
    told = explanation(stored, fields, load)
    assert (body["action"], body["reasons"], told["source"], told["why"]) == ("approve", [], COMPUTED, None)
    body, stored, fields, load = one(row(amount=300.0))
    told = explanation(stored, fields, load)
    assert (told["source"], told["reasons"]) == (STORED, body["reasons"])
    assert body["reasons"] == reasons_of(stored.parts[2].body) != []


@pytest.mark.parametrize(
    ("given_row", "release", "why"),
    [
        (row(amount=13.0), None, "the fallback was taken, without a score: RuntimeError"),
        (row(amount=17.0), None, "the fallback was taken, without a score: ArithmeticError in feature 'picky'"),
        (row(amount=40.0), systems.small_release(None), "today's rule decided: there was no model"),
        (row(amount=0.0, customer=None), systems.small_release(lambda rows: np.full(len(rows), 0.25)), NOTHING),
    ],
    ids=["model", "feature", "rule", "nothing"],
)  # fmt: skip
def test_what_has_no_reasons_says_why(given_row, release, why):
    """A fallback, a decision by the rule and a score that no feature lowers say why they have no reasons."""
    _, stored, fields, load = one(given_row, release)
    told = explanation(stored, fields, load)
    assert (told["reasons"], told["why"]) == ([], why)
    assert told["contributions"] is None
    assert told["no_contributions"]


def test_a_halted_decision_says_so():
    """A decision of a halted system has no reasons, because no model was asked."""
    desk = OpenDesk(MemoryStore()).desk
    desk.decide = lambda *given_work: decide(*given_work, (halt, route))
    decide_rows(desk, [row()])
    ((stored, fields),) = decided(desk)
    assert explanation(stored, fields, only(desk))["why"] == "the system was halted: no model was asked"


@pytest.mark.parametrize("place", [0, 1], ids=["input", "facts"])
def test_what_is_no_longer_kept_is_said(place):
    """Without the input or the facts there are no computed reasons, and no contributions, and it is said so."""
    _, stored, fields, load = one(row(amount=40.0))
    for gone in (record.Part(record.EMPTY), record.Part(b"", None), record.Part(stored.parts[place].body, "key-1")):
        parts = tuple(gone if each == place else part for each, part in enumerate(stored.parts))
        told = explanation(record.Record(stored.header, parts), fields, load)
        assert told["why"] == told["no_contributions"] == "the input or the facts of this decision are no longer kept"


def test_another_score_is_not_explained():
    """When the release gives another score here than it gave then, nothing is explained: it would mislead."""
    _, stored, fields, _ = one(row(amount=40.0))
    other = systems.small_release(lambda rows: np.full(len(rows), 0.25))
    why = explanation(stored, fields, lambda _: other)["why"]
    assert why.startswith("its release gives this row the score 0.25 here, and gave it 0.1")
    elsewhere = replace(other, manifest=systems.Manifest("payments", "remote", {}, {}))
    assert "runs elsewhere" in explanation(stored, fields, lambda _: elsewhere)["why"]

    def refused(digest):
        raise Refused(f"release {digest[:4]} was made with numpy 1")

    assert "cannot be opened here: release" in explanation(stored, fields, refused)["why"]


def test_contributions_add_up_to_the_score():
    """Contributions stand largest first and give the log-odds with their base; those that do not are left out."""

    def shares(rows):
        odds = np.log(0.25 / 0.75)
        return Contributions(np.full(len(rows), odds - 0.5), np.tile([0.2, -0.7, 1.0, 0, 0, 0, 0], (len(rows), 1)))

    release = replace(systems.small_release(lambda rows: np.full(len(rows), 0.25)), contributions=shares)
    _, stored, fields, load = one(row(), release)
    told = explanation(stored, fields, load)["contributions"]
    assert [each["contribution"] for each in told["features"]][:3] == [1.0, -0.7, 0.2]
    assert told["features"][0]["feature"] == release.manifest.features[2]
    total = told["base"] + sum(each["contribution"] for each in told["features"])
    assert total == pytest.approx(told["log_odds"]) == pytest.approx(np.log(1 / 3))
    broken = replace(release, contributions=lambda rows: replace(shares(rows), base=np.zeros(len(rows))))
    _, stored, fields, load = one(row(), broken)
    assert "does not add up" in explanation(stored, fields, load)["no_contributions"]


def test_features_of_sensitive_columns_are_no_reasons():
    """What is made of a column that is classified as sensitive, also through facts and features, is never a reason."""
    contract = Contract("p", "1.0.0", "p", (
        Field("sex", "string", classification="sensitive"), Field("mail", "string", classification="personal"),
        Field("amount", "number"),
    ))  # fmt: skip
    views = (
        replace(view(key="mail", over="1d", count=True, last="sex", include_self=False), name="own"),
        replace(view(key="sex", over="1d", mean="amount"), name="group"),
    )

    def made(name, *inputs):
        return Feature(name, inputs, lambda *columns: columns[0])

    features = (
        made("late", "coded"), made("coded", "sex", "amount"), made("plain", "amount"), Feature("mail", ("mail",)),
        Feature("own_last_sex_1d", ("own_last_sex_1d",)), Feature("own_count_1d", ("own_count_1d",)),
        Feature("group_mean_amount_1d", ("group_mean_amount_1d",)),
    )  # fmt: skip
    assert sensitive_features(contract, views, features) == {"late", "coded", "own_last_sex_1d", "group_mean_amount_1d"}
    silent = replace(systems.small_release(), never=frozenset({"amount"}))
    body, *_ = one(row(amount=300.0), silent)
    assert (body["action"], body["reasons"]) == ("block", [])


def test_a_column_is_called_what_its_contract_calls_it():
    """A column that is a feature as it is takes its business name, else its description, else its name in words."""
    fields = (Field("a_b", "number", business_name="Ab", description="no"), Field("c", "number", description="see."))
    contract = Contract("p", "1.0.0", "p", (*fields, Field("d_e", "number")))
    features = tuple(Feature(name, (name,)) for name in ("a_b", "c", "d_e"))
    words = descriptions_of(contract, (), features, Field("bad", "integer"))
    said = [in_words(Reason(feature.name, 2.0, 1.0, 0.1), words).partition(" is ")[0] for feature in features]
    assert said == ["Ab", "see", "d e"]


def test_a_feature_no_tree_splits_on_is_not_asked_about():
    """LightGBM's unread features change no score, and reasons without them are the same."""
    features, _ = table()
    model = loader("lightgbm").load(loader("lightgbm").save(booster(feature_contri=[1, 0, 1, 1], num_leaves=4)))
    assert model.unread() == [1]
    changed = features.with_columns({"age": features["age"] + 100})
    assert (model.predict(changed) == model.predict(features)).all()


def boosted():
    """The small system with a real booster, trained on its own rows: missing values and a category among them."""
    release, rows = systems.small_release(), systems.payments(1, 400)
    rows = rows.take((rows["amount"] > 20) & (rows["amount"] < 900))
    facts = {name: np.arange(len(rows)) % 5 * 1.0 for name in release.manifest.features if name not in rows}
    columns = {**rows.columns, **facts, "picky": rows["amount"] / 10}
    manifest = msgspec.structs.replace(
        release.manifest, reference={**release.manifest.reference, "amount": 60.0, "picky": 6.0}
    )
    features = Batch({name: columns[name] for name in manifest.features}, len(rows), coded(manifest.categories))
    risk = rows["amount"] + 40 * (rows["channel"] == "web") + facts["customer_count_1d"] * 30
    labels = (risk > 260).astype(np.float64)
    fit = {"objective": "binary", "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, "seed": 1}
    trained = lightgbm.train(fit, lightgbm.Dataset(features.matrix(), labels), 20)
    model = loader("lightgbm").load(loader("lightgbm").save(trained))
    return replace(release, manifest=manifest, predict=model.predict, changed=model.changed)


BOOSTED = boosted()


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**32))
def test_the_shorter_way_leaves_the_same_records(seed):
    """Decisions of a booster have the same records, reasons included, by its masks and by its own predictions."""
    logs = []
    for release in (BOOSTED, replace(BOOSTED, changed=None)):
        opened = OpenDesk(MemoryStore(), release)
        opened.decide(systems.payments(seed, 60))
        logs.append(opened.log())
    assert logs[0] == logs[1]
    explained = [stored for stored, _ in decided(opened.desk) if stored.parts[2].body != record.EMPTY]
    assert BOOSTED.changed
    assert explained
