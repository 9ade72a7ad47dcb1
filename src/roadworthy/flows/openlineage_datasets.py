"""Datasets and facets of OpenLineage: sources, snapshots and releases by its naming rules, with what is known of them.

Names: https://openlineage.io/docs/spec/naming. What a home holds is named by the home: namespace
`roadworthy:///PATH`, name `SYSTEM/TABLE`, so that two homes on one machine are two places.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import quote, urlsplit

from roadworthy import __version__
from roadworthy.core.contract import Contract, Field
from roadworthy.core.graph import Node
from roadworthy.core.lineage import columns_into, lineage_of, plain_source
from roadworthy.core.system import DataSet
from roadworthy.flows.decide import KNOWN
from roadworthy.flows.declare import Project

NAMESPACE = "roadworthy"  # of the jobs
PRODUCER = f"pkg:pypi/roadworthy@{__version__}"  # a package URL names the program; a URI, as the standard wants
SPEC = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
FACETS = MappingProxyType({  # the version of each facet's schema that we write
    "ColumnLineageDatasetFacet": "1-2-0",
    "DataQualityAssertionsDatasetFacet": "1-1-0",
    "DataQualityMetricsDatasetFacet": "1-0-0",
    "DataQualityMetricsInputDatasetFacet": "1-0-3",
    "DatasetTypeDatasetFacet": "1-0-1",
    "DatasetVersionDatasetFacet": "1-0-1",
    "DatasourceDatasetFacet": "1-0-1",
    "DocumentationDatasetFacet": "1-1-0",
    "DocumentationJobFacet": "1-1-0",
    "ErrorMessageRunFacet": "1-0-1",
    "InputStatisticsInputDatasetFacet": "1-0-0",
    "JobTypeJobFacet": "2-0-4",
    "NominalTimeRunFacet": "1-0-1",
    "OutputStatisticsOutputDatasetFacet": "1-0-2",
    "ParentRunFacet": "1-2-0",
    "ProcessingEngineRunFacet": "1-1-1",
    "SchemaDatasetFacet": "1-2-0",
})  # fmt: skip
ASSERTIONS = MappingProxyType({  # our rules in the words that the standard gives as examples
    "required": "not_null", "nullValues": "not_null", "enum": "accepted_values", "invalidValues": "accepted_values",
    "unique": "unique", "duplicateValues": "unique", "rowCount": "row_count", "sql": "custom_sql",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset of an event. `input_facets` are told where it is read, `output_facets` where it is written."""

    namespace: str
    name: str
    facets: Mapping[str, Any] = field(default_factory=dict)
    input_facets: Mapping[str, Any] = field(default_factory=dict)
    output_facets: Mapping[str, Any] = field(default_factory=dict)


def facet(schema: str, **values: Any) -> dict[str, Any]:
    """A facet of the published schema of this name."""
    url = f"https://openlineage.io/spec/facets/{FACETS[schema]}/{schema}.json#/$defs/{schema}"
    return {"_producer": PRODUCER, "_schemaURL": url, **values}


def source_dataset(
    declared: DataSet,
    folder: Path,
    contract: Contract,
    *,
    measured: Iterable[Mapping[str, Any]] = (),
    profile: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Dataset:
    """The dataset that a declared source reads, named by the naming rules; no user or password is in its name.

    `measured` are rules with their name, expected, verdict and what was measured (`Pulled.rules`), and `profile` what
    the pulled rows hold. `${NAME}` is filled in from `environ`.
    """
    source = re.sub(r"\$\{(\w+)\}", lambda found: environ.get(found[1], found[0]), plain_source(declared.source))
    namespace, name = named(source, declared.query, folder)
    uri = quote(f"{namespace}:{name}" if "://" not in namespace else f"{namespace}/{name}", safe="/:@?*[]=&,+~")
    facets = {
        "schema": _schema(contract.fields),
        "dataSource": facet("DatasourceDatasetFacet", name=namespace, uri=uri),
        "documentation": facet("DocumentationDatasetFacet", description=_described(contract, declared.query)),
    }
    return Dataset(namespace, name, facets, _found(assertions(measured, contract), profile))


def named(source: str, query: str, folder: Path) -> tuple[str, str]:
    """Namespace and name of a source that holds no credentials."""
    scheme, _, rest = source.partition("://")
    if not rest:
        if source.startswith("python:"):
            return "python", str(folder.absolute() / source.removeprefix("python:"))
        return "file", str(folder.absolute() / source)
    if scheme == "file":
        return "file", f"/{rest.lstrip('/')}"
    if scheme == "sqlite":
        return "sqlite", f"{folder.absolute() / rest.removeprefix('/')}#{_table(query, '')}"
    parts = urlsplit(source)
    if scheme in ("postgresql", "postgres"):
        host = f"{parts.hostname or 'localhost'}:{parts.port or 5432}"
        return f"postgres://{host}", f"{parts.path.strip('/')}.{_table(query, 'public.')}"
    return f"{scheme}://{parts.netloc}", parts.path.lstrip("/") or "/"


def _table(query: str, schema: str) -> str:
    """The table that a query reads, with its schema; a query of several, by its digest: they are not one table."""
    if re.fullmatch(r'[\w."]+', query):
        tables = [query]
    else:
        tables = re.findall(r'\b(?:from|join)\s+([\w."]+|\()', query, flags=re.IGNORECASE)
    if len(tables) != 1 or tables[0] == "(":
        return f"query-{hashlib.sha256(query.encode()).hexdigest()[:12]}"
    table = tables[0].replace('"', "")
    return table if "." in table else schema + table


def snapshot_dataset(
    home: Path, snapshot: Mapping[str, Any], contract: Contract, source: Dataset | None = None
) -> Dataset:
    """A snapshot by its document. `source` is where its rows came from: then each column says which one it was."""
    facets = {
        "schema": _schema(contract.fields),
        "version": facet("DatasetVersionDatasetFacet", datasetVersion=str(snapshot["digest"])),
        "datasetType": facet("DatasetTypeDatasetFacet", datasetType="TABLE", subType="SNAPSHOT"),
        "documentation": facet("DocumentationDatasetFacet", description=_described(contract, "")),
    }
    if source is not None:
        facets["columnLineage"] = _lineage({each.name: [_input(source, each.name)] for each in contract.fields})
    profile, rows = snapshot.get("profile") or {}, snapshot.get("rows")
    if profile:
        facets["dataQualityMetrics"] = facet("DataQualityMetricsDatasetFacet", **metrics(profile))
    dataset = home_dataset(home, str(snapshot["system"]), str(snapshot["table"]))
    read = _found([], profile)
    written = {}
    if rows is not None:
        read["inputStatistics"] = facet("InputStatisticsInputDatasetFacet", rowCount=int(rows))
        written["outputStatistics"] = facet("OutputStatisticsOutputDatasetFacet", rowCount=int(rows))
    return replace(dataset, facets=facets, input_facets=read, output_facets=written)


def release_dataset(home: Path, digest: str, project: Project, inputs: Mapping[str, Dataset]) -> Dataset:
    """A release: its features are its columns, and each says from which columns of the `inputs` it is made.

    `inputs` are the datasets of the tables `input` and `outcome` that it was trained on.
    """
    graph = lineage_of(project.system, project.contracts, project.views, project.features, known=KNOWN)
    fields = {
        feature.name: [
            _input(inputs[table], name, edge.type, edge.subtype, edge.words)
            for edge in columns_into(graph, Node("feature", feature.name))
            for table, _, name in [edge.source.name.partition(".")]
            if table in inputs
        ]
        for feature in project.features
    }
    schema = [
        {"name": each.name, "ordinal_position": place} | ({"description": each.description} if each.description else {})
        for place, each in enumerate(project.features, 1)
    ]
    facets = {
        "schema": facet("SchemaDatasetFacet", fields=schema),
        "version": facet("DatasetVersionDatasetFacet", datasetVersion=digest),
        "datasetType": facet("DatasetTypeDatasetFacet", datasetType="MODEL", subType="RELEASE"),
        "documentation": facet("DocumentationDatasetFacet", description=project.system.purpose),
        "columnLineage": _lineage(fields),
    }
    return replace(home_dataset(home, project.system.name, "release"), facets=facets)


def home_dataset(home: Path, system: str, name: str, version: str = "") -> Dataset:
    """Anything else that a home holds of a system, such as `decisions` or `rehearsal`."""
    facets = {"version": facet("DatasetVersionDatasetFacet", datasetVersion=version)} if version else {}
    return Dataset(f"{NAMESPACE}://{quote(str(home.absolute()))}", f"{system}/{name}", facets)


def file_dataset(path: Path) -> Dataset:
    """A local file, as `score` reads and writes them."""
    return Dataset("file", str(path.absolute()))


def metrics(profile: Mapping[str, Any]) -> dict[str, Any]:
    """The numbers of a profile as the standard names them; what is not a finite number is left out."""
    columns = {name: _column_metrics(each) for name, each in (profile.get("columns") or {}).items()}
    rows = {"rowCount": int(profile["rows"])} if "rows" in profile else {}
    return {**rows, "columnMetrics": columns}


def _column_metrics(found: Mapping[str, Any]) -> dict[str, Any]:
    counts = {ours: int(found[theirs]) for theirs, ours in (("missing", "nullCount"), ("distinct", "distinctCount"))
              if _number(found.get(theirs))}  # fmt: skip
    return counts | {end: found[end] for end in ("min", "max") if _number(found.get(end))}


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def assertions(measured: Iterable[Mapping[str, Any]], contract: Contract) -> list[dict[str, Any]]:
    """Measured rules as assertions. One that could not be measured did not succeed: unknown never passes."""
    return [_assertion(each, contract) for each in measured]


def _assertion(rule: Mapping[str, Any], contract: Contract) -> dict[str, Any]:
    column, _, kind = str(rule["name"]).rpartition(".")
    told = {
        "column": column if column in contract.by_name else "",  # a rule over several columns is the table's
        "severity": rule.get("severity"),
        "description": rule.get("note"),
    }
    return {
        "assertion": ASSERTIONS.get(kind, kind), "success": rule["verdict"] == "pass", "name": rule["name"],
        "expected": str(rule["expected"]), "actual": _actual(rule),
        **{name: text for name, text in told.items() if text},
    }  # fmt: skip


def _actual(rule: Mapping[str, Any]) -> str:
    if rule.get("measured") is not None:
        return f"{rule['measured']:.15g}"
    return f"{rule['broken']} rows" if rule.get("broken") is not None else "not measured"


def _found(judged: list[dict[str, Any]], profile: Mapping[str, Any] | None) -> dict[str, Any]:
    """The input facets of what was found in the rows."""
    found = {}
    if profile:
        found["dataQualityMetrics"] = facet("DataQualityMetricsInputDatasetFacet", **metrics(profile))
    if judged:
        found["dataQualityAssertions"] = facet("DataQualityAssertionsDatasetFacet", assertions=judged)
    return found


def _schema(fields: Iterable[Field]) -> dict[str, Any]:
    return facet("SchemaDatasetFacet", fields=[
        {"name": each.name, "type": each.logical_type, "ordinal_position": place}
        | ({"description": each.description} if each.description else {})
        for place, each in enumerate(fields, 1)
    ])  # fmt: skip


def _described(contract: Contract, query: str) -> str:
    told = f"{contract.name}, contract {contract.id} version {contract.version}"
    return f"{told}; rows of: {query}" if query else told


def _lineage(fields: Mapping[str, list[dict[str, Any]]]) -> dict[str, Any]:
    return facet("ColumnLineageDatasetFacet", fields={name: {"inputFields": each} for name, each in fields.items()})


def _input(
    dataset: Dataset, name: str, type: str = "DIRECT", subtype: str = "IDENTITY", words: str = "read"
) -> dict[str, Any]:
    how = {"type": type, "subtype": subtype, "description": words, "masking": False}
    return {"namespace": dataset.namespace, "name": dataset.name, "field": name, "transformations": [how]}
