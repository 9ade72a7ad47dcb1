"""Open a file of text, packed or not, as a stream of bytes that has an end.

A few kilobytes can unpack to terabytes. So nothing is unpacked whole, and what comes out is bounded by what went in.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from roadworthy.errors import InputError, SourceLost

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

FREE = 100_000_000  # bytes that any file may unpack to
RATIO = 1000  # above FREE: unpacked bytes for one packed byte
BLOCK = 1 << 18  # bytes read at once

PACKED: Mapping[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".zst": zstd.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}
_BROKEN = (EOFError, zlib.error, lzma.LZMAError, zstd.ZstdError)


class _Bounded(io.RawIOBase):
    """A stream that says what is wrong with its file, and that ends before it fills a disk."""

    def __init__(self, stream: IO[bytes], shown: str, most: int) -> None:
        self._stream, self._shown, self._most, self._count = stream, shown, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            data = self._stream.read(len(buffer))
        except _BROKEN as error:
            raise InputError(f"{self._shown}: the file is broken: {error}") from None
        except OSError as error:
            if error.errno is not None:  # the disk or the network, not the content
                raise SourceLost(f"{self._shown}: went away while it was read: {error.strerror}") from None
            raise InputError(f"{self._shown}: the file is broken: {error}") from None
        self._count += len(data)
        if self._count > self._most:
            raise InputError(
                f"{self._shown}: expected at most {self._most:,} bytes unpacked, got more",
                hint=f"over {FREE:,} bytes a file may unpack to {RATIO} times its size",
            )
        buffer[: len(data)] = data
        return len(data)


@contextmanager
def opened(path: Path, shown: str, max_unpacked: int | None = None) -> Iterator[IO[bytes]]:
    """The bytes of a file, unpacked as its ending says. `max_unpacked` is in bytes, by default RATIO above FREE.

    Raises InputError for a file that is broken, cut off, or unpacks to more; SourceLost when it went away.
    """
    unpack = PACKED.get(path.suffix.lower())
    try:
        size = path.stat().st_size
        stream = unpack(path) if unpack else path.open("rb")
    except FileNotFoundError:
        raise SourceLost(f"{shown}: the file went away before it was read") from None
    except OSError as error:
        raise InputError(f"{shown}: the file cannot be opened: {error.strerror or error}") from None
    most = max_unpacked if max_unpacked is not None else max(FREE, RATIO * size)
    with stream, io.BufferedReader(_Bounded(stream, shown, most if unpack else sys.maxsize), BLOCK) as reader:
        yield reader
