"""Owned: people answer for it, and answered when they were called."""

from __future__ import annotations

from roadworthy.core.ready.known import Document, Item, Known, item
from roadworthy.core.watch.incidents import OPEN


def owned(known: Known) -> list[Item]:
    """Both owners by their own word, and incidents in somebody's hands."""
    return [*(_owner(known, each) for each in known.owners), _answered(known), _approver(known)]


def _owner(known: Known, owner: Document) -> Item:
    part = str(owner["part"]).replace("_", "-")
    asks, supplies = (
        f"Does the {part} owner say that it is theirs?",
        f"roadworthy owner confirm --of {known.name}, by {owner['name']}",
    )
    if not owner["confirmed"]:
        return item(str(owner["part"]), asks, None, f"{owner['name']} never said so", supplies)
    said = f"{owner['name']}, at {owner['confirmed']}" + ("" if owner["holds"] else ": over 90 days ago")
    return item(str(owner["part"]), asks, bool(owner["holds"]), said, supplies)


def _answered(known: Known) -> Item:
    asks, supplies = "Did somebody answer the alarms?", "roadworthy incidents ack ID --by NAME"
    if not known.incidents:
        return item("answered", asks, None, "no alarm was raised, so nobody could", "roadworthy watch opens incidents")
    waiting = [each for each in known.incidents if each["state"] == OPEN]
    said = f"{len(known.incidents) - len(waiting)} of {len(known.incidents)} incidents were taken by somebody"
    return item("answered", asks, not waiting, said, supplies)


def _approver(known: Known) -> Item:
    """An approver who has approved something here; a name in a file has answered nothing."""
    asks, names = "Has an approver other than its author acted?", known.system.owner.approvers
    acted = [each for each in known.history if each["state"] in ("approved", "rejected") and each["by"] in names]
    said = f"{acted[-1]['by']}, at {acted[-1]['at']}" if acted else f"none of {', '.join(names) or 'nobody'} has"
    return item("approver", asks, True if acted else None, said, "roadworthy request RELEASE, then roadworthy approve")
