"""Results leave as a spreadsheet, for somebody to carry on by hand."""

from __future__ import annotations

from collections.abc import Iterator

from roadworthy.core.scan.finding import Hit, Rule
from roadworthy.core.scan.subject import Subject

EXPORTS = frozenset({"to_excel", "ExcelWriter", "to_clipboard"})
OTHERS = ("xlsxwriter.Workbook", "openpyxl.Workbook", "xlwt.Workbook", "xlwings.Book", "gspread.authorize")


def check(subject: Subject) -> Iterator[Hit]:
    """Each place that writes a spreadsheet or the clipboard."""
    for name, node in subject.calls:
        last = name.rsplit(".", 1)[-1]
        if last in EXPORTS or name in OTHERS:
            yield Hit(node.lineno, f"results are written with {last}")


RULE = Rule(
    id="spreadsheet-export",
    group="handwork",
    level="note",
    sure="high",
    title="Results leave as a spreadsheet",
    why="Somebody opens it, changes it and passes it on: from there on nothing is checked, logged or repeatable.",
    mend="Write rows to a table that the next step reads by itself; keep the sheet as a view of it.",
    source="Sculley et al., Hidden technical debt in machine learning systems, NeurIPS 2015",
    check=check,
)
