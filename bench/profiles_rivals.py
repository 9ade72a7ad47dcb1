"""What others need to profile or compare a file; run by `bench/profiles.py`, in an environment of its own.

    python profiles_rivals.py evidently|nannyml|whylogs FILE

Prints one JSON document: seconds, CPU seconds, peak memory. The packages of an `import` below are not among the
project's. Where a tool compares two tables, it is given the file twice.
"""

from __future__ import annotations

import json
import resource
import sys
import time


def evidently(frame):
    """Its preset of drift over all columns."""
    from evidently import Report  # noqa: PLC0415
    from evidently.presets import DataDriftPreset  # noqa: PLC0415

    Report([DataDriftPreset()]).run(frame, frame).json()


def nannyml(frame):
    """Its univariate drift over all columns but the times, with the default methods."""
    from nannyml import UnivariateDriftCalculator  # noqa: PLC0415

    names = [name for name in frame.columns if frame[name].dtype.kind != "M"]
    made = UnivariateDriftCalculator(column_names=names, chunk_number=1)
    made.fit(frame).calculate(frame)


def whylogs(frame):
    """Its profile of the frame."""
    import whylogs  # noqa: PLC0415

    whylogs.log(frame).view().serialize()


def main() -> None:
    """One measurement: reading the file, too, as ours does."""
    import pandas  # noqa: PLC0415

    name, path = sys.argv[1:]
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    globals()[name](pandas.read_parquet(path))
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_gb": used.ru_maxrss / 1e6}))


if __name__ == "__main__":
    main()
