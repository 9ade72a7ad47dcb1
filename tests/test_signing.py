"""A release is loaded only if a trusted key signed it and every byte of it is as signed."""

from __future__ import annotations

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from small_office import NAME, office

from roadworthy.core.release import canonical
from roadworthy.errors import InputError, NotFound, Refused, RoadworthyError
from roadworthy.flows import seal
from roadworthy.flows.releases import DOCUMENT, SIGNATURE, checked, load_project, load_release
from roadworthy.flows.seal import Signer, encoding, key_id, payload_of
from roadworthy.governance import verify
from roadworthy.home import open_home
from roadworthy.models import loader

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TRUSTED = {key_id(KEY.public_key()): KEY.public_key()}


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A home with a release, and the release's digest."""
    with office(tmp_path_factory.mktemp("signed")) as opened:
        yield opened.home, opened.draft()


def test_the_signed_bytes_are_those_of_the_specification():
    """The encoding is the example that DSSE's specification gives, and the signature another library's own."""
    assert encoding("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    envelope = Signer(KEY).sign(seal.RELEASE, b"x")
    assert payload_of(envelope, seal.RELEASE, TRUSTED, "it") == b"x"
    assert Signer(KEY).sign(seal.RELEASE, b"x") == envelope  # Ed25519 draws nothing


@given(st.binary(max_size=40), st.data())
def test_no_envelope_but_the_signed_one_passes(payload, data):
    """Another payload, purpose, signature or signer, and what is no envelope at all, are refused."""
    envelope = Signer(KEY).sign(seal.RELEASE, payload)
    other = data.draw(st.sampled_from(["payload", "sig", "keyid", "type", "signer", "shape", "none"]))
    changed = {**envelope, "signatures": [dict(envelope["signatures"][0])]}
    if other == "payload":
        changed["payload"] = Signer(KEY).sign(seal.RELEASE, payload + b"!")["payload"]
    elif other == "sig":
        changed["signatures"][0]["sig"] = Signer(KEY).sign(seal.RELEASE, payload + b"!")["signatures"][0]["sig"]
    elif other == "keyid":
        changed["signatures"][0]["keyid"] = "0" * 16
    elif other == "type":
        changed = Signer(KEY).sign(seal.APPROVAL, payload)
    elif other == "signer":
        changed = Signer(Ed25519PrivateKey.generate()).sign(seal.RELEASE, payload)
    elif other == "none":
        changed["signatures"] = []
    else:
        changed = data.draw(st.none() | st.text() | st.dictionaries(st.text(max_size=5), st.integers()) | st.just([1]))
    with pytest.raises(Refused):
        payload_of(changed, seal.RELEASE, TRUSTED, "it")


def test_a_tampered_byte_anywhere_is_refused(kept):
    """One changed byte in the manifest, in any file or at any of a few places of it, and nothing is loaded."""
    home, digest = kept
    manifest, _, _ = checked(digest, home.vault)
    for part in (digest, *manifest.files.values()):
        path = home.blobs._file(part)
        whole = path.read_bytes()
        for place in {0, len(whole) // 2, len(whole) - 1}:
            path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            for load in (load_project, lambda digest, vault: load_release(digest, vault, loader)):
                with pytest.raises(Refused, match="expected bytes with SHA-256"):
                    load(digest, home.vault)
            assert not verify(home, digest)["ok"]
        path.write_bytes(whole)
    assert verify(home, digest)["ok"]


def test_a_release_with_a_part_missing_is_refused(kept):
    """Without one of its files it is not whole, and says which part is missing; without its manifest it is not here."""
    home, digest = kept
    manifest, _, _ = checked(digest, home.vault)
    for part in manifest.files.values():
        path = home.blobs._file(part)
        whole = path.read_bytes()
        path.unlink()
        with pytest.raises(Refused, match=f"is not whole: blob {part[:12]} is missing"):
            load_release(digest, home.vault, loader)
        path.write_bytes(whole)
    with pytest.raises(NotFound):
        load_release("0" * 64, home.vault, loader)


def test_only_a_trusted_signature_of_this_release_counts(kept):
    """None, another release's, a stranger's, and one that brings its own key along: each is refused."""
    home, digest = kept
    good = home.store.get(SIGNATURE, digest)
    stranger = Signer(Ed25519PrivateKey.generate())
    foreign = stranger.sign(seal.RELEASE, digest.encode())
    public = stranger.private.public_key().public_bytes_raw().hex()
    for envelope, words in (
        (None, "no signature that can be read"),
        (home.signer().sign(seal.RELEASE, b"0" * 64), "another release's"),
        (home.signer().sign(seal.APPROVAL, digest.encode()), "for something else"),
        (foreign, "whom this home does not trust"),
        ({**foreign, "publicKey": public, "trusted": [public]}, "whom this home does not trust"),
        ({**foreign, "signatures": [{**foreign["signatures"][0], "keyid": home.signer().id}]}, "is not right"),
    ):
        home.store.append([], [(SIGNATURE, digest, envelope)])
        with pytest.raises(Refused, match=words):
            load_release(digest, home.vault, loader)
    home.store.append([], [(SIGNATURE, digest, good)])
    load_release(digest, home.vault, loader)


def test_a_release_that_nobody_signed_is_refused(tmp_path):
    """A release whose bytes are all there, but which was written into the store by hand, is not loaded."""
    with office(tmp_path) as opened:
        manifest, files, _ = checked(opened.draft(), opened.home.vault)
        other = msgspec.structs.replace(manifest, calibration=(2.0, 2.0, 2.0))
        digest = opened.home.blobs.put(canonical(other))
        opened.home.store.append([], [(DOCUMENT, digest, {"digest": digest, "system": NAME, "evidence": {}})])
        with pytest.raises(Refused, match="is not signed"):
            load_release(digest, opened.home.vault, loader)
        assert len(files) > 3


def test_the_same_release_is_signed_alike_and_made_alike_elsewhere(tmp_path):
    """Another home makes the same digest of the same content; its signature is another, by its own key."""
    with office(tmp_path, name="one") as one:
        digest = one.draft(3)
        envelope = one.home.store.get(SIGNATURE, digest)
        one.draft(3)
        assert one.home.store.get(SIGNATURE, digest) == envelope
    with office(tmp_path, name="two") as two:
        assert two.draft(3) == digest
        assert two.home.store.get(SIGNATURE, digest) != envelope


def test_a_home_keeps_its_keys_to_itself(tmp_path):
    """The private key is readable by its owner only; a public half that was exchanged, and rubbish, are refused."""
    with office(tmp_path) as opened:
        home, signer = opened.home, opened.home.signer()
        assert (home.path / "release.key").stat().st_mode & 0o777 == 0o600
        assert list(home.trusted()) == [signer.id]
        (home.path / "trusted").mkdir()
        (home.path / "trusted" / "x.pub").write_text("rubbish")
        with pytest.raises(InputError, match=r"x\.pub: expected an Ed25519 public key in PEM"):
            home.trusted()
        (home.path / "trusted" / "x.pub").unlink()
        with office(tmp_path, name="other") as other:
            other.home.signer()
            (home.path / "release.pub").write_bytes((other.home.path / "release.pub").read_bytes())
        with pytest.raises(InputError, match="is not the public half"):
            home.signer()


def test_a_home_is_of_one_environment(tmp_path):
    """Which environment a home is was settled when it was made; another one is refused, and dev is the default."""
    with open_home(tmp_path / "a", environment="prod") as home:
        assert home.environment == "prod"
    with (
        pytest.raises(InputError, match="is of the environment 'prod', not 'dev'"),
        open_home(tmp_path / "a", environment="dev"),
    ):
        pass
    with open_home(tmp_path / "a", writes=False) as home:
        assert home.environment == "prod"
    with open_home(tmp_path / "b") as home:
        assert home.environment == "dev"
    with pytest.raises(RoadworthyError, match="'dev', not 'prod'"), open_home(tmp_path / "b", environment="prod"):
        pass
