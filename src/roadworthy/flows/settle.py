"""Settling: what each staged row of a pull is, beside the other rows of the pull and those that came before.

Every row is exactly one of: new, re-sent (it came before with the same values), corrected (a later version of an
outcome), or rejected. Rows are told apart by `Target.key`; without a primary key only an equal row is a re-sent one.
It is done in SQL with bounded memory, and only for the rows whose key is there twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from roadworthy.core.batch import Batch, Column
from roadworthy.core.contract import Fault, Field
from roadworthy.flows.decide import KNOWN
from roadworthy.flows.deltas import (
    TYPES,
    column_of,
    files_sql,
    listed,
    loaded,
    named,
    opened,
    table_sql,
    write_parquet,
)
from roadworthy.flows.pulls import FROM, NUMBER, Pull, Target
from roadworthy.flows.snapshots import ARRIVED, PULL
from roadworthy.flows.staging import (
    REJECTED,
    RELEASED,
    WAITING,
    plain_value,
    raw_row,
    rejected_columns,
    staged,
    write_rejected,
)
from roadworthy.tables.engine import duckdb

SLICE = 50_000  # conflicts in memory at once
LATEST = "settled-latest.parquet"


def settle(target: Target, pull: Pull) -> dict[str, int]:
    """Write what a staged pull comes to: the files `settled_valid` and `settled_rejected`. Gives the counts.

    `read` rows are `new`, `resent`, `corrected` or `rejected`; of the new ones some came `late`. `released` counts the
    rejected rows that a person's release took out of the quarantine.
    """
    with opened(target.staging / "spill") as connection:
        _views(connection, target, pull)
        _verdicts(connection, target)
        _conflicts(connection, target)
        valid = _settle_valid(connection, target, pull)
        rejected = _settle_rejected(connection, target, pull)
    counts = {**valid, **rejected}
    counts["resent"] = pull.read - counts["new"] - counts["corrected"] - counts["rejected"]
    return {"read": pull.read, **counts}


def settled_valid(target: Target) -> Path:
    """The file of the rows to publish."""
    return target.staging / "settled-valid.parquet"


def settled_rejected(target: Target) -> Path:
    """The file of the rejected rows to keep, and of the marks on those that were released."""
    return target.staging / "settled-rejected.parquet"


def latest_files(target: Target, existing: list[Path]) -> list[Path]:
    """The files that set rules are measured on: the table with the settled rows, of each outcome its last version."""
    found = [*existing, settled_valid(target)]
    if target.at or len(target.key) == len(target.contract.fields):
        return found
    keys = listed(target.key)
    with opened(target.staging / "spill") as connection:
        columns = {**_columns(target), ARRIVED: "TIMESTAMPTZ", PULL: "BIGINT"}
        connection.execute(f"CREATE VIEW everything AS {files_sql(found, columns, _there(connection, found))}")
        query = f"SELECT count(*) FROM (SELECT 1 FROM everything GROUP BY {keys} HAVING count(*) > 1)"
        if not connection.execute(query).fetchall()[0][0]:
            return found
        latest = f"row_number() OVER (PARTITION BY {keys} ORDER BY {PULL} DESC, {ARRIVED} DESC NULLS LAST)"
        write_parquet(connection, f"SELECT * FROM everything QUALIFY {latest} = 1", target.staging / LATEST)
    return [target.staging / LATEST]


def _there(connection: duckdb.DuckDBPyConnection, found: list[Path]) -> list[str]:
    paths = [str(path) for path in found]
    described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?, union_by_name = true)", [paths]).fetchall()
    return [row[0] for row in described]


def _columns(target: Target) -> dict[str, str]:
    return {field.name: TYPES[field.logical_type] for field in target.contract.fields}


def _views(connection: duckdb.DuckDBPyConnection, target: Target, pull: Pull) -> None:
    """`staged` and `before` hold valid rows, `turned_down` and `quarantine` rejected ones."""
    columns = _columns(target)
    extra = {NUMBER: "BIGINT", FROM: "VARCHAR", "_origin": "VARCHAR", "_row": "BIGINT"}
    files = staged(target, "valid", pull.pages)
    connection.execute(f"CREATE VIEW staged AS {files_sql(files, {**columns, **extra}, {**columns, **extra})}")
    before = table_sql(target.valid, {**columns, ARRIVED: "TIMESTAMPTZ", PULL: "BIGINT"})
    connection.execute(f"CREATE VIEW before AS {before}")
    newest = f"max({named(target.at)})" if target.at else "max(NULL::TIMESTAMPTZ)"
    connection.execute(f"CREATE TEMP TABLE past AS SELECT count(*) AS rows, {newest} AS newest FROM before")
    latest = "row_number() OVER (PARTITION BY id ORDER BY pull DESC) = 1"
    connection.execute(
        f"CREATE VIEW quarantine AS SELECT * FROM ({table_sql(target.rejected, REJECTED)}) QUALIFY {latest}"
    )


def _verdicts(connection: duckdb.DuckDBPyConnection, target: Target) -> None:
    """`verdicts`: what the staged rows are whose key is there more than once; all others are new."""
    keys = listed(target.key)
    same = " AND ".join(f"staged.{name} IS NOT DISTINCT FROM before.{name}" for name in map(named, target.key))
    connection.execute(
        f"CREATE TEMP TABLE touched AS SELECT {keys} FROM staged GROUP BY {keys} HAVING count(*) > 1 "
        f"UNION SELECT {_prefixed('staged', target.key)} FROM staged SEMI JOIN before ON {same}"
    )
    content = f"row({listed(target.contract.by_name)})"
    rivals = " UNION ALL ".join(
        f"SELECT {_prefixed(view, target.contract.by_name)}, {place} FROM {view} SEMI JOIN touched ON "
        + " AND ".join(f"{view}.{name} IS NOT DISTINCT FROM touched.{name}" for name in map(named, target.key))
        for view, place in (
            ("before", f"0::BIGINT AS {NUMBER}, {PULL} AS _when, {ARRIVED} AS _since"),
            ("staged", f"{NUMBER}, {2**62} AS _when, NULL::TIMESTAMPTZ AS _since"),
        )
    )
    connection.execute(
        f"CREATE TEMP TABLE rivals AS SELECT *, {content} AS _content, row_number() OVER (PARTITION BY {keys} "
        f"ORDER BY _when, _since NULLS FIRST, {NUMBER}) AS _nth FROM ({rivals})"
    )
    judged = _input_verdicts(target, keys) if target.at else _outcome_verdicts(target, keys)
    connection.execute(f"CREATE TEMP TABLE verdicts AS {judged}")


def _input_verdicts(target: Target, keys: str) -> str:
    """The first row of an id stands; an equal one was re-sent, and another one is a conflict with it."""
    ordered = f"OVER (PARTITION BY {keys} ORDER BY _nth)"
    differs = ", ".join(
        f"CASE WHEN {name} IS DISTINCT FROM first_value({name}) {ordered} THEN {literal} END"
        for each in target.contract.by_name
        for name, literal in [(named(each), "'" + each.replace("'", "''") + "'")]
    )
    return (f"SELECT {NUMBER}, 0 AS _nth_kept, _differs, CASE WHEN _nth = 1 THEN 'new' "
            f"WHEN _differs = '' THEN 'resent' ELSE 'conflict' END AS _verdict FROM "
            f"(SELECT *, concat_ws(', ', {differs}) AS _differs FROM rivals) WHERE {NUMBER} > 0")  # fmt: skip


def _outcome_verdicts(target: Target, keys: str) -> str:
    """Another content of a key is a later version of it.

    What equals a version that came before was re-sent, unless it is the pull's last word and differs from the newest
    version: then the outcome has gone back to what it was. A contract that says when a row was known tells such a row
    from a re-sent one by itself.
    """
    ordered = f"OVER (PARTITION BY {keys} ORDER BY _nth"
    back = "false" if target.knows else f"_last = _nth AND _content IS DISTINCT FROM _newest AND {NUMBER} > 0"
    return f"""
        WITH told AS (SELECT *, {NUMBER} = 0 OR row_number() OVER (PARTITION BY {keys}, _content ORDER BY _nth) = 1
                AS _fresh, max(_nth) OVER (PARTITION BY {keys}) AS _last FROM rivals),
            followed AS (SELECT *, last_value(CASE WHEN _fresh THEN _content END IGNORE NULLS)
                {ordered} ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS _newest FROM told),
            kept AS (SELECT *, _fresh OR ({back}) AS _kept FROM followed)
        SELECT {NUMBER}, '' AS _differs, CASE WHEN NOT _kept THEN 'resent' WHEN _nth = 1 THEN 'new' ELSE 'corrected' END
            AS _verdict, sum((_kept AND {NUMBER} > 0)::BIGINT) {ordered}) - 1 AS _nth_kept FROM kept
        QUALIFY {NUMBER} > 0"""


def _settle_valid(connection: duckdb.DuckDBPyConnection, target: Target, pull: Pull) -> dict[str, int]:
    """Write the new rows and versions, with the time at which each was known and the number of the pull."""
    known, late = _known_sql(target, pull.started)
    connection.execute(
        f"CREATE TEMP VIEW settled AS SELECT staged.*, coalesce(_verdict, 'new') AS _verdict, "
        f"coalesce(_nth_kept, 0) AS _nth_kept FROM staged LEFT JOIN verdicts USING ({NUMBER}) "
        f"WHERE coalesce(_verdict, 'new') IN ('new', 'corrected')"
    )
    counted = (
        "count(*) FILTER (_verdict = 'new'), count(*) FILTER (_verdict = 'corrected'), "
        f"count(*) FILTER ({late} AND _verdict = 'new')"
    )
    new, corrected, came_late = connection.execute(f"SELECT {counted} FROM settled, past").fetchall()[0]
    columns = _prefixed("settled", target.contract.by_name)
    write_parquet(
        connection,
        f"SELECT {columns}, {known} AS {ARRIVED}, {pull.number}::BIGINT AS {PULL} FROM settled, past",
        settled_valid(target),
    )
    return {"new": new, "corrected": corrected, "late": came_late}


def _known_sql(target: Target, started: int) -> tuple[str, str]:
    """The SQL of when a row was known, and of whether it came late; over `settled` and `past`.

    What the contract says comes first. An input's row of the first pull was known at its own time; later, one that is
    not after the newest row of before was known when the pull began. An outcome of the first pull says nothing (it is
    trusted when it has matured); later ones were known when the pull began, several of one key one after the other.
    """
    began = f"make_timestamptz({started})"
    said = f"settled.{named(KNOWN)}" if target.knows else "NULL::TIMESTAMPTZ"
    if target.at:
        at = f"settled.{named(target.at)}"
        late = f"(past.rows > 0 AND {said} IS NULL AND ({at} > past.newest) IS NOT TRUE)"
        return f"CASE WHEN {said} IS NOT NULL THEN greatest({at}, {said}) WHEN {late} THEN {began} ELSE {at} END", late
    version = f"make_timestamptz({started} + _nth_kept::BIGINT)"
    first = "past.rows = 0 AND _nth_kept = 0 AND _verdict = 'new'"
    return f"CASE WHEN {said} IS NOT NULL THEN {said} WHEN {first} THEN NULL ELSE {version} END", "false"


def _conflicts(connection: duckdb.DuckDBPyConnection, target: Target) -> None:
    """Write the rows that came before with other values as rejected rows, in page 0."""
    fields = target.contract.fields
    selected = ", ".join(loaded(field) for field in fields)
    connection.execute(
        f"CREATE TEMP TABLE conflicts AS SELECT {selected}, {NUMBER}, {FROM}, _origin, _row, _differs "
        f"FROM staged JOIN verdicts USING ({NUMBER}) WHERE _verdict = 'conflict' ORDER BY {NUMBER}"
    )
    total = connection.execute("SELECT count(*) FROM conflicts").fetchall()[0][0]
    parts = []
    for start in range(0, max(total, 1), SLICE):
        window = [start, start + SLICE]
        found = connection.execute("SELECT * FROM conflicts WHERE rowid >= ? AND rowid < ?", window).fetchnumpy()
        parts.append(_conflict_columns(target, found))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    write_rejected(connection, target, 0, columns)


def _conflict_columns(target: Target, found: Mapping[str, Column]) -> dict[str, Column]:
    fields = target.contract.fields
    batch = Batch({field.name: column_of(field, found[field.name]) for field in fields}, len(found[NUMBER]))
    rows = range(len(batch))
    raws = [raw_row({field.name: plain_value(field, batch[field.name][row]) for field in fields}) for row in rows]
    path = f"$.{target.key[0]}"
    reasons = [
        [Fault(path, "the row that came first under this id, or a new id", f"other values of {names}",
               "it came before with other values")]
        for names in found["_differs"].tolist()
    ]  # fmt: skip
    return {
        **rejected_columns(target, batch, raws, reasons),
        "text": np.zeros(len(batch)),
        "origin": found["_origin"],
        "row": np.asarray(found["_row"], np.float64),
        "came_from": column_of(Field(FROM, "string"), found[FROM]),
        NUMBER: np.asarray(found[NUMBER], np.int64),
    }


def _settle_rejected(connection: duckdb.DuckDBPyConnection, target: Target, pull: Pull) -> dict[str, int]:
    """Write the rejected rows that were not here before, and marks on those that a release took out."""
    columns = {name: kind for name, kind in REJECTED.items() if name not in ("state", "pull")} | {NUMBER: "BIGINT"}
    files = staged(target, "rejected", pull.pages)
    connection.execute(f"CREATE VIEW turned_down AS {files_sql(files, columns, columns)}")
    # One that stays in the quarantine after a release is rejected again; one that its source sent again is re-sent.
    connection.execute(f"""CREATE TEMP TABLE fresh AS
        SELECT turned_down.*, quarantine.id IS NOT NULL AS stays, quarantine.reasons AS reasons_before
        FROM (SELECT * FROM turned_down QUALIFY 1 =
            row_number() OVER (PARTITION BY id ORDER BY (came_from = id) IS TRUE DESC, {NUMBER}))
            AS turned_down
        LEFT JOIN quarantine USING (id)
        WHERE quarantine.id IS NULL OR turned_down.came_from = turned_down.id""")
    connection.execute(f"""CREATE TEMP TABLE marks AS
        SELECT DISTINCT id FROM (SELECT {FROM} AS id FROM staged UNION ALL SELECT came_from FROM turned_down)
        WHERE id IS NOT NULL AND id NOT IN (SELECT id FROM turned_down WHERE came_from = id)""")
    names = [name for name in REJECTED if name not in ("state", "pull")]
    kept = f"SELECT {listed(names)}, '{WAITING}' AS state FROM fresh WHERE NOT stays OR reasons <> reasons_before"
    marked = (
        f"SELECT {_prefixed('quarantine', names)}, '{RELEASED}' AS state FROM quarantine SEMI JOIN marks USING (id)"
    )
    query = f"SELECT {listed(REJECTED)} FROM (SELECT *, {pull.number}::BIGINT AS pull FROM ({kept} UNION ALL {marked}))"
    write_parquet(connection, query, settled_rejected(target))
    counted = "SELECT (SELECT count(*) FROM fresh), (SELECT count(*) FROM marks)"
    rejected, marks = connection.execute(counted).fetchall()[0]
    return {"rejected": rejected, "released": marks}


def _prefixed(table: str, names: Iterable[str]) -> str:
    return ", ".join(f"{table}.{named(name)} AS {named(name)}" for name in names)
