"""Columns that are likely personal data, by their name and by what they hold, and how sure that is.

Content speaks where a format can be checked: e-mail addresses, IBANs (their checksum, ISO 13616), card numbers (Luhn,
ISO/IEC 7812) and IP addresses. Names, addresses and birth dates are known by the column's name alone, which is less
sure. `protected` are the grounds on which laws forbid to treat people differently.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

PERSONAL: Literal["personal"] = "personal"
PROTECTED: Literal["sensitive"] = "sensitive"  # both are words of a contract's `classification`
By = Literal["its values", "its name", "its name and values"]
ENOUGH = 0.9  # share of the values that must look like it
BY_NAME = 0.6  # how sure a name alone makes us

_EMAIL = re.compile(r"[\w.+'-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}")
_PHONE = re.compile(r"\+\d[\d ()/.-]{6,20}")
_IP = re.compile(
    r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)|[0-9a-fA-F]{1,4}(?::[0-9a-fA-F]{0,4}){3,7}"
)
_IBAN = re.compile(r"[A-Z]{2}\d{2}[A-Z0-9]{11,30}")

# Tokens of a column's name, what they say, and whether the law protects it. The first that fits is taken.
_NAMES: tuple[tuple[tuple[str, ...], str, bool], ...] = (
    (("sex", "gender"), "sex", True),
    (("race", "ethnicity", "ethnic"), "race or ethnic origin", True),
    (("religion", "religious", "confession"), "religion", True),
    (("nationality", "citizenship", "native country", "foreign worker", "birthplace"), "national origin", True),
    (("disability", "disabled", "diagnosis", "health", "pregnant"), "health", True),
    (("orientation",), "sexual orientation", True),
    (("email", "mail", "e mail"), "e-mail address", False),
    (("phone", "telephone", "mobile", "fax", "phonenumber"), "phone number", False),
    (("iban",), "bank account", False),
    (("ssn", "passport", "social security", "tax id", "national id"), "official number", False),
    (("birth date", "date birth", "birthdate", "birthday", "dob", "date of birth"), "birth date", False),
    (("first name", "last name", "surname", "firstname", "lastname", "full name", "customer name", "person name",
      "forename", "family name"), "name of a person", False),
    (("street", "address", "home address"), "address", False),
    (("ip", "ip address", "ipaddress"), "IP address", False),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Personal:
    """What a column likely holds of a person; `sure` is the share of its values that look so, or 0.6 by name alone."""

    what: str
    classification: Literal["personal", "sensitive"]
    by: By
    sure: float


def words(name: str) -> tuple[str, ...]:
    """The words of a column's name, in lower case: `customerId`, `customer_id` and `CUSTOMER ID` alike."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return tuple(re.sub(r"[^A-Za-z0-9]+", " ", spaced).lower().split())


def personal(name: str, values: Sequence[object]) -> Personal | None:
    """What of a person a column holds, judged by its name and some of its values (None left out)."""
    texts = [str(value) for value in values]
    shape = next(((what, share) for what, test in _CONTENT if (share := _share(test, texts)) >= ENOUGH), None)
    spoken = f" {' '.join(words(name))} "
    named = next(((what, law) for keys, what, law in _NAMES if any(f" {key} " in spoken for key in keys)), None)
    if shape is not None:
        by: By = "its name and values" if named is not None and named[0] == shape[0] else "its values"
        return Personal(shape[0], PERSONAL, by, shape[1])
    if named is None or (named[0] in _CHECKED and len(set(texts)) <= 2):
        return None  # `telephone: yes` says that there is one, not which
    if named[0] in _CHECKED and texts and _share(dict(_CONTENT)[named[0]], texts) < 0.1:
        return Personal(named[0], PERSONAL, "its name", BY_NAME / 2)
    return Personal(named[0], PROTECTED if named[1] else PERSONAL, "its name", BY_NAME)


def is_free_text(values: Sequence[object]) -> bool:
    """Whether these are sentences: many words, hardly any value twice. Whoever types freely types names, too."""
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) < 20:
        return False
    spaces = sorted(value.count(" ") for value in texts)[len(texts) // 2]
    return spaces >= 8 and len(set(texts)) > 0.5 * len(texts)


def is_iban(value: str) -> bool:
    """Whether a text is an IBAN with a right checksum (ISO 13616: modulo 97 is 1)."""
    bare = value.replace(" ", "").upper()
    if not _IBAN.fullmatch(bare):
        return False
    return int("".join(str(int(each, 36)) for each in bare[4:] + bare[:4])) % 97 == 1


def is_card(value: str) -> bool:
    """Whether a text is a card number: 13 to 19 digits that begin as cards do, with Luhn's checksum."""
    bare = value.replace(" ", "").replace("-", "").removesuffix(".0")
    if not re.fullmatch(r"[2-6]\d{12,18}", bare):
        return False
    doubled = [int(each) * (1 + place % 2) for place, each in enumerate(reversed(bare))]
    return sum(each - 9 if each > 9 else each for each in doubled) % 10 == 0


def _share(test: Callable[[str], object], texts: Sequence[str]) -> float:
    return sum(bool(test(text)) for text in texts) / len(texts) if texts else 0.0


_CONTENT: tuple[tuple[str, Callable[[str], object]], ...] = (
    ("e-mail address", _EMAIL.fullmatch),
    ("bank account", is_iban),
    ("card number", is_card),
    ("IP address", _IP.fullmatch),
    ("phone number", _PHONE.fullmatch),
)
_CHECKED = frozenset(what for what, _ in _CONTENT)
