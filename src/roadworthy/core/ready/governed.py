"""Governed: what decides was looked at, is whole, and everyone who changed it is known by name."""

from __future__ import annotations

from roadworthy.core.plural import plural
from roadworthy.core.ready.known import Item, Known, item


def governed(known: Known) -> list[Item]:
    """Approval, seal, names, the scan of the proof of concept, and incidents in somebody's hands."""
    return [_approved(known), _whole(known), _named(known), _scanned(known)]


def _approved(known: Known) -> Item:
    asks, supplies = "Was what decides approved?", f"roadworthy request {known.digest}, then roadworthy approve"
    said = known.unapproved or "by an approval that holds"
    passes = True if not known.unapproved else None if known.environment == "dev" else False
    if known.unapproved and known.environment == "dev":
        said += "; in dev it need not be"
    return item("approved", asks, passes, said, supplies)


def _whole(known: Known) -> Item:
    said = known.verified["why"] or "its signature and the digest of every file are right"
    return item("whole", "Is it signed and unchanged?", known.verified["ok"], said, f"roadworthy verify {known.digest}")


def _named(known: Known) -> Item:
    asks = "Is everyone known who changed what decides?"
    changes = [each for each in known.history if each["state"] == "live"]
    loose = [each for each in changes if not each["authenticated"]]
    said = f"{len(changes) - len(loose)} of {len(changes)} times that a release went live, with a key"
    return item("named", asks, None if not changes else not loose or None, said,
                "roadworthy key create NAME --role operator, and ROADWORTHY_KEY where one acts")  # fmt: skip


def _scanned(known: Known) -> Item:
    asks, supplies = "Is its code free of what fails in production?", f"roadworthy scan FOLDER --keep-for {known.name}"
    files = sum(each["files"] for each in known.scans)
    if not files:
        return item("scan", asks, None, "its code was never scanned for this home", supplies)
    left = [each for each in known.findings if not each["kept"]]
    said = f"{plural(len(left), 'finding is', 'findings are')} open, {len(known.findings) - len(left)} waived, in "
    said += plural(files, "file")
    return item("scan", asks, not left, said, f"roadworthy gate {known.digest}, which names who answers for each")
