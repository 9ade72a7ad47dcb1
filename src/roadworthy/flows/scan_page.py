"""What a scan found, as one page of HTML that needs nothing else: no script, no other file, light and dark."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from roadworthy.core.scan.finding import BLOCKS, Finding, Rule
from roadworthy.core.scan.rules import RULES
from roadworthy.flows.scan import Reading

WORDS = {"error": "must be mended", "warning": "should be mended", "note": "worth knowing"}
SURE = {"high": "sure", "medium": "likely", "low": "perhaps"}
FIRST = 4  # what to begin with
SHOWN = 12  # findings of one rule that the page lists; the JSON document has them all


@dataclass(frozen=True, slots=True)
class Entry:
    """One rule that found something, and where."""

    rule: Rule
    found: Sequence[Finding]

    @property
    def shown(self) -> Sequence[Finding]:
        """The findings that the page lists."""
        return self.found[:SHOWN]


@dataclass(frozen=True, slots=True)
class Section:
    """What the findings of a group block."""

    blocks: str
    entries: Sequence[Entry]
    verdict: str


def page(name: str, reading: Reading, found: Sequence[Finding]) -> str:
    """The page of a scan of the folder `name`."""
    return template("scan.html").render(
        name=name,
        documents=len(reading.folder.subjects),
        notebooks=sum(subject.document.kind == "notebook" for subject in reading.folder.subjects),
        sections=_sections(found),
        levels=Counter(each.level for each in found),
        words=WORDS,
        sure=SURE,
        first=[rule for rule in RULES if rule.level == "error" and any(each.rule == rule.id for each in found)][:FIRST],
        remarks=reading.remarks,
        silent=[rule.title for rule in RULES if all(each.rule != rule.id for each in found)],
    )


def template(name: str) -> Template:
    """A page that needs nothing else. In its texts what stands between backquotes is code, by the filter `code`."""
    templates = Environment(loader=PackageLoader("roadworthy", "templates"), autoescape=True, undefined=StrictUndefined,
                            trim_blocks=True, lstrip_blocks=True)  # fmt: skip
    templates.filters["code"] = _with_code
    return templates.get_template(name)


def _with_code(text: str) -> Markup:
    """A text in which what stands between backquotes is code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704  escaped just before


def _sections(found: Sequence[Finding]) -> list[Section]:
    sections = []
    for group, said in BLOCKS.items():
        entries = [Entry(rule, own) for rule in RULES if rule.group == group
                   and (own := [each for each in found if each.rule == rule.id])]  # fmt: skip
        entries.sort(key=lambda each: ("error", "warning", "note").index(each.rule.level))
        worst = entries[0].rule.level if entries else ""
        verdict = {"error": "blocked", "warning": "at risk", "note": "open questions", "": "nothing found"}[worst]
        sections.append(Section(said, entries, verdict))
    return sections
