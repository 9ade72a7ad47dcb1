"""HTTP and object storage as sources, over real sockets: pages, failures that pass, and servers that misbehave."""

from __future__ import annotations

import base64
import json
import threading
from dataclasses import replace
from itertools import count
from urllib.parse import parse_qs, urlsplit

import pytest
from small_server import Reply, s3_of, serving

from roadworthy.core.system import DataSet
from roadworthy.errors import InputError, SourceLost
from roadworthy.sources import open_source
from roadworthy.sources.address import Asked, address_of
from roadworthy.sources.http import open_http
from roadworthy.testing.source import LAWS, rows_of

ROWS = [{"id": number, "at": f"2024-01-31T{number // 2:02d}:00:00Z"} for number in range(20)]


def source(server, path, environ=None, names=None, user="", **more):
    """The rows of an address, and the seconds that were waited for."""
    waited = []
    ticks = count()
    address = f"{server.origin}{path}".replace("://", f"://{user}@") if user else f"{server.origin}{path}"
    environ = environ or {}
    declared = DataSet("c", address, **more)
    asked = Asked(declared, address_of(address, environ), None, environ, names)
    return open_http(asked, waited.append, lambda: next(ticks)), waited


def ids(pages):
    """The column `id` of pages, as numbers."""
    return [int(dict(row)["id"]) for row in rows_of(pages)]


def refused(found, error=InputError):
    """What is said of a source that cannot be read."""
    with pytest.raises(error) as caught:
        list(found[0].pages())
    return str(caught.value)


def said(body, status=200, **headers):
    """A reply of JSON, or of bytes as they are."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Reply(
        data, status, {"Content-Type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
    )


def _named(headers):
    return {name.replace("_", "-"): value for name, value in headers.items()}


def paged(form):
    """Answers of seven rows a page in one of the forms of paging; `since` leaves out earlier rows."""

    def answer(path, headers):
        query = parse_qs(urlsplit(path).query)
        since = query.get("since", [""])[0]
        rows = [row for row in ROWS if row["at"] >= since]
        start = int(query.get("cursor", ["0"])[0])
        part, following = rows[start : start + 7], start + 7 if start + 7 < len(rows) else None
        url = None if following is None else f"/rows?since={since}&cursor={following}"
        if form == "cursor":
            return said({"items": part, "next": following})
        if form == "url":
            return said({"data": part, "next": url})
        links = {"Link": f'</first>; rel="first", <{url}>; rel="next"'} if url else {}
        if form == "link":
            return said(part, **links)
        if form == "lines":
            body = "".join(f"{json.dumps(row)}\n" for row in part)
            return said(body.encode(), 200, **{"Content_Type": "application/x-ndjson", **links})
        body = "id,at\n" + "".join(f"{row['id']},{row['at']}\n" for row in part)
        return Reply(body.encode(), 200, {"Content-Type": "text/csv; charset=utf-8", **links})

    return answer


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("watermark", ["", "at"])
@pytest.mark.parametrize("form", ["cursor", "url", "link", "lines", "csv"])
def test_laws_of_http(law, form, watermark):
    """Each form of paging, and each format, keeps every law of a source, with and without a watermark."""
    with serving(paged(form)) as server:
        law(lambda: source(server, "/rows?since={after}" if watermark else "/rows", watermark=watermark)[0])


def test_the_next_pull_asks_from_the_watermark():
    """After a whole pull, the next asks from the greatest watermark on, and with an overlap from before it."""
    with serving(paged("url")) as server:
        found, _ = source(server, "/rows?since={after}", watermark="at")
        *_, last = found.pages()
        assert last.position == {"url": None, "rows": 0, "seen": "2024-01-31T09:00:00Z"}
        assert ids(found.pages(last.position)) == [18, 19]
        overlapping, _ = source(server, "/rows?since={after}", watermark="at", overlap=3_600_000_000)
        assert ids(overlapping.pages(last.position)) == [16, 17, 18, 19]
        assert server.asked[0][0] == "/rows?since="


def test_a_pull_goes_on_after_a_failure():
    """A server that fails in the middle loses the pull after some tries; the next goes on from there."""
    broken = threading.Event()
    rows = paged("cursor")

    def answer(path, headers):
        return said({}, 503) if broken.is_set() and "cursor=14" in path else rows(path, headers)

    with serving(answer) as server:
        broken.set()
        found, waited = source(server, "/rows")
        pages = found.pages()
        given = [next(pages), next(pages)]
        with pytest.raises(SourceLost, match="no answer after 5 tries: HTTP 503 Service Unavailable"):
            next(pages)
        assert ids(given) == list(range(14))
        assert waited == [1, 2, 4, 8]
        broken.clear()
        assert ids(found.pages(given[-1].position)) == list(range(14, 20))


@pytest.mark.parametrize(
    "first",
    [said({}, 500), said({}, 429, Retry_After="7"), said({}, 503, Retry_After="Wed, 31 Jan 2024 12:00:07 GMT",
     Date="Wed, 31 Jan 2024 12:00:00 GMT"), None, replace(said([{"id": 5}]), short=3)],
)  # fmt: skip
def test_a_failure_that_passes_is_not_seen(first):
    """An answer that fails, asks to wait, does not come, or ends early is asked for again, as long as it says."""
    replies = iter([first])

    with serving(lambda path, headers: next(replies, said([{"id": 1}]))) as server:
        found, waited = source(server, "/rows")
        assert ids(found.pages()) == [1]
    asks = first is not None and "Retry-After" in first.headers
    assert [*waited] == ([7.0] if asks and "Date" not in first.headers else waited)
    assert len(waited) == 1


def test_a_server_that_asks_for_too_long_a_wait_is_lost_at_once():
    """A server that asks to come back in an hour is not waited for."""
    with serving(lambda path, headers: said({}, 429, Retry_After="3600")) as server:
        found = source(server, "/rows")
        assert "no answer after 1 tries: HTTP 429" in refused(found, SourceLost)
        assert found[1] == []


def test_a_server_that_stalls_is_lost():
    """A server that takes a request and says nothing, or that trickles for minutes, is given up."""
    held = threading.Event()

    def stall(path, headers):
        held.wait(10)
        return said([])

    with serving(stall) as server:
        found, waited = source(server, "/rows")
        quick = replace(found, get=replace(found.get, timeout=0.05))
        assert "TimeoutError: timed out" in refused((quick, waited), SourceLost)
        held.set()
    with serving(lambda path, headers: said([{"id": 1}])) as server:
        found, waited = source(server, "/rows")
        hours = count(step=1000)
        slow = replace(found, get=replace(found.get, clock=lambda: next(hours)))
        assert "the answer took over 300 seconds" in refused((slow, waited), SourceLost)


def test_a_server_that_is_not_there():
    """A port on which nothing listens is a source that went away."""
    with serving(lambda path, headers: None) as server:
        gone = source(server, "/rows")
    assert "Connection refused" in refused(gone, SourceLost)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (said({"error": "no"}, 404), """HTTP 404 Not Found: '{"error": "no"}'"""),
        (said({}, 401), "(the credentials in the address)"),
        (said(b"<html>"), "expected JSON, got '<html>'"),
        (said({"rows": []}), "expected an array, or one in items, data, results, got an object with: rows"),
        (said([1, 2]), "expected an array of objects"),
        (said("text"), "expected an array of objects"),
        (said({"items": [], "next": "https://other.example/rows"}), "same origin, got one at 'other.example'"),
        (said({"items": [{"id": 1}], "next": "/rows"}), "the pages go in a circle"),
        (
            said({}, 302, Location="https://other.example/rows"),
            "same origin, got one to 'other.example'",
        ),
        (said({}, 302, Location="/rows"), "expected at most 5 redirects, got more"),
        (said([], 200, Content_Encoding="gzip"), "expected an answer that is not packed, got gzip"),
        (Reply(b"id\n\xff\n", 200, {"Content-Type": "text/csv"}), ":2: expected text in UTF-8"),
    ],
)
def test_answers_that_cannot_be_used(reply, expected):
    """What a server answers wrongly is said, and not tried again."""
    with serving(lambda path, headers: reply) as server:
        found = source(server, "/rows")
        assert expected in refused(found)
        assert found[1] == []


def test_an_answer_may_not_be_endless():
    """An answer over the limit is broken off."""
    with serving(lambda path, headers: said(b" " * 2_000_000)) as server:
        found, waited = source(server, "/rows")
        small = replace(found, get=replace(found.get, largest=1_000_000))
        assert "an answer of at most 1,000,000 bytes, got more (ask for smaller pages)" in refused((small, waited))


def test_redirects_within_the_origin_are_followed():
    """A redirect to another path of the same origin is followed."""

    def answer(path, headers):
        return said([{"id": 1}]) if path == "/new" else said({}, 308, Location="/new")

    with serving(answer) as server:
        assert ids(source(server, "/old")[0].pages()) == [1]


def test_credentials_are_sent_and_never_shown():
    """Userinfo becomes Basic, the user `token` Bearer; neither shows in errors, origins or positions."""
    environ = {"SECRET": "s/@: ecret"}
    pages = paged("url")

    def answer(path, headers):
        wrong = "cursor=14" in path
        return said(f"no {environ['SECRET']}".encode(), 403) if wrong else pages(path, headers)

    with serving(answer) as server:
        for user in ("reader:${SECRET}", "token:${SECRET}"):
            found, waited = source(server, "/rows?key=${SECRET}&since=", environ, user=user)
            given = [next(found.pages())]
            shown = refused((found, waited)) + repr([(page.origin, page.position) for page in given])
            assert environ["SECRET"] not in shown
            assert "ecret" not in shown.replace("${SECRET}", "")
        sent = {headers["Authorization"] for _, headers in server.asked}
        assert sent == {f"Basic {base64.b64encode(b'reader:s/@: ecret').decode()}", "Bearer s/@: ecret"}


def test_a_password_is_not_sent_in_the_clear():
    """Credentials are sent to another machine over https alone."""
    found = open_source(DataSet("c", "http://reader:secret@db.example.com/rows"), None, {})
    assert "expected https, because a password would be sent in the clear" in refused((found, []))


def test_names_and_late_columns(tmp_path):
    """With `names`, other columns are named and not read; a column may come in a later page only."""
    replies = {"/rows": said({"items": [{"id": 1, "x": 2}], "next": "/more"}), "/more": said([{"id": 2, "late": 3}])}
    with serving(lambda path, headers: replies[path]) as server:
        first, second = source(server, "/rows", names=["id", "late"])[0].pages()
    assert (list(first.table.columns), first.table.names) == (["id"], ("id", "x"))
    assert list(second.table.columns) == ["id", "late"]


# --- object storage -----------------------------------------------------------------------------------------------

BUCKET = {f"bank/in/{day}/rows.csv": f"id\n{day}\n{day}0\n".encode() for day in range(1, 6)} | {
    "bank/in/notes.txt": b"-",
    "bank/out/rows.csv": b"id\n9\n",
}


def objects(server, url="s3://bank/in/**/*.csv"):
    """The objects of a URL at a server."""
    environ = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_REGION": "eu-west-1",
               "AWS_ENDPOINT": server.origin, "AWS_ALLOW_HTTP": "true"}  # fmt: skip
    return open_source(DataSet("c", url), None, environ)


@pytest.mark.parametrize("law", LAWS)
def test_laws_of_objects(law):
    """Objects of a bucket keep every law of a source."""
    with serving(s3_of(BUCKET)) as server:
        law(lambda: replace(objects(server), page_rows=1))


def test_only_new_and_changed_objects_are_read():
    """After a pull, an object that is new or has another tag is read, and no other."""
    held = dict(BUCKET)
    with serving(s3_of(held)) as server:
        first = list(objects(server).pages())
        assert ids(first) == [1, 10, 2, 20, 3, 30, 4, 40, 5, 50]
        assert first[0].origin == "s3://bank/in/1/rows.csv"
        held["bank/in/2/rows.csv"] = b"id\n7\n8\n"
        held["bank/in/9/new.csv"] = b"id\n9\n"
        assert ids(objects(server).pages(first[-1].position)) == [7, 8, 9]
        assert ids(objects(server, "s3://bank/in/3/rows.csv").pages()) == [3, 30]


def test_objects_that_go_away_or_are_not_there():
    """An object that vanishes is lost for this pull; a name that is not there says which are."""
    held = dict(BUCKET)
    with serving(s3_of(held)) as server:
        pages = objects(server).pages()
        next(pages)
        del held["bank/in/2/rows.csv"]
        with pytest.raises(SourceLost, match=r"s3://bank/in/2/rows\.csv: not there \(any more\)"):
            list(pages)
        with pytest.raises(InputError, match=r"no such object \(there are: rows\.csv\)"):
            list(objects(server, "s3://bank/out/row.csv").pages())
        assert list(objects(server, "s3://bank/none/*.csv").pages()) == []


def test_a_bucket_that_refuses():
    """A bucket that the credentials do not open is an error of the declaration, not a source that went away."""
    denied = Reply(b"<Error><Code>AccessDenied</Code></Error>", 403)
    with serving(lambda path, headers: denied) as server, pytest.raises(InputError, match="refused"):
        list(objects(server).pages())
