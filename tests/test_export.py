"""A release as a folder: its digest is that of the manifest, and others can verify it with their own tools."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from small_office import office

from roadworthy.cli import run
from roadworthy.errors import InputError
from roadworthy.flows.export import export


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A home with a release, and the release's digest."""
    with office(tmp_path_factory.mktemp("export")) as opened:
        yield opened.home, opened.draft()


def key_file(path, key):
    """The private key in a file, and its public half beside it."""
    pem = serialization.Encoding.PEM
    path.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public = path.with_suffix(".pub")
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return path, public


def verified(folder, public) -> int:
    """What the command of the specification's authors says of a folder."""
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(folder), "--signature",
               str(folder / "model.sig"), "--public_key", str(public)]  # fmt: skip
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_an_exported_release_is_all_that_its_digest_is_of(kept, tmp_path):
    """The manifest's bytes have the release's digest, and every file the digest that the manifest gives."""
    home, digest = kept
    written = export(home.vault, digest, tmp_path / "out", None)
    manifest = (tmp_path / "out" / "manifest.json").read_bytes()
    assert hashlib.sha256(manifest).hexdigest() == digest
    for path, each in msgspec.json.decode(manifest)["files"].items():
        assert hashlib.sha256((tmp_path / "out" / "files" / path).read_bytes()).hexdigest() == each
    assert sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*") if p.is_file()) == written


def test_others_verify_the_signature_and_find_a_changed_byte(kept, tmp_path):
    """The specification's own tool verifies the signed folder, and refuses it with a byte changed or a file more."""
    home, digest = kept
    key, public = key_file(tmp_path / "key.pem", ec.generate_private_key(ec.SECP256R1()))
    out = tmp_path / "out"
    export(home.vault, digest, out, key)
    assert verified(out, public) == 0
    (out / "more").write_text("x")
    assert verified(out, public) != 0
    (out / "more").unlink()
    file = out / "files" / "system.yaml"
    file.write_bytes(file.read_bytes() + b"\n")
    assert verified(out, public) != 0


def test_what_cannot_be_exported_leaves_nothing(kept, tmp_path):
    """A folder that is there, a key of another kind and a file that is no key are refused, and no folder is left."""
    home, digest = kept
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="is there already"):
        export(home.vault, digest, tmp_path / "there", None)
    other, _ = key_file(tmp_path / "ed.pem", ed25519.Ed25519PrivateKey.generate())
    (tmp_path / "text.pem").write_text("no key")
    for key in (other, tmp_path / "text.pem", tmp_path / "missing.pem"):
        with pytest.raises(InputError, match=r"P-256"):
            export(home.vault, digest, tmp_path / "out", key)
    assert not (tmp_path / "out").exists()
    assert not list(tmp_path.glob(".export-*"))


def test_the_command_says_what_it_wrote(kept, tmp_path, capsys):
    """`roadworthy export` takes the first digits of a digest and says how many files are where."""
    home, digest = kept
    assert run(["export", digest[:8], str(tmp_path / "out"), "--home", str(home.path)]) == 0
    assert capsys.readouterr().out.startswith(f"release {digest[:12]} is in {tmp_path / 'out'}: ")
