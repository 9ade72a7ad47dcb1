"""The table of `bench/quality.py`: card payments with 35 columns, the same bytes of data for the same number of rows.

Realistic in what matters to a scan and to checks: ids with gaps, texts that repeat (customers, merchants) and texts
that never do (references), cents, dates, shares of nulls, and a few rows that break rules.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import duckdb
import numpy as np

from roadworthy.core.contract import Contract, Field
from roadworthy.core.quality import SetRule

CHUNK = 1_000_000
SEED = 20240131
START = 1_704_067_200  # 2024-01-01, in seconds

# How each column is made of the numbers that `_numbers` draws.
COLUMNS = {
    "transaction_id": "id",
    "reference": "'TX-2024-' || lpad(id::VARCHAR, 10, '0')",
    "customer_id": "customer",
    "terminal_id": "(terminal % 40000)::INTEGER",
    "email": "'user' || customer || '@' || ['example.org', 'mail.example.com', 'post.example.net'][1 + customer % 3]",
    "tx_datetime": "make_timestamp(second * 1000000)",
    "booked_on": "(make_timestamp(second * 1000000) + to_days((a % 3)::INTEGER))::DATE",
    "amount": "CASE WHEN bad % 1000003 = 1 THEN -1.0 ELSE cents / 100.0 END",
    "fee": "(cents // 80) / 100.0",
    "currency": "['EUR', 'USD', 'GBP', 'CHF', 'SEK', 'PLN', 'CZK', 'DKK'][1 + (a % 64) // 8]",
    "country": "['DE', 'FR', 'IT', 'ES', 'NL', 'BE', 'AT', 'PL', 'CZ', 'SE', 'DK', 'CH'][1 + customer % 12]",
    "channel": "['web', 'app', 'shop', 'phone'][1 + a % 4]",
    "status": "CASE WHEN bad % 700001 = 1 THEN 'setled' "
              "ELSE ['settled', 'pending', 'refused', 'returned', 'charged back'][1 + b % 5] END",
    "mcc": "(1000 + terminal % 300)::INTEGER",
    "card_type": "['debit', 'credit', 'prepaid'][1 + customer % 3]",
    "card_last4": "lpad((customer * 7919 % 10000)::VARCHAR, 4, '0')",
    "iban": "['DE', 'FR', 'IT', 'ES'][1 + customer % 4] || lpad((customer * 104729)::VARCHAR, 20, '0')",
    "device_id": "CASE WHEN b % 10 = 0 THEN NULL ELSE left(md5((customer * 3 + a % 3)::VARCHAR), 16) END",
    "ip": "'10.' || (customer // 65536 % 256) || '.' || (customer // 256 % 256) || '.' || (customer % 256)",
    "age": "CASE WHEN a % 33 = 0 THEN NULL ELSE 18 + customer % 70 END::INTEGER",
    "income": "CASE WHEN b % 20 = 0 THEN NULL ELSE 1000.0 * (15 + customer % 120) END",
    "segment": "['retail', 'student', 'premium', 'business'][1 + customer % 4]",
    "score": "share",
    "balance": "(cents * 37 % 1000000) / 100.0",
    "attempts": "(1 + b % 3)::TINYINT",
    "is_recurring": "a % 5 = 0",
    "is_foreign": "b % 9 = 0",
    "merchant_name": "'Merchant ' || (terminal % 50000)",
    "postcode": "lpad((customer % 100000)::VARCHAR, 5, '0')",
    "latitude": "47.0 + (terminal % 80000) / 10000.0",
    "longitude": "6.0 + (terminal % 90000) / 10000.0",
    "quantity": "(1 + a % 12)::INTEGER",
    "discount": "CASE WHEN a % 4 = 0 THEN (b % 50) / 100.0 END",
    "opened_on": "DATE '2001-01-01' + (customer % 8000)::INTEGER",
    "note": "CASE WHEN b % 50 = 0 THEN 'called on ' || (a % 300) END",
}  # fmt: skip


def make(path: Path, rows: int, threads: int = 2) -> None:
    """Write the table as one Parquet file (zstd); done under another name first, so that half a file is never used."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder, duckdb.connect(config={"threads": threads}) as made:
        made.execute("SET python_scan_all_frames = false")
        parts = []
        for number, start in enumerate(range(0, rows, CHUNK)):
            made.register("drawn", _numbers(number, min(CHUNK, rows - start)))
            parts.append(f"{folder}/{number}.parquet")
            asked = ", ".join(f"{formula} AS {name}" for name, formula in COLUMNS.items())
            made.execute(f"COPY (SELECT {asked} FROM drawn) TO '{parts[-1]}' (COMPRESSION zstd)")
            made.unregister("drawn")
        whole = f"{folder}/whole.parquet"
        made.execute(f"COPY (SELECT * FROM read_parquet({parts})) TO '{whole}' (COMPRESSION zstd)")
        Path(whole).replace(path)


def _numbers(number: int, rows: int) -> dict[str, np.ndarray]:
    """What one chunk is made of; arrays of shape (rows,)."""
    rng = np.random.default_rng([SEED, number])
    place = np.arange(number * CHUNK, number * CHUNK + rows)
    id = 100_000_000 + place * 2 + rng.integers(0, 2, rows)
    id[777_777:777_780] = id[777_776] if rows > 777_780 else id[777_777:777_780]  # three rows sent again
    return {
        "id": id,
        "second": START + place * 3 + rng.integers(0, 3, rows),
        "customer": rng.zipf(1.3, rows) % 400_000,
        "terminal": rng.integers(0, 1_000_000, rows),
        "cents": np.rint(np.exp(rng.normal(7.5, 1.2, rows))).astype(np.int64) + 1,
        "share": np.rint(rng.beta(1, 9, rows) * 1e6) / 1e6,
        "a": rng.integers(0, 1_000_000, rows),
        "b": rng.integers(0, 1_000_000, rows),
        "bad": place,
    }


PATTERN = r"TX-[0-9]{4}-[0-9]{10}"  # of 10 million texts that are all different


def contract(*, unlike: bool = False) -> Contract:
    """What is promised about the table: 60 rules, beside the types; with `unlike`, `reference` has a pattern, too."""
    fields = (
        Field("transaction_id", "integer", required=True, minimum=1, unique=True),
        Field("reference", "string", required=True, max_length=18, pattern=PATTERN if unlike else ""),
        Field("customer_id", "integer", required=True, minimum=0),
        Field("terminal_id", "integer", required=True, minimum=0, maximum=39_999),
        Field("email", "string", pattern=r"[a-z0-9.]+@[a-z0-9.-]+\.[a-z]{2,}", max_length=120),
        Field("tx_datetime", "timestamp", required=True, minimum=START * 1e6, maximum=(START + 366 * 86_400) * 1e6),
        Field("booked_on", "date", required=True),
        Field("amount", "number", required=True, minimum=0.0, maximum=1e6, multiple_of=0.01),
        Field("fee", "number", minimum=0.0, maximum=1e4),
        Field("currency", "string", enum=("EUR", "USD", "GBP", "CHF", "SEK", "PLN", "CZK", "DKK")),
        Field("country", "string", min_length=2, max_length=2),
        Field("channel", "string", required=True, enum=("web", "app", "shop", "phone")),
        Field("status", "string", enum=("settled", "pending", "refused", "returned", "charged back")),
        Field("mcc", "integer", minimum=1000, maximum=9999),
        Field("card_type", "string", enum=("debit", "credit", "prepaid")),
        Field("card_last4", "string", pattern=r"\d{4}"),
        Field("iban", "string", pattern=r"[A-Z]{2}\d{20}"),
        Field("device_id", "string", pattern=r"[0-9a-f]{16}"),
        Field("ip", "string", pattern=r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}"),
        Field("age", "integer", minimum=16, maximum=120),
        Field("income", "number", minimum=0.0),
        Field("segment", "string", enum=("retail", "student", "premium", "business")),
        Field("score", "number", required=True, minimum=0.0, maximum=1.0),
        Field("balance", "number", multiple_of=0.01),
        Field("attempts", "integer", minimum=1, maximum=3),
        Field("is_recurring", "boolean", required=True),
        Field("is_foreign", "boolean"),
        Field("merchant_name", "string", min_length=3),
        Field("postcode", "string", pattern=r"\d{5}"),
        Field("latitude", "number", minimum=-90.0, maximum=90.0),
        Field("longitude", "number", minimum=-180.0, maximum=180.0),
        Field("quantity", "integer", exclusive_minimum=0.0),
        Field("discount", "number"),
        Field("opened_on", "date"),
        Field("note", "string"),
    )
    booked = "SELECT count(*) FROM {object} WHERE booked_on < tx_datetime::DATE"
    sets = (
        SetRule("transaction_id.unique", "duplicateValues", ("transaction_id",), "mustBe", (0.0,)),
        SetRule("one payment", "duplicateValues", ("customer_id", "terminal_id", "tx_datetime"), "mustBe", (0.0,)),
        SetRule("rows", "rowCount", (), "mustBeBetween", (1.0, 1e8)),
        SetRule("device_id.null", "nullValues", ("device_id",), "mustBeLessThan", (15.0,), "percent"),
        SetRule("age.null", "nullValues", ("age",), "mustBeLessThan", (5.0,), "percent"),
        SetRule("income.null", "nullValues", ("income",), "mustBeLessThan", (5.1,), "percent"),
        SetRule("note.missing", "missingValues", ("note",), "mustBeLessThan", (99.0,), "percent", (None, "")),
        SetRule("booked too soon", "sql", (), "mustBe", (0.0,), query=booked),
    )  # fmt: skip
    return Contract("payments", "1.0.0", "payments", fields, set_rules=sets)
