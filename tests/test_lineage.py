"""Lineage: from the source's column to the decision, both ways, and true: what changes a value is upstream of it."""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from documents import ROOT, blocks
from hypothesis import given, settings
from hypothesis import strategies as st
from test_decide import row
from test_docs import EXAMPLE
from test_laws import OpenDesk

from roadworthy.cli import run
from roadworthy.core.batch import Batch
from roadworthy.core.contract import Contract, Field
from roadworthy.core.draws import decision_id
from roadworthy.core.features import Feature
from roadworthy.core.graph import Edge, Graph, Node, directly, downstream, find, names, tree, upstream
from roadworthy.core.lineage import Kept, classified, column, columns_into, lineage_of, plain_source
from roadworthy.core.system import DataSet, Outcome
from roadworthy.core.views import facts_of, view
from roadworthy.errors import InputError
from roadworthy.flows.answer import decide_rows
from roadworthy.flows.declare import read_system
from roadworthy.flows.lineage import graph_of, live_graph, release_graph, releases_named
from roadworthy.flows.outcomes import outcome_rows
from roadworthy.flows.releases import Vault, keep, rule_release, signed
from roadworthy.flows.seal import Signer, key_id
from roadworthy.flows.trace import trace
from roadworthy.home import open_home
from roadworthy.stores import FolderBlobs, MemoryStore
from roadworthy.testing import histories, oracle, systems

RELEASE = {"digest": "ab" * 32, "kind": "lightgbm", "model": "cd" * 32, "made_at": "2026-01-01T00:00:00Z",
           "evidence": {"snapshots": {"input": "11" * 32, "outcome": "22" * 32}}}  # fmt: skip
SNAPSHOTS = [
    {"digest": "11" * 32, "system": "card-fraud", "table": "input", "rows": 10, "version": 3},
    {"digest": "22" * 32, "system": "card-fraud", "table": "outcome", "rows": 7},
    {"digest": "33" * 32, "system": "card-fraud", "table": "input", "rows": 12, "version": 4},
]


@pytest.fixture(scope="module")
def project():
    """The fraud example."""
    return read_system(EXAMPLE)


@pytest.fixture(scope="module")
def graph(project):
    """The fraud example's graph, before any release."""
    return graph_of(project)


@pytest.fixture(scope="module")
def released(project):
    """The fraud example's graph with a release and three snapshots."""
    return graph_of(project, Kept(RELEASE, SNAPSHOTS))


def names_of(nodes, kind):
    """The names of the nodes of one kind."""
    return {node.name for node in nodes if node.kind == kind}


def test_a_column_is_followed_to_the_outcome(released):
    """An amount goes through facts, features, money and guardrails into the model, release, decision and outcome."""
    found = downstream(released, column("input", "tx_amount"))
    assert names_of(found, "fact") == {
        "customer_mean_tx_amount_1d", "customer_mean_tx_amount_7d", "usual_mean_tx_amount"
    }  # fmt: skip
    assert names_of(found, "feature") == {
        "tx_amount", "usual_mean_tx_amount", "amount_vs_usual", "week_vs_usual", "day_vs_usual"
    }  # fmt: skip
    assert names_of(found, "policy") == {"value.approve.if_true", "value.block.if_false", "rule", "guardrails[0]"}
    assert {Node("model", "cd" * 32), Node("release", "ab" * 32), Node("decision", "card-fraud")} <= set(found)
    assert found[-1] == Node("outcome", "tx_fraud")
    assert names_of(found, "snapshot") == {"11" * 32, "33" * 32}


def test_a_feature_is_followed_to_the_source(graph):
    """A feature comes from the columns of its facts, their keys and times, and these from the source's columns."""
    found = upstream(graph, Node("feature", "amount_vs_usual"))
    assert names_of(found, "column") == {"input.tx_amount", "input.customer_id", "input.tx_datetime"}
    assert names_of(found, "source") == {"data/transactions.parquet"}
    late = upstream(graph, Node("feature", "terminal_mean_outcome_7d"))
    assert names_of(late, "column") == {
        "outcome.tx_fraud", "outcome.transaction_id", "outcome.known_at", "input.terminal_id", "input.tx_datetime"
    }  # fmt: skip
    assert names_of(late, "source") == {"data/transactions.parquet", "data/frauds.parquet"}


def test_a_release_leads_to_its_snapshots_and_their_sources(released):
    """What feeds a release: its model, the snapshots it names and no newer one, their contracts and sources."""
    found = upstream(released, Node("release", "ab" * 32))
    assert names_of(found, "snapshot") == {"11" * 32, "22" * 32}
    assert names_of(found, "contract") == {"contracts/transactions.odcs.yaml", "contracts/frauds.odcs.yaml"}
    assert names_of(found, "source") == {"data/transactions.parquet", "data/frauds.parquet"}
    assert released.about[Node("snapshot", "33" * 32)]["newest"] is True
    assert released.notes == ()


def test_what_is_not_known_is_said(project):
    """A release without snapshots, one that names a lost snapshot, and one without a model each give a note."""
    unnamed = graph_of(project, Kept({**RELEASE, "evidence": {}}))
    assert unnamed.notes == ("release abababababab does not say from which snapshots it was made",)
    lost = graph_of(project, Kept(RELEASE, SNAPSHOTS[1:]))
    assert lost.notes == ("the home holds no document of snapshot 111111111111 of input",)
    rule = graph_of(project, Kept({**RELEASE, "kind": "rule", "model": ""}))
    assert "no feature goes into it" in rule.notes[0]
    assert names_of(upstream(rule, Node("decision", "card-fraud")), "feature") == set()


def test_personal_data_is_followed_by_its_values(graph, released):
    """A key reaches features, and the release, without its values; a column that is a feature reaches it with them."""
    customer = column("input", "customer_id")
    assert (customer, False) in classified(graph, Node("feature", "amount_vs_usual"))
    assert names_of(directly(graph, customer), "feature") == set()
    assert (customer, False) in classified(released, Node("release", "ab" * 32))
    assert (customer, True) in classified(released, Node("snapshot", "11" * 32))
    assert "tx_amount" in names_of(directly(graph, column("input", "tx_amount")), "feature")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("tx_amount", [("column", "input.tx_amount")]),
        ("input.tx_amount", [("column", "input.tx_amount")]),
        ("transaction_id", [("column", "input.transaction_id"), ("column", "outcome.transaction_id")]),
        ("feature:tx_amount", [("feature", "tx_amount")]),
        ("source-column:tx_amount", [("source column", "input.tx_amount")]),
        ("usual", [("fact", "usual_mean_tx_amount")]),
        ("amount_vs_usual", [("feature", "amount_vs_usual")]),
        ("usual_mean_tx_amount", [("fact", "usual_mean_tx_amount")]),
        ("guardrails[0]", [("policy", "guardrails[0]")]),
        ("ABABAB", [("release", "ab" * 32)]),
        ("ababa", []),
        ("cdcdcdcd", [("model", "cd" * 32)]),
        ("card-fraud", [("decision", "card-fraud")]),
        ("nothing", []),
    ],
)
def test_names_are_found_as_people_say_them(released, name, found):
    """A name means a column before a feature; a kind before it, a view or the start of a digest are understood."""
    assert [(node.kind, node.name) for node in find(released, name)] == found


def test_every_known_name_is_found(released):
    """Each name that a hint may propose is one that is found."""
    assert all(find(released, name) for name in names(released))


nodes = st.builds(Node, st.sampled_from(["column", "fact", "feature"]), st.sampled_from("abcdef"))
edges = st.builds(Edge, nodes, nodes, st.sampled_from(["DIRECT", "INDIRECT"]), st.just("IDENTITY"), st.text(max_size=2))


@given(st.lists(edges, max_size=20))
def test_up_and_down_are_one_relation(drawn):
    """Over any graph, cycles too: what feeds b is fed by b's downstream alike, and a tree shows all that is reached."""
    graph = Graph({node: {} for edge in drawn for node in (edge.source, edge.target)}, tuple(drawn))
    for one in graph.about:
        below = downstream(graph, one)
        assert len(set(below)) == len(below)
        assert all((one in upstream(graph, other)) for other in below)
        assert {line.node for line in tree(graph, one, "down")} - {one} == set(below)
        assert directly(graph, one) <= set(below)


@settings(max_examples=4, deadline=None)
@given(st.integers(0, 2**31))
def test_what_changes_a_fact_is_upstream_of_it(seed):
    """Whichever column of a history is changed, only facts that are downstream of it change, for every aggregate."""
    history, views = histories.history(seed, 25), histories.views()
    graph = graph_of_history(history, views)
    before = oracle.facts(history, views, histories.QUANTA)
    rng = np.random.default_rng(seed)
    for name, changed in changes(history, rng):
        after = oracle.facts(changed, views, histories.QUANTA)
        different = {fact for fact in before if not np.array_equal(*texts(before[fact], after[fact]))}
        assert different <= names_of(downstream(graph, name), "fact"), name


def texts(*columns):
    """Columns as texts, so that missing values are equal."""
    return [np.array([repr(value) for value in each.tolist()]) for each in columns]


def changes(history, rng):
    """A column's node and the history with that column shuffled, for each column of rows, outcomes and events."""
    for name in history.rows:
        yield column("input", name), replace(history, rows=shuffled(history.rows, name, rng))
    if history.outcomes is not None:
        outcomes = replace(history.outcomes, value=rng.permutation(history.outcomes.value))
        yield column("outcome", "fraud"), replace(history, outcomes=outcomes)
    profile = history.others["profile"]
    for name in profile.rows:
        events = replace(profile, rows=shuffled(profile.rows, name, rng))
        if name != "word":  # the key by which rows look into another table has the name of the row's own
            yield column("profile", name), replace(history, others={"profile": events})


def shuffled(rows, name, rng):
    """The rows with one column in another order."""
    return Batch({**rows.columns, name: rng.permutation(rows[name])}, len(rows))


def graph_of_history(history, views):
    """The lineage of a system whose tables are those of a generated history."""

    def contract(rows):
        kinds = {"f": "number", "M": "timestamp", "O": "string"}
        return Contract("c", "1.0.0", "c", tuple(Field(name, kinds[rows[name].dtype.kind]) for name in rows))

    outcome = Contract("o", "1.0.0", "o", (Field("id", "string"), Field("fraud", "number")))
    system = replace(
        systems.small_system(), input=DataSet("i.yaml", "i.csv"),
        outcome=Outcome("o.yaml", "o.csv", column="fraud"),
        decision=replace(systems.small_system().decision, id="id", at="at", subject=""),
    )  # fmt: skip
    contracts = {
        "input": contract(history.rows),
        "outcome": outcome,
        "profile": contract(history.others["profile"].rows),
    }
    return lineage_of(system, contracts, views, (), known="known_at")


def test_a_feature_of_a_feature_comes_from_the_feature():
    """A parameter means the computed feature of that name, a plain feature is its column, and ways up are joined."""
    features = (
        Feature("amount", ("amount",)),
        Feature("large", ("amount",), np.sqrt, "root"),
        Feature("share", ("large", "customer_mean_amount_7d"), np.divide),
    )
    contracts = {"input": systems.INPUT, "outcome": systems.OUTCOME}
    graph = lineage_of(systems.small_system(), contracts, systems.small_views(), features, known="known_at")
    into = {edge.source.name: (edge.type, edge.subtype) for edge in columns_into(graph, Node("feature", "share"))}
    assert into == {
        "input.amount": ("DIRECT", "TRANSFORMATION"),
        "input.customer": ("INDIRECT", "GROUP_BY"),
        "input.paid_at": ("INDIRECT", "WINDOW"),
        "input.known_at": ("INDIRECT", "WINDOW"),
    }
    assert next(line.node.name for line in tree(graph, Node("feature", "large"), "up")) == "input.amount"
    (only,) = columns_into(graph, Node("feature", "amount"))
    assert (only.type, only.subtype) == ("DIRECT", "IDENTITY")


def test_what_a_view_filters_by_is_upstream():
    """A column that only chooses the rows of a view is upstream of its facts, by a FILTER."""
    chosen = replace(view(key="customer", over="7d", count=True, where="amount > 20"), name="large")
    contracts = {"input": systems.INPUT, "outcome": systems.OUTCOME}
    graph = lineage_of(systems.small_system(), contracts, (chosen,), (), known="known_at")
    (fact,) = facts_of(chosen)
    ways = {edge.source.name: edge.subtype for edge in graph.into[Node("fact", fact.name)]}
    assert ways["input.amount"] == "FILTER"


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("data/*.parquet", "data/*.parquet"),
        ("postgresql://reader:s3cret@db:5432/bank", "postgresql://db:5432/bank"),
        ("https://token:${KEY}@example.com/rows?key=s3cret", "https://example.com/rows"),
        ("data/what?.csv", "data/what?.csv"),
    ],
)
def test_no_password_is_in_a_source_s_name(source, shown):
    """A source is named without user, password and the tokens of its query."""
    assert plain_source(source) == shown


@pytest.fixture
def held(project, tmp_path):
    """A store and blobs with the example's rule as its live release, and the document of a snapshot."""
    key = Ed25519PrivateKey.generate()
    trusted = {key_id(key.public_key()): key.public_key()}
    vault = Vault(MemoryStore(), FolderBlobs(tmp_path / "blobs"), trusted, "dev", trusted)
    fill(vault, Signer(key), project)
    return vault


def fill(vault, signer, project):
    """Keep the example's rule as its live release, and two documents of snapshots, one of them not understood."""
    draft = rule_release(project)
    live = ("live", "card-fraud", {"digest": draft.release.digest})
    snapshots = [("snapshot", "1", SNAPSHOTS[0]), ("snapshot", "2", {"table": "input"})]
    kept = keep(draft, vault.blobs, "2026-01-01T00:00:00Z", {"name": "ann"})
    vault.store.append([], [kept, signed(draft.release.digest, signer), live, *snapshots])
    return draft.release.digest


def test_a_folder_is_compared_with_what_is_live(project, held, tmp_path):
    """The graph of a folder names the live release, and says which files it was not made from."""
    graph = live_graph(project, held)
    assert graph.notes[0] == "the document of snapshot 2 does not say its digest, system and table"
    assert not any("other files" in note for note in graph.notes)
    shutil.copytree(EXAMPLE, tmp_path / "system", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "system" / "train.py").write_text((EXAMPLE / "train.py").read_text() + "\n")
    changed = live_graph(read_system(tmp_path / "system"), held)
    assert any(note.endswith("was made from other files: train.py") for note in changed.notes)


def test_a_release_is_answered_from_its_own_files(project, held):
    """A release's graph needs no folder: it is read from the blobs, and knows that it is live."""
    digest = rule_release(project).release.digest
    assert releases_named(digest[:8], held.store) == (digest,)
    assert releases_named(f"release:{digest[:6].upper()}", held.store) == (digest,)
    assert releases_named(digest[:5], held.store) == ()
    graph = release_graph(digest, held)
    assert graph.about[Node("release", digest)]["live"] is True
    assert names_of(upstream(graph, Node("decision", "card-fraud")), "policy") >= {"rule", "guardrails[0]"}


def test_a_decision_is_traced_with_its_values(project, held):
    """A decision's graph holds what it was given, what it came to and the last word on its outcome."""
    opened = OpenDesk(MemoryStore())
    opened.store.append([], [("release", opened.desk.release.digest, {"digest": "x"})])
    decide_rows(opened.desk, [row(amount=300.0)])
    outcome_rows(opened.desk, systems.OUTCOME, [{"payment": "a", "fraud": 1.0, "known_at": "2018-04-03T00:00:00Z"}])
    load = {opened.desk.release.digest: opened.desk.release}.__getitem__
    traced = trace(opened.store, opened.store, ["payments"], "a", "live", load)
    traced["input"]["tx_amount"] = 300.0  # as if this decision were the example's
    traced["outcomes"] = [{"value": 1.0, "known": "2018-04-03T00:00:00Z"}]
    graph = release_graph(rule_release(project).release.digest, held, traced)
    decided = graph.about[Node("decision", decision_id("payments", "a").hex())]
    assert (decided["action"], decided["log"]) == (traced["decision"]["action"], "live")
    assert graph.about[column("input", "tx_amount")]["value"] == 300.0
    assert graph.about[Node("outcome", "tx_fraud")]["value"] == 1.0


@pytest.fixture
def roadworthy(capsysbinary, tmp_path):
    """Run a command where there is no home, whatever was done in this checkout: (exit status, stdout, stderr)."""

    def command(*arguments):
        with contextlib.chdir(tmp_path):
            status = run([str(each) for each in arguments])
        out, err = capsysbinary.readouterr()
        return status, out.decode(), err.decode()

    return command


def test_the_command_answers_both_ways(roadworthy, project, tmp_path):
    """`lineage COLUMN` prints both trees and the classification; `--json` prints one document with the same nodes."""
    with open_home(tmp_path / "home") as home:
        digest = fill(home.vault, home.signer(), project)
    asked = ("lineage", "customer_id", "--system", EXAMPLE, "--home", tmp_path / "home")
    status, out, err = roadworthy(*asked)
    assert (status, err) == (0, "")
    assert "classification: personal" in out
    assert "source column input.customer_id of data/transactions.parquet (read)" in out
    assert "fact customer_count_1d (key)" in out
    status, out, err = roadworthy(*asked, "--json")
    document = json.loads(out)
    (found,) = document["found"]
    assert (status, err, found["node"]["classification"]) == (0, "", "personal")
    assert {each["name"] for each in found["upstream"]} == {"input.customer_id", "data/transactions.parquet"}
    assert all(not each["values"] for each in found["reaches"])
    status, out, _ = roadworthy("lineage", digest[:8], "--system", tmp_path / "nowhere", "--home", tmp_path / "home")
    assert status == 0
    assert f"release {digest[:12]} live" in out


@pytest.mark.parametrize(
    ("name", "told"),
    [("tx_amont", "did you mean 'tx_amount'?"), ("amount_vs_usal", "did you mean 'amount_vs_usual'?")],
)
def test_an_unknown_name_is_told_the_nearest(roadworthy, tmp_path, name, told):
    """An unknown name ends with 2 and the nearest that there is, with and without a home."""
    open_home(tmp_path / "home").__enter__().store.close()
    for home in ([], ["--home", tmp_path / "home"]):
        status, _, err = roadworthy("lineage", name, "--system", EXAMPLE, *home)
        assert status == 2
        assert told in err


def test_a_home_that_was_named_must_be_there(roadworthy, tmp_path):
    """`--home` of a folder without a home ends with 2; the default home may be absent."""
    status, _, err = roadworthy("lineage", "tx_amount", "--system", EXAMPLE, "--home", tmp_path / "none")
    assert status == 2
    assert "there is no home" in err


def test_two_releases_of_one_beginning_are_told_apart(project, held):
    """Several releases that begin alike are all found, so that the reader can be asked which one."""
    store = held.store
    store.append([], [("release", "abcdef" + "0" * 58, {}), ("release", "abcdef" + "1" * 58, {})])
    assert len(releases_named("abcdef", store)) == 2
    with pytest.raises(InputError):
        read_system(Path("nowhere"))


def test_the_document_shows_what_is_printed(roadworthy):
    """Every `roadworthy lineage` of docs/lineage.md prints what stands below it, for the fraud example."""
    found = list(blocks(ROOT / "docs" / "lineage.md"))
    shown = [(text, after) for (info, _, text), (kind, _, after) in itertools.pairwise(found)
             if (info, kind) == ("sh", "text")]  # fmt: skip
    assert len(shown) >= 2
    for typed, expected in shown:
        words = re.sub(r"^roadworthy ", "", typed.strip()).split()
        status, out, _ = roadworthy(*words, "--system", EXAMPLE)
        assert (status, out) == (0, expected)
