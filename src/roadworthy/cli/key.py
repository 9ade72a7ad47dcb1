"""`roadworthy key`: who is let in, and whose releases are trusted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from roadworthy.cli.output import HomeFolder, Json, home_of, print_json, say, table
from roadworthy.cli.reach import reach
from roadworthy.core.rights import Actor
from roadworthy.errors import InputError
from roadworthy.flows import keys
from roadworthy.governance import permit
from roadworthy.home import Home, now, open_home, public_key
from roadworthy.who import owns, who

Verb = Literal["create", "list", "revoke", "public", "trust"]
NEEDS = {"create": "the name of whoever gets it", "revoke": "the id of a key", "trust": "a name for the other home"}
Many = tuple[str, ...]


def key(
    what: Annotated[Verb, Parameter(help="Make a key, list or revoke keys; this home's public key, or another's.")],
    name: Annotated[str, Parameter(help="Whose key; the id of the one to revoke; or the other home's name.")] = "",
    file: Annotated[Path | None, Parameter(help="The public key of the home to trust, a PEM file.")] = None,
    *, role: Annotated[Many, Parameter(help="What it may do; can be given more than once.")] = (),
    system: Annotated[Many, Parameter(help="A system that it is for; default: all.")] = (),
    environment: Annotated[Many, Parameter(help="An environment that it is for; default: all.")] = (),
    home: HomeFolder = None, json: Json = False,
) -> None:  # fmt: skip
    """Make and revoke the keys of persons and programs; trust the release key of another home."""
    folder = home_of(home)
    if what in NEEDS and not name:
        raise InputError(f"key {what}: expected {NEEDS[what]}, got nothing")
    if what == "create":
        asked = {"name": name, "roles": list(role), "systems": list(system), "environments": list(environment)}
        folder.mkdir(parents=True, exist_ok=True)
        made = reach(folder, lambda opened: _created(opened, asked), ("POST", "/v1/keys", asked), begins=True)
        print_json(made) if json else _show_new(made)
    elif what == "revoke":
        gone = reach(folder, lambda opened: _revoked(opened, name), ("DELETE", f"/v1/keys/{name}", {}))
        print_json(gone) if json else say(f"key {gone['id']} of {gone['name']} is revoked")
    elif what == "list":
        with open_home(folder, writes=False) as opened:
            found = [keys.shown(id, body) for id, body in keys.documents(opened.store)]
        print_json(found) if json else _show_all(found)
    else:
        _release_keys(folder, name if what == "trust" else "", file, json=json)


def _created(home: Home, asked: dict[str, Any]) -> dict[str, Any]:
    made, told = keys.create(home.store, **asked, by=_whoever(home).name, at=now())
    return {**told, "key": made}


def _revoked(home: Home, id: str) -> dict[str, Any]:
    return keys.revoke(home.store, id, _whoever(home).name, now())


def _whoever(home: Home) -> Actor:
    """Who makes or revokes a key: a holder of the right, or whoever owns the folder, as the first of all must."""
    actor = who(home, os.environ)
    if not owns(home):
        permit(home, actor, "keys", "*")
    return actor


def _release_keys(folder: Path, name: str, file: Path | None, *, json: bool) -> None:
    """Show this home's public key, or trust the one in a file under a name."""
    with open_home(folder) as opened:
        signer = opened.signer()
        if not name:
            text = (opened.path / "release.pub").read_text("ascii")
            print_json({"id": signer.id, "pem": text}) if json else say(text.strip())
            return
        if file is None or not owns(opened):
            raise InputError("key trust: expected NAME FILE, typed by whoever owns the home's folder")
        if not name.replace("-", "").isalnum():
            raise InputError(f"key trust: expected a name of letters, digits and hyphens, got {name!r}")
        public_key(file)
        target = opened.path / "trusted" / f"{name}.pub"
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(file.read_bytes())
    print_json({"trusted": name}) if json else say(f"releases that '{name}' signed may come here")


def _show_new(made: dict[str, Any]) -> None:
    say(f"key {made['id']} for {made['name']}: {', '.join(made['roles'])}")
    say(f"  systems {', '.join(made['systems'])}; environments {', '.join(made['environments'])}")
    say("  it is shown this once:")
    say(made["key"])


def _show_all(found: list[dict[str, Any]]) -> None:
    rows = [[each["id"], each["name"], ", ".join(each["roles"]), ", ".join(each["systems"]),
             ", ".join(each["environments"]), each["made_at"],
             f"revoked {each['revoked_at']}" if each["revoked_at"] else ""] for each in found]  # fmt: skip
    table(["id", "name", "roles", "systems", "environments", "made", ""], rows)
