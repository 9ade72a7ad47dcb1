"""Whether the store takes writes: after one that failed, not before another one worked."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from roadworthy.errors import RoadworthyError
from roadworthy.ports import Store

PROBE = "probe"  # the kind of the document that is written to see whether writing works
EVERY = 1.0  # seconds between two probes: whoever asks more often is told what the last one found
LEAST_ROOM = 64 << 20  # bytes that must be free where the log is


@dataclass(slots=True)
class StoreHealth:
    """What is known of a store's writes. `folder` is where it keeps its file, if it does; `timer` gives seconds."""

    store: Store
    folder: Path | None
    timer: Callable[[], float]
    now: Callable[[], str]
    least: int = LEAST_ROOM
    broken: str = ""  # the code of the error of the newest write, or nothing
    _probed: float = float("-inf")
    _lock: Lock = field(default_factory=Lock)

    def reasons(self) -> list[str]:
        """Why decisions cannot be kept now; empty when they can. A store that failed is tried again."""
        found = []
        if self.broken and not self._writes_again():
            found.append(f"the store does not take writes ({self.broken})")
        if self.folder is not None and (free := shutil.disk_usage(self.folder).free) < self.least:
            found.append(f"the disk of the log has {free >> 20} MiB left, of at least {self.least >> 20}")
        return found

    def _writes_again(self) -> bool:
        if not self._lock.acquire(blocking=False):
            return False  # another is trying it
        try:
            if self.timer() - self._probed >= EVERY:
                self.store.append([], [(PROBE, "write", self.now())])
                self.broken = ""
        except RoadworthyError as error:
            self.broken = error.code
        finally:
            self._probed = self.timer()
            self._lock.release()
        return not self.broken
