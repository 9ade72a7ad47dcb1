"""Data of persons in what a notebook shows. What is found is counted, never shown."""

from __future__ import annotations

import re
from collections.abc import Iterator

from roadworthy.core.personal import is_card, is_iban
from roadworthy.core.scan.finding import Hit, Rule, Sure
from roadworthy.core.scan.subject import Subject

EMAIL = re.compile(r"\b[\w.+'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{2,63}){1,4}\b")
NOBODY = re.compile(r"(?i)example\.|@(test|localhost|domain|email)\.|noreply|no-reply|\.(png|jpg|gif|svg)$|"
                    r"gserviceaccount|@\d|users\.noreply|sentry|iam\.")  # fmt: skip
IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b")
CARD = re.compile(r"(?<![\w.])(?:\d{4}[ -]){3}\d{4}(?![\w.])")
PHONE = re.compile(r"(?<![\w.])\+\d{1,3}[ (-]\d[\d ()-]{6,14}\d(?![\w.])")
FEW = 3  # one address may be the author's; a column of them is a column of people


def check(subject: Subject) -> Iterator[Hit]:
    """Each cell whose output holds several e-mail addresses or phone numbers, an account or a card."""
    document = subject.document
    for cell, start in zip(document.cells, document.starts, strict=True):
        found = [each for text in cell.outputs for each in _people(text)]
        if found:
            what, sure = found[0]
            yield Hit(start + 1, f"the output of cell {cell.number} shows {what}", sure)


def _people(text: str) -> Iterator[tuple[str, Sure]]:
    mails = {each.lower() for each in EMAIL.findall(text) if not NOBODY.search(each)} if "@" in text else set()
    if len(mails) >= FEW:
        yield f"{len(mails)} e-mail addresses", "high"
    accounts = {each for each in IBAN.findall(text) if is_iban(each)}
    if accounts:
        yield f"{len(accounts)} bank accounts", "high"
    cards = {each for each in CARD.findall(text) if is_card(each)}
    if cards:
        yield f"{len(cards)} card numbers", "high"
    phones = set(PHONE.findall(text)) if "+" in text else set()
    if len(phones) >= FEW:
        yield f"{len(phones)} phone numbers", "medium"


RULE = Rule(
    id="personal-data-in-output",
    group="safety",
    level="error",
    sure="high",
    title="Data of persons in the outputs",
    why="The file carries them wherever it goes: into version control, mails and reviews, without purpose or erasure.",
    mend="Clear the outputs before the file leaves the machine (`nbstripout`), and show counts instead of rows.",
    source="GDPR, Article 5(1)(c)",
    check=check,
)
