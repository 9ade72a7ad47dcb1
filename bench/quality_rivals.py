"""What others need for the rules of `bench/quality.py`; run by it, in an environment of its own.

    python quality_rivals.py WAY FILE RULES

RULES is a JSON file of the contract's columns and set rules. Prints one JSON document: seconds, peak memory, and what
was found broken. The packages of an `import` below are not among the project's.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time

THREADS = 2
os.environ["POLARS_MAX_THREADS"] = str(THREADS)
os.environ["PANDERA_VALIDATION_DEPTH"] = "SCHEMA_AND_DATA"


def scan_polars(path, _rules):
    """Every value of every column decoded, by Polars' streaming engine."""
    import polars  # noqa: PLC0415

    frame = polars.scan_parquet(path)
    terms = []
    for name, kind in frame.collect_schema().items():
        column = polars.col(name)
        if kind == polars.String:
            terms.append(column.str.len_bytes().sum())
        else:
            terms.append((column.to_physical() if kind.is_temporal() else column).sum())
    frame.select(terms).collect(engine="streaming")
    return {}


def scan_pyarrow(path, _rules):
    """Every value of every column decoded, batch by batch."""
    import pyarrow  # noqa: PLC0415
    from pyarrow import parquet  # noqa: PLC0415

    pyarrow.set_cpu_count(THREADS)
    return {"rows": sum(batch.num_rows for batch in parquet.ParquetFile(path).iter_batches(batch_size=122_880))}


def pandera(path, rules):
    """The rules as a Pandera schema over a Polars frame, validated lazily: all failures, not only the first."""
    import pandera.polars as pandera  # noqa: PLC0415
    import polars  # noqa: PLC0415

    def share(least):
        return pandera.Check(lambda data: data.lazyframe.select(polars.col(data.key).is_null().mean() < least))

    def multiple(step):
        return pandera.Check(
            lambda data: data.lazyframe.select(
                ((polars.col(data.key) / step) - (polars.col(data.key) / step).round()).abs() < 1e-6
            )
        )

    columns = {}
    for field in rules["fields"]:
        checks = []
        for key, check in (
            ("minimum", pandera.Check.ge), ("maximum", pandera.Check.le), ("exclusive_minimum", pandera.Check.gt),
        ):  # fmt: skip
            if field[key] is not None:
                limit = field[key]
                if field["logical_type"] == "timestamp":
                    limit = polars.Series([int(limit)]).cast(polars.Datetime("us"))[0]
                checks.append(check(limit))
        if field["enum"]:
            checks.append(pandera.Check.isin(field["enum"]))
        if field["pattern"]:
            checks.append(pandera.Check.str_matches(f"^(?:{field['pattern']})$"))
        if field["min_length"] is not None or field["max_length"] is not None:
            checks.append(pandera.Check.str_length(field["min_length"], field["max_length"]))
        if field["multiple_of"]:
            checks.append(multiple(field["multiple_of"]))
        checks += [
            share(rule["values"][0] / 100)
            for rule in rules["sets"]
            if rule["metric"] in ("nullValues", "missingValues") and rule["fields"] == [field["name"]]
        ]
        columns[field["name"]] = pandera.Column(
            nullable=not field["required"], unique=field["name"] == "transaction_id", checks=checks
        )
    together = next(rule["fields"] for rule in rules["sets"] if len(rule["fields"]) > 1)
    booked = pandera.Check(
        lambda data: data.lazyframe.select(polars.col("booked_on") >= polars.col("tx_datetime").dt.date())
    )
    schema = pandera.DataFrameSchema(columns, unique=together, checks=[booked])
    frame = polars.read_parquet(path)
    try:
        schema.validate(frame, lazy=True)
    except pandera.errors.SchemaErrors as errors:
        return {"broken": sorted({str(each.schema.name or each.check) for each in errors.schema_errors})}
    return {"broken": []}


def expected_of_column(e, pandas, field):
    """The row rules of one column as expectations."""
    name, asked = field["name"], []
    low, high = field["minimum"], field["maximum"]
    if field["logical_type"] == "timestamp":
        low, high = (pandas.Timestamp(int(each), unit="us") for each in (low, high))
    if field["required"]:
        asked.append(e.ExpectColumnValuesToNotBeNull(column=name))
    for limits, given in (
        ({"min_value": low}, low),
        ({"max_value": high}, high),
        ({"min_value": field["exclusive_minimum"], "strict_min": True}, field["exclusive_minimum"]),
    ):
        asked += [e.ExpectColumnValuesToBeBetween(column=name, **limits)] if given is not None else []
    if field["enum"]:
        asked.append(e.ExpectColumnValuesToBeInSet(column=name, value_set=field["enum"]))
    if field["pattern"]:
        asked.append(e.ExpectColumnValuesToMatchRegex(column=name, regex=f"^(?:{field['pattern']})$"))
    lengths = {"min_value": field["min_length"], "max_value": field["max_length"]}
    if any(length is not None for length in lengths.values()):
        asked.append(e.ExpectColumnValueLengthsToBeBetween(column=name, **lengths))
    return asked


def expected_of_table(e, rule):
    """A set rule as an expectation."""
    if rule["metric"] == "sql":
        return e.ExpectColumnPairValuesAToBeGreaterThanB(column_A="booked_on", column_B="day", or_equal=True)
    if rule["metric"] == "rowCount":
        return e.ExpectTableRowCountToBeBetween(min_value=1, max_value=10**8)
    if rule["metric"] != "duplicateValues":
        return e.ExpectColumnValuesToNotBeNull(column=rule["fields"][0], mostly=1 - rule["values"][0] / 100)
    if len(rule["fields"]) == 1:
        return e.ExpectColumnValuesToBeUnique(column=rule["fields"][0])
    return e.ExpectCompoundColumnsToBeUnique(column_list=rule["fields"])


def great_expectations(path, rules):
    """The rules as expectations over a pandas frame, but for `multipleOf`; a share of nulls is `mostly`."""
    import great_expectations as ge  # noqa: PLC0415
    import pandas  # noqa: PLC0415

    asked = [each for field in rules["fields"] for each in expected_of_column(ge.expectations, pandas, field)]
    asked += [expected_of_table(ge.expectations, rule) for rule in rules["sets"]]
    frame = pandas.read_parquet(path)
    frame["booked_on"] = pandas.to_datetime(frame["booked_on"])
    frame["day"] = frame["tx_datetime"].dt.floor("D")
    context = ge.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("frames").add_dataframe_asset("payments")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
    result = batch.validate(ge.ExpectationSuite(name="payments", expectations=asked), result_format="BASIC")
    broken = [each.expectation_config for each in result.results if not each.success]
    return {"checks": len(asked), "broken": [str(each.kwargs.get("column", each.type)) for each in broken]}


def main() -> None:
    """Measure one way over one file."""
    if len(sys.argv) != 4:
        print("bench/quality.py runs this")
        return
    way, path, rules = sys.argv[1:]
    with open(rules, encoding="utf-8") as file:  # noqa: PTH123
        declared = json.load(file)
    before, start = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    found = {"scan_polars": scan_polars, "scan_pyarrow": scan_pyarrow, "pandera": pandera,
             "great_expectations": great_expectations}[way](path, declared)  # fmt: skip
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_gb": used.ru_maxrss / 1e6, **found}))


if __name__ == "__main__":
    main()
