"""SQL in contracts: one read-only SELECT of one number over the contract's own table, and nothing else."""

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from roadworthy.flows.declare_sql import FUNCTIONS, named_column, safe_query

COLUMNS = {"id": "integer", "amount": "number", "day": "timestamp", "name": "string", "ok": "boolean"}
ROWS = "(VALUES (1, 5.0, TIMESTAMP '2024-01-01', 'a', true), (2, -1.0, NULL, 'b', false)) v(id, amount, day, name, ok)"


def answer(query):
    """What a query that is found safe gives over two rows."""
    with duckdb.connect(config={"enable_external_access": False}) as connection:
        connection.execute(f"CREATE VIEW orders AS SELECT * FROM {ROWS}")
        return connection.execute(safe_query(query, "orders", COLUMNS)).fetchone()[0]


def refused(query):
    """What was expected instead of a query, and what came; nothing for a query that is safe."""
    try:
        safe_query(query, "orders", COLUMNS)
    except ValueError as error:
        return error.args
    return ()


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT count(*) FROM {object}", 2),
        ("select count(*) from ${table} where amount < 0; -- a comment", 1),
        ("SELECT COUNT(*) FROM Orders WHERE NAME ILIKE 'A%'", 1),
        ("WITH bad AS (SELECT * FROM orders WHERE NOT ok) SELECT count(*) FROM bad", 1),
        ("SELECT max(n) FROM (SELECT count(*) AS n FROM orders GROUP BY name) t", 1),
        ("SELECT sum(CASE WHEN day IS NULL THEN 1 ELSE 0 END) / count(*) FROM orders", 0.5),
        ("SELECT count(*) FROM orders a JOIN orders b ON a.id = b.id + 1 WHERE a.day IS NULL", 1),
        ("SELECT count(*) FILTER (WHERE date_part('year', day) = 2024) = 1 FROM orders", True),
        ("SELECT count(*) FROM orders WHERE id IN (SELECT id FROM orders WHERE amount BETWEEN 1 AND 9)", 1),
        ("SELECT max(r) FROM (SELECT row_number() OVER (PARTITION BY name ORDER BY id) AS r FROM orders)", 1),
        ("SELECT quantile_cont(amount, 0.5) FROM orders", 2.0),
        ("SELECT count(*) FROM orders WHERE day > TIMESTAMP '2023-12-31' + INTERVAL 1 HOUR", 1),
        ("SELECT count(*) FROM orders WHERE TRY_CAST(name AS INTEGER) IS NULL", 2),
        ("SELECT count(*) FROM orders WHERE regexp_matches(name, '^[a-z]$')", 2),
    ],
)
def test_what_is_allowed(query, expected):
    """Aggregates, conditions, dates, texts, windows, WITH and subqueries over the table are allowed and run."""
    assert answer(query) == expected


@pytest.mark.parametrize(
    ("query", "expected", "got"),
    [
        ("", "one SELECT", "0 statements"),
        ("SELEC 1", "one SELECT", "syntax error"),
        ("SELECT 1", "a query over the contract's table 'orders'", "does not read it"),
        ("SELECT 1 FROM orders; SELECT 1 FROM orders", "one SELECT", "2 statements"),
        ("SELECT count(*) FROM orders; DROP TABLE orders", "one SELECT", "another statement"),
        ("DELETE FROM orders", "one SELECT", "another statement"),
        ("INSERT INTO orders SELECT * FROM orders", "one SELECT", "another statement"),
        ("UPDATE orders SET id = 1", "one SELECT", "another statement"),
        ("CREATE TABLE x AS SELECT * FROM orders", "one SELECT", "another statement"),
        ("COPY (SELECT * FROM orders) TO 'out.csv'", "one SELECT", "another statement"),
        ("EXPORT DATABASE 'x'", "one SELECT", "another statement"),
        ("ATTACH 'x.db'", "one SELECT", "another statement"),
        ("INSTALL httpfs", "one SELECT", "another statement"),
        ("LOAD httpfs", "one SELECT", "another statement"),
        ("SET enable_external_access = true", "one SELECT", "another statement"),
        ("PRAGMA database_list", "one SELECT", "another statement"),
        ("EXPLAIN ANALYZE SELECT count(*) FROM orders", "one SELECT", "another statement"),
        ("CALL pragma_version()", "one SELECT", "another statement"),
        ("DESCRIBE orders", "the contract's table in FROM", "show ref"),
        ("SHOW TABLES", "the contract's table in FROM", "show ref"),
        ("SELECT count(*) FROM others", "no table but the contract's own", "'others'"),
        ("SELECT count(*) FROM main.orders", "no table but the contract's own", "'main.orders'"),
        ("SELECT count(*) FROM 'secrets.csv'", "no table but the contract's own", "'secrets.csv'"),
        ('SELECT count(*) FROM "s3://bucket/x.parquet"', "no table but the contract's own", "'s3://bucket/x.parquet'"),
        ("SELECT count(*) FROM orders, information_schema.tables", "no table but the contract's own", "information"),
        ("SELECT count(*) FROM orders WHERE EXISTS (FROM duckdb_settings())", "table in FROM", "'duckdb_settings'"),
        ("SELECT count(*) FROM read_csv('secrets.csv')", "table in FROM", "'read_csv'"),
        ("SELECT count(*) FROM orders, (SELECT * FROM glob('/**'))", "table in FROM", "'glob'"),
        ("SELECT count(*) FROM orders, pragma_storage_info('orders')", "table in FROM", "'pragma_storage_info'"),
        ("SELECT count(*) FROM orders, range(1000000000)", "table in FROM", "'range'"),
        ("SELECT count(*) FROM query_table(['orders'])", "table in FROM", "'query_table'"),
        ("SELECT count(*) FROM query('SELECT 1')", "table in FROM", "'query'"),
        ("SELECT count(*) FROM (VALUES (1)) v, orders", "table in FROM", "expression list"),
        ("SELECT count(*) FROM (PIVOT orders ON ok IN (true) USING count(*))", "table in FROM", "pivot"),
        ("SELECT getenv('HOME') FROM orders", "a function that only computes", "'getenv'"),
        ("SELECT current_setting('threads') FROM orders", "a function that only computes", "'current_setting'"),
        ("SELECT length(read_text('x')) FROM orders", "a function that only computes", "'read_text'"),
        ("SELECT random() FROM orders", "a function that only computes", "'random'"),
        ("SELECT epoch(now()) FROM orders", "a function that only computes", "'now'"),
        ("SELECT nextval('s') FROM orders", "a function that only computes", "'nextval'"),
        ("SELECT length(repeat('x', 1000000000)) FROM orders", "a function that only computes", "'repeat'"),
        ("SELECT main.count(*) FROM orders", "a function that only computes", "'count_star'"),
        ("SELECT len(list_transform([1], lambda x: x)) FROM orders", "a function that only computes", "'len'"),
        ("SELECT count(*) FROM orders WHERE name = current_user", "a column of the contract", "'current_user'"),
        (
            "SELECT count(*) FROM orders, (SELECT 1 AS current_date) t WHERE day > current_date",
            "a column",
            "'current_date'",
        ),
        ("SELECT amuont FROM orders", "a column of the contract", "(did you mean 'amount'?)"),
        ("SELECT rowid FROM orders", "a column of the contract", "'rowid'"),
        ("WITH RECURSIVE r AS (SELECT 1 UNION ALL SELECT * FROM r) SELECT count(*) FROM r, orders", "recursion", "cte"),
        ("WITH orders AS (SELECT 1 AS id) SELECT count(*) FROM orders", "another name", "the same name"),
        ("SELECT count(*) FROM orders USING SAMPLE 10%", "the same number each time", "a sample"),
        ("SELECT count(*) FROM orders TABLESAMPLE 10%", "the same number each time", "a sample"),
        ("SELECT count(*) FROM orders AT (VERSION => 1)", "no table but", "'orders'"),
        ("SELECT count(*) FROM orders WHERE id = $1", "an expression that only computes", "parameter"),
        ("SELECT id, amount FROM orders", "one SELECT of one number", "2 columns"),
        ("SELECT name FROM orders", "one number or one truth value", "a VARCHAR"),
        ("SELECT day FROM orders", "one number or one truth value", "a TIMESTAMP"),
        ("SELECT count(*) FROM orders WHERE name > 5 + day", "a query that fits the table", "Binder Error"),
        ("SELECT count(*) FROM {objekt}", "{object} for the table", "'{objekt}'"),
        ("SELECT count({property}) FROM orders", "{property} for the column", "'{property}'"),
        (
            "SELECT " + "(" * 500 + "1" + ")" * 500 + " FROM orders WHERE" + " NOT" * 300 + " ok",
            "one SELECT|nested",
            "",
        ),
        ("SELECT 1 FROM orders --" + "x" * 20_000, "at most 20000 characters", ""),
    ],
)
def test_what_is_refused(query, expected, got):
    """Whatever writes, reads elsewhere, asks a clock, draws, or gives no number is refused with what was expected."""
    reasons = refused(query)
    assert any(each in reasons[0] for each in expected.split("|"))
    assert got in reasons[1]


def test_names_in_quotes():
    """A table and a column of any name are put in with quotes, and cannot end the query."""
    name = 'x" ; DROP TABLE "y'
    query = named_column("SELECT count({property}) FROM {object} WHERE ${column} IS NULL", name)
    assert safe_query(query, name, {name: "string"}).count('""') == 6
    assert named_column("SELECT {property}", "") == "SELECT {property}"


def test_no_function_reaches_outside():
    """No function that is allowed is one of those that read settings, files, clocks, chance or the catalogue."""
    with duckdb.connect() as connection:
        rows = connection.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE stability = 'VOLATILE' OR has_side_effects "
            "OR function_type IN ('table', 'pragma', 'table_macro')"
        ).fetchall()
    assert FUNCTIONS & {name for (name,) in rows} == set()


pieces = st.sampled_from([
    "SELECT", "count(*)", "FROM", "orders", "WHERE", "amount", "> 1", ",", "(", ")", ";", "--", "/*", "*/", "'", '"',
    "secret", "read_csv('secret.csv')", "'secret.csv'", "UNION ALL", "WITH orders AS", "JOIN", "current_user", "x AS",
    "getenv('X')", "COPY", "TO 'out.csv'", "ATTACH 'secret.db'", "PRAGMA", "LATERAL", "DELETE", "id", "AS", "1", "NOT",
    "IN", "max", "*", "{object}",
])  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(pieces, max_size=14).map(" ".join))
def test_no_mixture_of_words_reaches_a_secret(tmp_path_factory, query):
    """Whatever is put together from SQL's words is refused, or runs over the table alone beside a secret one."""
    if refused(query):
        return
    checked = safe_query(query, "orders", COLUMNS)
    for word in ("secret", "getenv", "current_user", "COPY", "ATTACH"):
        assert word not in checked
    with duckdb.connect(config={"enable_external_access": False}) as connection:
        connection.execute(f"CREATE TABLE orders AS SELECT * FROM {ROWS}")
        connection.execute("CREATE TABLE secret AS SELECT 42 AS id")
        found = connection.execute(checked).fetchall()
        assert connection.execute("SELECT count(*) FROM orders").fetchone() == (2,)
        assert all(row != (42,) for row in found)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_answered(text):
    """Any text at all is refused with two words of explanation, or is a query; nothing else is raised."""
    assert len(refused(text)) in (0, 2)
