"""How fast `roadworthy scan` is, and how often its rules of leakage are right where people have labelled notebooks.

    python bench/scan.py FOLDER...                    processor time a notebook or script, read one by one
    python bench/scan.py FOLDER --labels LABELS.csv   the same, with precision and recall of three kinds of leakage

LABELS.csv has a column `nb` with file names and columns `pre`, `overlap` and `multi` whose values begin with Y or N, as
the ground truth of Yang et al. (ASE 2022) has. Its name `2021-09-05/nb_773.py` means the file `2021-09-05-nb_773.py`.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from pathlib import Path

from roadworthy.core.scan.scan import findings
from roadworthy.errors import InputError
from roadworthy.flows.scan import read_folder

KINDS = {
    "pre": {"preprocessing-before-split", "fitted-on-test-rows"},
    "overlap": {"train-test-overlap"},
    "multi": {"test-set-reused"},
}


def labels_of(path: Path) -> dict[str, dict[str, bool]]:
    """What people said of each file, by its name without suffix; files that they called no model are left out."""
    said = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            answers = {kind: row[kind].strip().upper()[:1] for kind in KINDS}
            if all(answers.values()):
                name = "-".join(Path(row["nb"].strip()).with_suffix("").parts[-2:])
                said[name] = {kind: answer == "Y" for kind, answer in answers.items()}
    return said


def scanned(file: Path) -> tuple[float, set[str]] | None:
    """Seconds of processor time for one file, and the rules that found something; None where there is no code."""
    start = time.process_time()
    try:
        found = findings(read_folder(file).folder)
    except InputError:
        return None
    return time.process_time() - start, {each.rule for each in found}


def told(kind: str, found: dict[str, set[str]], said: dict[str, dict[str, bool]]) -> tuple[int, int, int]:
    """True alarms, false alarms and misses of a kind."""
    both = [(bool(found[name] & KINDS[kind]), said[name][kind]) for name in found if name in said]
    return both.count((True, True)), both.count((True, False)), both.count((False, True))


def shown(name: str, right: int, wrong: int, missed: int) -> str:
    """One line of precision and recall."""
    precision = right / (right + wrong) if right + wrong else float("nan")
    recall = right / (right + missed) if right + missed else float("nan")
    score = 2 * right / (2 * right + wrong + missed) if right + wrong + missed else float("nan")
    return (f"{name:8} {right:3} right {wrong:3} false alarms {missed:3} missed   precision {precision:.3f}  "
            f"recall {recall:.3f}  F1 {score:.3f}")  # fmt: skip


def main() -> None:
    """Scan each file of the folders by itself and print what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--labels", type=Path)
    options = parser.parse_args()
    files = [file for folder in options.folders for file in sorted(folder.rglob("*"))]
    results = {file: result for file in files
               if file.suffix in {".ipynb", ".py"} and (result := scanned(file)) is not None}  # fmt: skip
    if not results:
        sys.exit("no notebook and no script in these folders")
    times = sorted(seconds for seconds, _ in results.values())
    median, most, longest = (1e3 * times[place] for place in (len(times) // 2, int(len(times) * 0.99), -1))
    print(f"{len(times)} files: processor time {median:.1f} ms (median), {most:.0f} (99 %), {longest:.0f} (longest)")
    if options.labels:
        said = labels_of(options.labels)
        found = {file.stem: rules for file, (_, rules) in results.items()}
        counts = {kind: told(kind, found, said) for kind in KINDS}
        print(f"{len(found.keys() & said.keys())} of them labelled")
        for kind, (right, wrong, missed) in counts.items():
            print(shown(kind, right, wrong, missed))
        print(shown("together", *(sum(each) for each in zip(*counts.values(), strict=True))))


if __name__ == "__main__":
    main()
