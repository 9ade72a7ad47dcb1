"""The cells were not run in the order they stand in."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.core.scan.document import Cell
from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject


def check(subject: Subject) -> Iterator[Hit]:
    """The first cell that ran before an earlier one, and the first that was left out."""
    document = subject.document
    if document.kind != "notebook":
        return
    cells = [(cell, start) for cell, start in zip(document.cells, document.starts, strict=True) if _runs(cell)]
    last = 0
    for cell, start in cells:
        if cell.count is not None and cell.count < last:
            yield Hit(start + 1, f"cell {cell.number} ran as [{cell.count}], after the one above it as [{last}]")
            break
        last = cell.count or last
    ran = [place for place, (cell, _) in enumerate(cells) if cell.count is not None]
    for place, (cell, start) in enumerate(cells):
        if cell.count is None and ran and place < ran[-1]:
            yield Hit(start + 1, f"cell {cell.number} was not run, cells after it were")
            break


def _runs(cell: Cell) -> bool:
    """Whether a cell has a line that does something: a licence or an installation need not run again."""
    lines = [line.strip() for line in cell.text.split("\n")]
    return cell.code and any(line and line[0] not in "#%!" for line in lines)


RULE = Rule(
    id="execution-order",
    group="reproducibility",
    level="warning",
    sure="high",
    title="Cells ran out of order, or not at all",
    why="What the notebook shows came of a state that running it from top to bottom does not give.",
    mend="Restart and run all. If that fails, it is the first thing to mend.",
    source="Pimentel et al., MSR 2019",
    check=check,
)
