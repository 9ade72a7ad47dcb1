"""OpenLineage: every event is valid against the published schemas, each facet against its own, and tells the truth."""

from __future__ import annotations

import copy
import functools
import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from test_docs import EXAMPLE

from roadworthy.core.system import DataSet
from roadworthy.errors import SourceLost
from roadworthy.flows.declare import read_system
from roadworthy.flows.openlineage import Run, append_event, event, job_of, run_of, uuid7
from roadworthy.flows.openlineage_datasets import (
    FACETS,
    file_dataset,
    home_dataset,
    named,
    release_dataset,
    snapshot_dataset,
    source_dataset,
)

SCHEMAS = Path(__file__).parent / "fixtures" / "openlineage"
NOW = 1_767_225_600_000_000  # 2026-01-01
HOME = Path("/srv/a home")
SECOND = 1_000_000
PROFILE = {
    "rows": 3,
    "columns": {
        "tx_amount": {"missing": 1, "distinct": 2, "min": 1.5, "max": 9.0, "mean": 5.25},
        "tx_datetime": {"missing": 0, "distinct": 3, "min": "2026-01-01", "max": "2026-01-02", "mean": float("nan")},
    },
}


MEASURED = (
    {"name": "tx_amount.required", "expected": "a value", "broken": 0, "verdict": "pass", "severity": "error"},
    {"name": "tx_amount.minimum", "expected": "at least 0", "broken": 2, "verdict": "fail"},
    {"name": "customer_id+tx_datetime.duplicateValues", "expected": "0 rows", "measured": 3.0, "verdict": "fail"},
    {"name": "rowCount", "expected": "more than 0", "measured": None, "verdict": "unknown", "note": "no rows"},
)


def loaded() -> Registry:
    """The published schemas by their ids."""
    schemas = [json.loads(path.read_text()) for path in SCHEMAS.rglob("*.json")]
    return Registry().with_resources([(each["$id"], Resource.from_contents(each)) for each in schemas])


PUBLISHED = loaded()
FORMATS = FormatChecker(["uuid"])


@FORMATS.checks("date-time", raises=ValueError)
def is_date_time(value):
    """Whether this is a time of RFC 3339: jsonschema itself leaves the format unchecked."""
    return not isinstance(value, str) or (
        re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)", value) is not None
        and datetime.fromisoformat(value) is not None
    )


@FORMATS.checks("uri")
def is_uri(value: object) -> bool:
    """Whether a text is a URI: a scheme, and only characters that may stand in one."""
    return (
        not isinstance(value, str)
        or re.fullmatch(r"[a-z][a-z0-9+.\-]*:[\w\-.~:/?#\[\]@!$&'()*+,;=%]+", value) is not None
    )


@functools.cache
def validator(reference: str) -> Draft202012Validator:
    """The validator of one definition of the published schemas."""
    return Draft202012Validator({"$ref": reference}, registry=PUBLISHED, format_checker=FORMATS)


def complaints(document: object, reference: str) -> list[str]:
    """What a published schema says against a document."""
    return [f"{list(error.path)}: {error.message}" for error in validator(reference).iter_errors(document)]


def faults(told: dict) -> list[str]:
    """What is wrong with an event: by the schema of events, by that of each facet, and names that no schema has."""
    found = complaints(told, told["schemaURL"])
    places = [("run", told["run"].get("facets", {})), ("job", told["job"].get("facets", {}))]
    for dataset in (*told["inputs"], *told["outputs"]):
        places += [(key, dataset.get(key, {})) for key in ("facets", "inputFacets", "outputFacets")]
    for place, facets in places:
        for name, facet in facets.items():
            found += facet_faults(place, name, facet)
    return found


BASES = {"run": "RunFacet", "job": "JobFacet", "facets": "DatasetFacet", "inputFacets": "InputDatasetFacet",
         "outputFacets": "OutputDatasetFacet"}  # fmt: skip


def facet_faults(place: str, name: str, facet: dict) -> list[str]:
    """What is wrong with one facet: it must be known under this name, stand where it belongs, and hold known keys."""
    url = facet.get("_schemaURL") if isinstance(facet, dict) else None
    if not isinstance(url, str) or url.split("#")[0] not in PUBLISHED:
        return [f"{name}: no published facet"]
    schema = PUBLISHED.contents(url.split("#")[0])
    definition = schema["$defs"].get(url.rsplit("/", 1)[-1])
    if definition is None or schema["properties"].get(name, {}).get("$ref") != "#" + url.split("#")[1]:
        return [f"{name}: not the name of {url}"]
    base, own = definition["allOf"]
    if base["$ref"].rsplit("/", 1)[-1] != BASES[place]:
        return [f"{name}: does not belong into {place}"]
    unknown = set(facet) - set(own["properties"]) - {"_producer", "_schemaURL"}
    return [*complaints(facet, url), *(f"{name}: unknown {key}" for key in unknown)]


@pytest.fixture(scope="module")
def project():
    """The fraud example."""
    return read_system(EXAMPLE)


def acquired(project, *, done: bool = True) -> Run:
    """A run of acquire with all that it can tell."""
    contract, system = project.contracts["input"], project.system
    source = source_dataset(system.input, project.folder, contract, measured=MEASURED, profile=PROFILE)
    document = {"digest": "ab" * 32, "system": system.name, "table": "input", "rows": 3, "profile": PROFILE}
    outputs = [snapshot_dataset(HOME, document, contract, source)] if done else []
    return Run(uuid7(NOW, bytes(8)), job_of(system, "acquire", "input"), [source], outputs, nominal=NOW - SECOND)


def trained(project) -> Run:
    """A run of train over snapshots, within a rehearsal within a schedule."""
    system = project.system
    inputs = {
        table: snapshot_dataset(HOME, {"digest": "cd" * 32, "system": system.name, "table": table, "rows": 3,
                                       "profile": PROFILE}, project.contracts[table])
        for table in ("input", "outcome")
    }  # fmt: skip
    release = release_dataset(HOME, "ef" * 32, project, inputs)
    outer = Run(uuid7(NOW - 2, bytes(8)), job_of(system, "rehearse"))
    parent = Run(uuid7(NOW - 1, bytes(8)), job_of(system, "rehearse"), parent=outer)
    return Run(uuid7(NOW, bytes(8)), job_of(system, "train"), [*inputs.values()], [release], parent=parent)


def rehearsed(project) -> Run:
    """A run of rehearse."""
    made = home_dataset(HOME, project.system.name, "rehearsal", "12" * 32)
    return Run(uuid7(NOW, bytes(8)), job_of(project.system, "rehearse"), trained(project).inputs, [made])


def scored(project) -> Run:
    """A run of score over a file."""
    outputs = [file_dataset(Path("/out/decisions.csv")), home_dataset(HOME, project.system.name, "decisions")]
    return Run(uuid7(NOW, bytes(8)), job_of(project.system, "score"), [file_dataset(Path("/in/rows.csv"))], outputs)


def failure(error: Exception) -> Exception:
    """An error with its trace, as it is caught."""
    try:
        raise error
    except type(error) as caught:
        return caught


@pytest.mark.parametrize("made", [acquired, trained, rehearsed, scored])
@pytest.mark.parametrize(
    ("type", "error"),
    [("START", None), ("COMPLETE", None), ("FAIL", failure(SourceLost("gone"))), ("ABORT", failure(OSError("x")))],
)
def test_every_event_is_valid(project, made, type, error):
    """START, COMPLETE, FAIL and ABORT of every job are valid, and so is each of their facets by its own schema."""
    told = json.loads(msgspec.json.encode(event(made(project), type, NOW, error)))
    assert faults(told) == []


def test_every_facet_that_is_written_is_validated(project):
    """The events of these tests hold every kind of facet there is, with the version of its published schema."""
    text = json.dumps(
        [event(made(project), "FAIL", NOW, failure(OSError("x"))) for made in (acquired, trained, scored)]
    )
    assert {name for name in FACETS if f"/{name}.json" in text} == set(FACETS)
    published = {
        path.stem: json.loads(path.read_text())["$id"].split("/")[-2] for path in SCHEMAS.glob("facets/*.json")
    }
    assert dict(FACETS) == published


def leaves(value: object, path: tuple = ()):
    """The path of every value in a document that holds no others."""
    if isinstance(value, dict | list) and value:
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from leaves(inner, (*path, key))
    else:
        yield path


def changed(document: dict, path: tuple, value: object) -> dict:
    """A copy of a document with another value at a path; without a value it is left out."""
    copied = copy.deepcopy(document)
    inner = copied
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return copied


@pytest.mark.parametrize("made", [acquired, trained])
def test_a_wrong_value_anywhere_is_refused(project, made):
    """Whichever single value of an event is replaced by one of another kind, validation refuses the event."""
    told = event(made(project), "FAIL", NOW, failure(OSError("x")))
    seen = set()
    for path in leaves(told):
        shape = tuple("*" if isinstance(key, int) else key for key in path)
        if shape not in seen and path != ("schemaURL",):
            seen.add(shape)
            assert faults(changed(told, path, {"wrong": True})), path
    assert len(seen) > 60


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("run", "runId"), ...),
        (("run", "runId"), "one"),
        (("eventType",), "FINISH"),
        (("eventTime",), "yesterday"),
        (("job", "namespace"), ...),
        (("producer",), "no uri at all"),
        (("run", "facets", "errorMessage", "programmingLanguage"), ...),
        (("run", "facets", "nominalTime", "nominalStartTime"), "soon"),
        (("run", "facets", "processing_engine", "_producer"), ...),
        (("run", "facets", "madeUp"), {"_producer": "pkg:pypi/roadworthy", "_schemaURL": "https://example.com/a.json"}),
        (("job", "facets", "jobType", "processingType"), ...),
        (("inputs", 0, "name"), ...),
        (("inputs", 0, "inputFacets", "dataQualityAssertions", "assertions", 0, "success"), "yes"),
        (("inputs", 0, "inputFacets", "dataQualityMetrics", "columnMetrics"), ...),
        (("inputs", 0, "inputFacets", "dataQualityMetrics", "rowCount"), 1.5),
        (("outputs", 0, "facets", "schema", "fields", 0, "name"), ...),
        (("outputs", 0, "facets", "schema", "colums"), []),
        (("outputs", 0, "facets", "version", "datasetVersion"), ...),
        (("outputs", 0, "facets", "columnLineage", "fields", "tx_amount", "inputFields", 0, "field"), ...),
        (("outputs", 0, "facets", "columnLineage", "fields", "tx_amount", "inputFields"), ...),
    ],
)
def test_what_the_standard_does_not_allow_is_refused(project, path, value):
    """A missing or wrong part of an event or of a facet, or a facet nobody published, does not pass validation."""
    told = event(acquired(project), "FAIL", NOW, failure(OSError("x")))
    assert faults(told) == []
    assert faults(changed(told, path, value))


def test_acquire_tells_where_each_column_is_from(project):
    """The snapshot's columns are the source's as they are, with types, descriptions, version and measured rules."""
    told = event(acquired(project), "COMPLETE", NOW)
    (source,), (snapshot,) = told["inputs"], told["outputs"]
    assert (source["namespace"], source["name"]) == ("file", str(EXAMPLE / "data" / "transactions.parquet"))
    assert (snapshot["namespace"], snapshot["name"]) == ("roadworthy:///srv/a%20home", "card-fraud/input")
    assert snapshot["facets"]["version"]["datasetVersion"] == "ab" * 32
    (amount,) = snapshot["facets"]["columnLineage"]["fields"]["tx_amount"]["inputFields"]
    assert (amount["name"], amount["field"], amount["transformations"][0]["subtype"]) == (
        source["name"], "tx_amount", "IDENTITY"
    )  # fmt: skip
    fields = {each["name"]: each for each in snapshot["facets"]["schema"]["fields"]}
    assert (fields["tx_amount"]["type"], fields["tx_amount"]["description"]) == ("number", "payment amount")
    assertions = source["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert [(each["assertion"], each["success"], each["actual"]) for each in assertions] == [
        ("not_null", True, "0 rows"), ("minimum", False, "2 rows"), ("unique", False, "3"),
        ("row_count", False, "not measured"),
    ]  # fmt: skip
    assert [each.get("column") for each in assertions] == ["tx_amount", "tx_amount", None, None]
    metrics = snapshot["facets"]["dataQualityMetrics"]
    assert (metrics["rowCount"], metrics["columnMetrics"]["tx_amount"]) == (
        3, {"nullCount": 1, "distinctCount": 2, "min": 1.5, "max": 9.0}
    )  # fmt: skip
    assert snapshot["outputFacets"]["outputStatistics"]["rowCount"] == 3


def test_train_tells_what_each_feature_is_made_of(project):
    """A release's features come from the columns of both snapshots, each with how."""
    (release,) = event(trained(project), "COMPLETE", NOW)["outputs"]
    fields = release["facets"]["columnLineage"]["fields"]
    assert list(fields) == [feature.name for feature in project.features]
    made = {
        (each["name"], each["field"]): (each["transformations"][0]["type"], each["transformations"][0]["subtype"])
        for each in fields["terminal_mean_outcome_7d"]["inputFields"]
    }
    assert made == {
        ("card-fraud/outcome", "tx_fraud"): ("DIRECT", "AGGREGATION"),
        ("card-fraud/outcome", "transaction_id"): ("INDIRECT", "JOIN"),
        ("card-fraud/outcome", "known_at"): ("INDIRECT", "WINDOW"),
        ("card-fraud/input", "terminal_id"): ("INDIRECT", "GROUP_BY"),
        ("card-fraud/input", "tx_datetime"): ("INDIRECT", "WINDOW"),
    }


@pytest.mark.parametrize(
    ("source", "query", "namespace", "name"),
    [
        ("data/*.parquet", "", "file", "/system/data/*.parquet"),
        ("/data/rows.csv", "", "file", "/data/rows.csv"),
        ("file:///data/rows.csv", "", "file", "/data/rows.csv"),
        ("s3://bucket/a/b.parquet", "", "s3://bucket", "a/b.parquet"),
        ("gs://bucket/a", "", "gs://bucket", "a"),
        ("postgresql://reader:s3cret@db/bank", "payments", "postgres://db:5432", "bank.public.payments"),
        ("postgresql://db:6000/bank", "SELECT a FROM core.payments WHERE a > 1", "postgres://db:6000",
         "bank.core.payments"),
        ("postgresql://db/bank", "SELECT 1 FROM a JOIN b ON true", "postgres://db:5432", "bank.query-7b5e0ec3d0b0"),
        ("sqlite:///bank.db", "payments", "sqlite", "/system/bank.db#payments"),
        ("https://token:s3cret@example.com/rows?key=s3cret", "", "https://example.com", "rows"),
        ("https://${HOST}/rows", "", "https://example.com", "rows"),
        ("python:load.py:payments", "", "python", "/system/load.py:payments"),
    ],
)  # fmt: skip
def test_datasets_are_named_by_the_naming_rules(project, source, query, namespace, name):
    """Files, object storage, tables and addresses have the names that the standard gives them, without credentials."""
    dataset = source_dataset(
        DataSet("c.yaml", source, query), Path("/system"), project.contracts["input"], environ={"HOST": "example.com"}
    )
    shown = re.sub(r"query-\w{12}", "query-7b5e0ec3d0b0", dataset.name)
    assert (dataset.namespace, shown) == (namespace, name)
    assert "s3cret" not in json.dumps(dict(dataset.facets))
    assert is_uri(dataset.facets["dataSource"]["uri"])


def test_a_query_of_several_tables_is_no_table():
    """Two different queries over several tables are two datasets, and one always has the same name."""
    one, again, two = (
        named("postgresql://db/b", f"SELECT {what} FROM a JOIN b ON true", Path("/")) for what in (1, 1, 2)
    )
    assert one == again != two


@given(st.integers(0, 2**48 * 1_000 - 1), st.binary(min_size=8, max_size=8), st.integers(1, 10**6))
def test_run_ids_are_uuids_in_the_order_of_time(at, random, later):
    """An id is a UUID of version 7 that holds its milliseconds, and a later microsecond sorts after it."""
    made = uuid.UUID(uuid7(at, random))
    assert (made.version, made.variant, made.int >> 80) == (7, uuid.RFC_4122, at // 1_000)
    if at + later < 2**48 * 1_000:
        assert uuid7(at + later, bytes(8))[:18] > uuid7(at, b"\xff" * 8)[:18]


def clock():
    """A clock that goes on a second at every look."""
    at = iter(range(NOW, NOW + 3_600 * SECOND, SECOND))
    return lambda: next(at)


def told_in(path: Path) -> list[dict]:
    """The events of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_is_told_from_start_to_completion(project, tmp_path):
    """START has what is known before, COMPLETE what the body recorded, both under one id and in time."""
    path, source = tmp_path / "new" / "lineage.jsonl", file_dataset(Path("/in/rows.csv"))
    with run_of(path, job_of(project.system, "score"), [source], clock=clock()) as run:
        run.outputs = [file_dataset(Path("/out/decisions.csv"))]
    start, complete = told_in(path)
    assert [each["eventType"] for each in (start, complete)] == ["START", "COMPLETE"]
    assert start["run"]["runId"] == complete["run"]["runId"] == run.id
    assert start["eventTime"] < complete["eventTime"]
    assert (start["outputs"], [each["name"] for each in complete["outputs"]]) == ([], ["/out/decisions.csv"])
    assert start["inputs"] == complete["inputs"]
    assert faults(start) + faults(complete) == []


@pytest.mark.parametrize(
    ("error", "type", "message"),
    [
        (SourceLost("the database went away", hint="try again"), "FAIL", "the database went away (try again)"),
        (ZeroDivisionError("division"), "FAIL", "ZeroDivisionError: division"),
        (KeyboardInterrupt(), "ABORT", "KeyboardInterrupt: KeyboardInterrupt"),
    ],
)
def test_a_failure_is_told_and_goes_on_its_way(project, tmp_path, error, type, message):
    """The error of the body is in the last event, and reaches the caller; being stopped is an ABORT."""
    path = tmp_path / "lineage.jsonl"
    with pytest.raises(type_of(error)), run_of(path, job_of(project.system, "train"), clock=clock()):
        raise error
    last = told_in(path)[-1]
    told = last["run"]["facets"]["errorMessage"]
    assert (last["eventType"], told["message"]) == (type, message)
    assert ("stackTrace" in told) == (not isinstance(error, SourceLost))
    assert faults(last) == []


def type_of(value: object) -> type:
    """The class of a value."""
    return value.__class__


@pytest.mark.parametrize("path", [Path("/dev/full"), Path("/dev/null/lineage.jsonl")])
def test_a_disk_that_refuses_breaks_no_run(project, path):
    """A full disk or a path that cannot be gives warnings; the body runs, and its own error comes out unchanged."""
    warned = []
    with run_of(path, job_of(project.system, "train"), clock=clock(), warn=warned.append) as run:
        run.outputs = []
    assert [each.split(" is ")[0] for each in warned] == [
        "the lineage event START of card-fraud.train", "the lineage event COMPLETE of card-fraud.train"
    ]  # fmt: skip
    with (
        pytest.warns(RuntimeWarning, match="the lineage event"),
        run_of(path, job_of(project.system, "train"), clock=clock()),
    ):
        pass
    with pytest.raises(SourceLost), run_of(path, run.job, clock=clock(), warn=warned.append):
        raise SourceLost("gone")


def test_writers_at_once_leave_whole_lines(tmp_path):
    """Eight threads that append long events leave as many whole lines, none inside another."""
    path = tmp_path / "lineage.jsonl"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: append_event(path, {"n": number, "long": "x" * 20_000}), range(80)))
    assert sorted(each["n"] for each in told_in(path)) == list(range(80))


def test_half_a_line_spoils_no_other(tmp_path):
    """After a line that a crash left half written, the next event stands on a line of its own."""
    path = tmp_path / "lineage.jsonl"
    path.write_text('{"half": ')
    append_event(path, {"whole": 1})
    assert path.read_text().splitlines() == ['{"half": ', '{"whole":1}']
