"""SQL in a contract: one read-only SELECT of one number over the contract's own table, and nothing else.

The text is parsed by DuckDB, its tree is walked, and what is given back is made from that tree: what was looked at is
what runs. Everything is refused that is not known to be harmless, so a new function of a new version is refused too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from roadworthy.errors import nearest
from roadworthy.tables.engine import duckdb

MAX_QUERY = 20_000  # characters
MAX_DEPTH = 100  # of the tree
TABLES = frozenset({"BASE_TABLE", "SUBQUERY", "JOIN", "EMPTY"})
NODES = frozenset({"SELECT_NODE", "SET_OPERATION_NODE"})
EXPRESSIONS = frozenset({
    "FUNCTION", "CONSTANT", "COLUMN_REF", "CAST", "TYPE", "COMPARISON", "CONJUNCTION", "OPERATOR", "CASE", "BETWEEN",
    "SUBQUERY", "WINDOW", "STAR", "POSITIONAL_REFERENCE",
})  # fmt: skip
# They look at their arguments alone: no file, no clock, no chance, no setting, no catalogue, no order of rows that is
# not asked for, and no text made huge.
COMPUTING = """
    + - * / // % ** ^ & | << >> ~ || ~~ !~~ ~~* !~~* ~~~ = <> < > <= >=
    approx_count_distinct arg_max arg_min avg bit_and bit_or bit_xor bool_and bool_or corr
    count count_if count_star countif covar_pop covar_samp entropy kurtosis mad max mean median min product
    quantile quantile_cont quantile_disc regr_slope regr_intercept regr_r2 skewness stddev stddev_pop
    stddev_samp sum var_pop var_samp variance
    cume_dist dense_rank first_value lag last_value lead nth_value ntile percent_rank rank rank_dense row_number
    abs acos asin atan atan2 cbrt ceil ceiling cos cot degrees even exp floor gcd greatest isfinite isinf isnan lcm
    least ln log log10 log2 mod nextafter pi pow power radians round sign sin sqrt tan trunc xor divide multiply add
    subtract coalesce ifnull nullif constant_or_null
    ascii btrim chr concat concat_ws contains ends_with hamming hash instr lcase left length levenshtein like_escape
    ilike_escape not_like_escape not_ilike_escape lower ltrim md5 nfc_normalize ord position prefix regexp_extract
    regexp_full_match regexp_matches regexp_replace replace reverse right rtrim sha256 split_part starts_with
    strip_accents strlen strpos substr substring suffix translate trim ucase unicode upper
    century date_diff date_part date_sub date_trunc datediff datepart datesub datetrunc day dayname dayofmonth
    dayofweek dayofyear decade epoch epoch_ms epoch_us era hour isodow isoyear last_day make_date make_time
    make_timestamp microsecond millennium millisecond minute month monthname quarter second strftime strptime
    time_bucket timezone to_days to_hours to_microseconds to_milliseconds to_minutes to_months to_seconds
    to_timestamp to_weeks to_years try_strptime week weekday weekofyear year yearweek
"""
FUNCTIONS = frozenset(COMPUTING.split())
# What DuckDB takes for a function without brackets where there is no column of the name.
VALUES = frozenset({
    "current_catalog", "current_database", "current_date", "current_role", "current_schema", "current_time",
    "current_timestamp", "current_user", "localtime", "localtimestamp", "session_user", "user",
})  # fmt: skip
COLUMN_TYPES = MappingProxyType({
    "string": "VARCHAR", "integer": "BIGINT", "number": "DOUBLE", "boolean": "BOOLEAN", "date": "TIMESTAMP",
    "timestamp": "TIMESTAMP",
})  # fmt: skip
NUMBERS = ("INT", "DECIMAL", "DOUBLE", "FLOAT", "BOOLEAN")
ONE_SELECT = "one SELECT of one number"


def named_column(text: str, column: str) -> str:
    """The query with the column's name for `{property}` (or `{column}`, `${column}`); without a column, as it is."""
    return re.sub(r"\$?\{(?:property|column)\}", lambda _: _quoted(column), text) if column else text


def safe_query(text: str, table: str, columns: Mapping[str, str]) -> str:
    """The query to run, over a table (or view) of the name `table`; `columns` are its logical types by their names.

    `{object}` (or `{table}`, `${table}`) is the table. Raises ValueError(expected, got) for anything but one SELECT
    that reads this table alone with functions that only compute, and gives one number or one truth value.
    """
    if len(text) > MAX_QUERY:
        raise ValueError(f"a query of at most {MAX_QUERY} characters", str(len(text)))
    query = re.sub(r"\$?\{(?:object|table)\}", lambda _: _quoted(table), text)
    if found := re.search(r"\$?\{\w*\}", query):
        raise ValueError("{object} for the table, and {property} for the column of a rule at a column", f"'{found[0]}'")
    with duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": False}) as connection:
        connection.execute("SET python_enable_replacements = false")
        tree = _parsed(connection, query)
        _looked_at(tree, table, columns)
        checked = _text_of(connection, tree)
        _bound(connection, checked, table, columns)
    return checked


ADDING = ("sum", "count", "count_star")  # aggregates of which the whole is the sum of what each row brings


def safe_aggregate(text: str, table: str, columns: Mapping[str, str]) -> tuple[str, bool]:
    """An aggregate over a table to be put after SELECT, and whether it adds up over rows: one plain sum or count.

    Raises ValueError(expected, got) for anything but an expression that gives one number for all rows together.
    """
    expected = "one aggregate over decisions, such as count(*) filter (where outcome)"
    query = safe_query(f"SELECT {text} FROM {_quoted(table)}", table, columns)
    end = f" FROM {table}"
    if not query.startswith("SELECT ") or not query.endswith(end):
        raise ValueError(expected, "a query of its own")
    with duckdb.connect(":memory:", config={"threads": 1, "enable_external_access": False}) as connection:
        connection.execute(_empty_table(table, columns))
        if len(connection.execute(query).fetchall()) != 1:
            raise ValueError(expected, "a value of each row")
        tree = _parsed(connection, query)
    top = tree["statements"][0]["node"]["select_list"][0]
    inner = [str(part["class"]) for part in _parts(top, 0) if "class" in part]
    plain = top.get("function_name") in ADDING and not top.get("distinct") and not {"SUBQUERY", "WINDOW"} & set(inner)
    return query.removeprefix("SELECT ").removesuffix(end), plain


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _parsed(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, Any]:
    """The tree of the one statement."""
    try:
        row = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [query]).fetchone()
        found = json.loads(row[0]) if row else {}
    except (duckdb.Error, RecursionError, ValueError) as error:
        raise ValueError(ONE_SELECT, _first_line(error)) from None
    if found.get("error", True):
        got = "another statement" if found.get("error_type") == "not implemented" else found.get("error_message", "")
        raise ValueError(ONE_SELECT, str(got).splitlines()[0] if got else "nothing")
    if len(found["statements"]) != 1:
        raise ValueError(ONE_SELECT, f"{len(found['statements'])} statements")
    tree: dict[str, Any] = found
    return tree


def _text_of(connection: duckdb.DuckDBPyConnection, tree: Mapping[str, Any]) -> str:
    try:
        row = connection.execute("SELECT json_deserialize_sql(?::JSON)", [json.dumps(tree)]).fetchone()
    except duckdb.Error as error:
        raise ValueError(ONE_SELECT, _first_line(error)) from None
    return str(row[0]) if row else ""


def _looked_at(tree: Mapping[str, Any], table: str, columns: Mapping[str, str]) -> None:
    """Refuse every part of the tree that is not known to be harmless. Raises ValueError(expected, got)."""
    parts = tuple(_parts(tree, 0))
    queries = {str(name).lower() for part in parts for name in _query_names(part)}
    names = {each.lower() for each in (*columns, table)} | queries
    names |= {str(name).lower() for part in parts for name in _aliases(part)}
    if table.lower() in queries:
        raise ValueError(f"a WITH of another name than the table '{table}'", "the same name")
    for part in parts:
        _harmless(part, {table.lower()} | queries, names, [*columns])
    if not any(
        part.get("type") == "BASE_TABLE" and str(part.get("table_name")).lower() == table.lower() for part in parts
    ):
        raise ValueError(f"a query over the contract's table '{table}'", "a query that does not read it")


def _parts(value: Any, depth: int) -> Iterator[dict[str, Any]]:
    """Every mapping of a tree, from the outside to the inside."""
    if depth > MAX_DEPTH:
        raise ValueError("a query that is not so deeply nested", f"more than {MAX_DEPTH} levels")
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _parts(each, depth + 1)


def _query_names(part: Mapping[str, Any]) -> list[str]:
    """The names that a WITH gives."""
    listed = part.get("cte_map")
    return [each["key"] for each in listed["map"]] if isinstance(listed, dict) else []


def _aliases(part: Mapping[str, Any]) -> Iterator[str]:
    yield from (part[key] for key in ("alias",) if isinstance(part.get(key), str) and part[key])
    for key in ("column_name_alias", "aliases"):
        yield from part.get(key) or ()


def _harmless(part: Mapping[str, Any], tables: set[str], names: set[str], columns: list[str]) -> None:
    kind, group = part.get("type"), part.get("class")
    if group is not None:
        _expression(part, str(group), names, columns)
    elif isinstance(kind, str) and kind.endswith("_NODE"):
        if kind not in NODES:
            raise ValueError("a SELECT without recursion", kind.removesuffix("_NODE").replace("_", " ").lower())
    elif "sample" in part and "query_location" in part and kind not in TABLES:
        function = (part.get("function") or {}).get("function_name", "")
        got = str(kind).replace("_", " ").lower() + (f" '{function}'" if function else "")
        raise ValueError("the contract's table in FROM", got)
    elif kind == "BASE_TABLE":
        name = str(part.get("table_name"))
        if name.lower() not in tables or part.get("schema_name") or part.get("catalog_name") or part.get("at_clause"):
            path = ".".join(str(each) for each in (part.get("qualified_name") or {}).get("path", [name]))
            raise ValueError("no table but the contract's own", f"'{path}'")
    if part.get("sample"):
        raise ValueError("a query that gives the same number each time", "a sample")


def _expression(part: Mapping[str, Any], group: str, names: set[str], columns: list[str]) -> None:
    if group not in EXPRESSIONS:
        raise ValueError("an expression that only computes", group.replace("_", " ").lower())
    if group in ("FUNCTION", "WINDOW"):
        name = str(part.get("function_name"))
        if name.lower() not in FUNCTIONS or part.get("schema") or part.get("catalog"):
            hint = nearest(name, FUNCTIONS)
            raise ValueError("a function that only computes", f"'{name}'" + (f" ({hint})" if hint else ""))
    elif group == "COLUMN_REF":
        for name in part.get("column_names", ()):
            if str(name).lower() not in names - (VALUES - {each.lower() for each in columns}):
                hint = nearest(str(name), columns)
                raise ValueError("a column of the contract", f"'{name}'" + (f" ({hint})" if hint else ""))
    elif group == "TYPE" and (part.get("schema") or part.get("catalog")):
        raise ValueError("a type of SQL", str(part.get("type_name")))


def _bound(connection: duckdb.DuckDBPyConnection, query: str, table: str, columns: Mapping[str, str]) -> None:
    """Whether the query fits the table's columns and gives one number; asked of an empty table, nothing is run."""
    try:
        connection.execute(_empty_table(table, columns))
        types = [str(each) for each in connection.sql(query).types]
    except duckdb.Error as error:
        raise ValueError("a query that fits the table", _first_line(error)) from None
    if len(types) != 1:
        raise ValueError(ONE_SELECT, f"{len(types)} columns")
    if not any(name in types[0] for name in NUMBERS) or "[" in types[0] or "(" in types[0].removeprefix("DECIMAL("):
        raise ValueError("one number or one truth value", f"a {types[0]}")


def _empty_table(table: str, columns: Mapping[str, str]) -> str:
    listed = ", ".join(f"{_quoted(name)} {COLUMN_TYPES.get(kind, kind)}" for name, kind in columns.items())
    return f"CREATE TABLE {_quoted(table)} ({listed})"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
