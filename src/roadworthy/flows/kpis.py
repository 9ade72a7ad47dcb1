"""What each row brings to a KPI under each action, asked of DuckDB."""

from __future__ import annotations

import re

import numpy as np

from roadworthy.core.batch import Batch, Column, Floats, missing
from roadworthy.core.contract import Contract
from roadworthy.core.system import Kpi
from roadworthy.flows.declare_goals import DECISIONS
from roadworthy.flows.declare_sql import COLUMN_TYPES
from roadworthy.tables.engine import duckdb


def brought_by(
    kpi: Kpi, contract: Contract, rows: Batch, outcome: Floats, actions: tuple[str, ...]
) -> dict[str, Floats]:
    """For each action what each row brings to a KPI that adds up, shape (rows,); `outcome` is 1 or 0."""
    read = [field for field in contract.fields if re.search(rf"\b{re.escape(field.name)}\b", kpi.sql)]
    listed = [f'{_column(field.name)}::{COLUMN_TYPES[field.logical_type]} AS "{field.name}"' for field in read]
    columns: dict[str, Column] = {field.name: rows[field.name] for field in read}
    columns |= {f"{name} is missing": missing(column) for name, column in columns.items()}
    columns |= {"row of it": np.arange(len(rows)), "it is true": outcome == 1}
    found = {}
    with duckdb.connect(":memory:", config={"enable_external_access": False}) as connection:
        connection.register("arrays", columns)
        chosen = ", ".join([*listed, '"it is true" AS outcome', '"row of it"'])
        connection.execute(f"CREATE TABLE asked AS SELECT {chosen} FROM arrays")
        for action in actions:
            table = f"(SELECT *, '{action}' AS action FROM asked) AS {DECISIONS}"
            query = f'SELECT coalesce({kpi.sql}, 0)::DOUBLE AS brought FROM {table} GROUP BY "row of it"'
            query += ' ORDER BY "row of it"'
            found[action] = np.asarray(connection.execute(query).fetchnumpy()["brought"], np.float64)
    return found


def _column(name: str) -> str:
    return f'CASE WHEN "{name} is missing" THEN NULL ELSE "{name}" END'
