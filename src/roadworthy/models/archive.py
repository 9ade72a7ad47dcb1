"""Skops archives in a canonical form, and what is refused before anything is parsed.

An archive that skops writes differs from run to run: objects are numbered by their address, files are named by it, the
ZIP holds the time of day, sets are in the order of their hashes and arrays of records have padding that was never
written. None of this is part of the model. The canonical archive numbers what is shared, in the order of appearance,
and leaves out the rest.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections import Counter
from typing import Any

import numpy as np

from roadworthy.errors import Refused

SCHEMA = "schema.json"
ADVICE = "return the fitted estimator from train(); it is then kept in a safe format"

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a ZIP can say
_UNSHARED = frozenset({"JsonNode", "TypeNode", "FunctionNode", "TupleNode", "SliceNode", "BytesNode"})
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ": "xz",
    b"]\x00\x00": "lzma",
    b"\x04\x22\x4d\x18": "lz4",
}
_ZLIB = (b"x\x01", b"x^", b"x\x9c", b"x\xda")


def canonical(data: bytes) -> bytes:
    """The canonical form of an archive that skops has just written."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        schema = json.loads(archive.read(SCHEMA))
        _sort_sets(schema)
        _number(schema, _shared(schema), {})
        files = {name: _plain(archive.read(old)) for old, name in _rename(schema).items()}
    files[SCHEMA] = json.dumps(schema, separators=(",", ":"), ensure_ascii=True).encode()
    return _zip(files)


def check(data: bytes) -> None:
    """Refuse what is not a canonical archive, and name a pickle as such. Raises Refused."""
    if pickled := _pickled(data):
        raise Refused(f"expected a skops archive, got {pickled}: loading it would run whatever it says", hint=ADVICE)
    if not data.startswith(b"PK\x03\x04"):
        raise Refused(f"expected a skops archive, got {len(data)} bytes that begin with {data[:8]!r}", hint=ADVICE)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_members(archive, data)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, OSError) as error:
        raise Refused(f"expected a whole skops archive, got a damaged one: {error}") from None


def _check_members(archive: zipfile.ZipFile, data: bytes) -> None:
    for member in archive.infolist():
        if member.compress_type != zipfile.ZIP_STORED:  # compressed bytes could unfold to any size
            raise Refused(f"expected an archive without compression, got a compressed '{member.filename}'", hint=ADVICE)
    files = {name: archive.read(name) for name in archive.namelist()}
    for name, content in files.items():
        if name.endswith((".pkl", ".pickle", ".joblib")) or _pickled(content):
            raise Refused(f"'{name}' in the archive is a pickle", hint=ADVICE)
    if SCHEMA not in files:
        raise Refused(f"expected '{SCHEMA}' in the archive, got {', '.join(list(files)[:8])}", hint=ADVICE)
    if _zip(files) != data:  # something is hidden between, before or behind the files, or a name comes twice
        raise Refused("expected the archive as it was saved, got one that was written by other means", hint=ADVICE)


def _pickled(data: bytes) -> str:
    """What kind of pickle these bytes are; empty when they are none."""
    if data[:1] == b"\x80" and data[1:2] <= b"\x05":
        return "a pickle"
    for magic, name in _COMPRESSED.items():
        if data.startswith(magic):
            return f"{name} data, as joblib writes pickles"
    if data.startswith(_ZLIB):
        return "zlib data, as joblib writes pickles"
    if data[:1] in b"(c" and data.rstrip(b"\n")[-1:] == b".":
        return "a pickle of an old protocol"
    return ""


def _nodes(state: Any) -> list[dict[str, Any]]:
    """The nodes of a schema, each before what it holds."""
    nodes, waiting = [], [state]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "__loader__" in value:
                nodes.append(value)
            waiting.extend(reversed(value.values()))
        elif isinstance(value, list):
            waiting.extend(reversed(value))
    return nodes


def _sort_sets(schema: dict[str, Any]) -> None:
    for node in reversed(_nodes(schema)):  # the inner ones first
        if node["__loader__"] == "SetNode":
            node["content"].sort(key=_without_ids)


def _without_ids(state: Any) -> str:
    copied = json.loads(json.dumps(state))
    for node in _nodes(copied):
        node.pop("__id__", None)
    return json.dumps(copied)


def _shared(schema: dict[str, Any]) -> set[int]:
    """The ids that say something: two places hold one object that can change."""
    ids = Counter(node.get("__id__") for node in _nodes(schema) if node["__loader__"] not in _UNSHARED)
    return {id for id, count in ids.items() if id is not None and count > 1}


def _number(schema: dict[str, Any], shared: set[int], numbers: dict[int, int]) -> None:
    for node in _nodes(schema):
        id = node.pop("__id__", None)
        if id in shared and node["__loader__"] not in _UNSHARED:
            node["__id__"] = numbers.setdefault(id, len(numbers) + 1)


def _rename(schema: dict[str, Any]) -> dict[str, str]:
    """Name the files in the order in which they are used; returns the new name of each old one."""
    names: dict[str, str] = {}
    for node in _nodes(schema):
        if isinstance(node.get("file"), str):
            suffix = node["file"].rpartition(".")[2]
            node["file"] = names.setdefault(node["file"], f"{len(names) + 1:05d}.{suffix}")
    return names


def _plain(data: bytes) -> bytes:
    """A file of the archive without what differs from run to run."""
    if data.startswith(b"PK\x03\x04"):  # a sparse matrix, an archive in the archive
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _zip({name: _plain(archive.read(name)) for name in archive.namelist()})
    if not data.startswith(b"\x93NUMPY"):
        return data
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.dtype.names is None:
        return data
    clean = np.zeros(array.shape, array.dtype)  # zeros also in the padding between fields
    for name in array.dtype.names:
        clean[name] = array[name]
    buffer = io.BytesIO()
    np.save(buffer, clean, allow_pickle=False)
    return buffer.getvalue()


def _zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            member = zipfile.ZipInfo(name, _EPOCH)
            member.create_system = 3  # otherwise it says on which system it was written
            member.external_attr = 0o600 << 16
            archive.writestr(member, files[name])
    return buffer.getvalue()
