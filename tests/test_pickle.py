"""A pickle runs whatever it says, so nothing loads one before an approver has allowed that very file."""

from __future__ import annotations

import pickle

import msgspec
import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from small_office import office
from small_world import UNGATED, write_system

from roadworthy import pickled
from roadworthy.core.release import Manifest
from roadworthy.errors import Denied, InputError, Refused
from roadworthy.flows.releases import ALLOWANCE, Draft, load_release, model_release
from roadworthy.models import loader, loader_for
from roadworthy.runs import publish

RUN = []  # what pickles did when they were opened


class Opened(DummyClassifier):
    """A classifier whose pickle does something when it is opened."""

    def __setstate__(self, state):
        RUN.append("opened")
        super().__setstate__(state)


def fitted(kind=Opened):
    """A classifier that always gives the share of ones."""
    return kind(strategy="prior").fit(np.zeros((4, 3)), [0, 0, 0, 1])


def draft(project) -> Draft:
    """A release whose model is a pickle."""
    asked = pickled(fitted())
    found = loader_for(asked)
    learned = {"features": ("tx_amount", "risk", "customer_count_1d"), "usual": (1.0, 0.0, 1.0)}
    names = {field.name for field in msgspec.structs.fields(Manifest)}
    return model_release(project, found, found.save(asked), {k: v for k, v in learned.items() if k in names}, {})


@pytest.fixture
def prod(tmp_path):
    """A home of prod, and a release with a pickle that waits for its approval there."""
    write_system(tmp_path / "system", UNGATED)
    with office(tmp_path) as opened:
        opened.owned()
        made = draft(opened.project)
        publish(opened.home, opened.ann, [made])
        opened.do("request", made.release.digest)
        opened.do("approve", made.release.digest, opened.risk)
        RUN.clear()
        yield opened, made.release.digest


def test_a_pickle_is_kept_only_when_it_is_asked_for():
    """A class that no safe format holds is refused as it is, and kept when `train` asks for a pickle."""
    with pytest.raises(Refused, match="types that are not trusted"):
        loader_for(fitted()).save(fitted())
    assert loader_for(pickled(fitted())).kind == "pickle"


def test_nothing_of_a_pickle_runs_before_its_digest_is_allowed(prod):
    """An approved release with a pickle is neither loaded nor made live; once the file is allowed it is both."""
    opened, digest = prod
    with pytest.raises(Refused, match=f"nobody has allowed .*allow {digest[:12]}"):
        load_release(digest, opened.home.vault, loader)
    with pytest.raises(Refused, match="nobody has allowed"):
        opened.do("promote", digest)
    assert RUN == []
    opened.do("allow", digest, opened.risk, why="reviewed the package that its class is from")
    opened.do("promote", digest)
    load_release(digest, opened.home.vault, loader)
    assert RUN == ["opened"]


def test_an_allowance_is_an_approvers_and_not_the_authors(prod):
    """Who made the release, and who is no approver, cannot allow its pickle; nor is there one without a reason."""
    opened, digest = prod
    with pytest.raises(Denied):
        opened.do("allow", digest, why="it is fine")
    with pytest.raises(InputError, match="why"):
        opened.do("allow", digest, opened.risk)


def test_an_allowance_is_for_one_file_and_signed_by_this_home(prod):
    """One that was moved to another pickle, or changed, allows nothing."""
    opened, digest = prod
    opened.do("allow", digest, opened.risk, why="reviewed")
    store = opened.home.store
    manifest = msgspec.json.decode(opened.home.blobs.open(digest), type=Manifest)
    good = store.get(ALLOWANCE, manifest.model)
    for wrong in (opened.home.signer().sign("application/vnd.roadworthy.pickle-digest.v1", b"0" * 64), {}, None):
        store.append([], [(ALLOWANCE, manifest.model, {**good, "signature": wrong})])
        with pytest.raises(Refused):
            load_release(digest, opened.home.vault, loader)
    assert RUN == []


def test_there_is_nothing_to_allow_in_a_safe_release(prod):
    """Allowing a release without a pickle is refused, so that nobody relies on it."""
    opened, _ = prod
    with pytest.raises(InputError, match="holds no pickle"):
        opened.do("allow", opened.draft(3), opened.risk, why="to be sure")


def test_a_class_of_train_py_cannot_be_pickled():
    """Serving never imports train.py, so a model whose class is defined there is refused at training."""
    names = {}
    exec("class Own:\n classes_ = [0, 1]\n def predict_proba(self, rows): return rows", names)
    with pytest.raises(Refused, match=r"serving never imports train\.py|cannot be pickled"):
        loader_for(pickled(names["Own"]())).save(pickled(names["Own"]()))


def test_a_pickle_that_gives_no_probabilities_is_refused():
    """What is in an allowed pickle must still be a classifier of two classes."""
    with pytest.raises(Refused, match="predict_proba"):
        loader("pickle").load(pickle.dumps({"a": 1}))
    with pytest.raises(Refused, match="cannot be loaded"):
        loader("pickle").load(b"garbage")
