"""Writes the CustomResourceDefinitions: `python -m sloguard.api.crd crds/`. A test says when they are out of date."""

import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

import yaml

from .structural import Schema, structural
from .v1alpha1 import GROUP, STUDIES, TRIALS, VERSION, Model, Resource, Study, Trial

HEADER: Final = "# Generated from operator/sloguard/api by `python -m sloguard.api.crd crds/`. Do not edit.\n"


class Column(NamedTuple):
    """What `kubectl get` prints; those of priority 1 only with `-o wide`."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0
    description: str = ""


class Definition(NamedTuple):
    """All that the API server has to know about one kind."""

    resource: Resource
    model: type[Model]
    columns: tuple[Column, ...]
    selectable: tuple[str, ...] = ()


def _ready(field: str) -> str:
    return f'.status.conditions[?(@.type=="Ready")].{field}'


AGE: Final = Column("Age", ".metadata.creationTimestamp", "date")
DEFINITIONS: Final = (
    Definition(
        STUDIES,
        Study,
        (
            Column("Phase", ".status.phase"),
            Column("Trials", ".status.trials.total", "integer", description="That count against the budget."),
            Column("Crashed", ".status.trials.crashed", "integer"),
            Column("Baseline", ".status.baseline.objectiveValue", "integer", description="In the objective's unit."),
            Column("Best", ".status.best.objectiveValue", "integer", description="In the objective's unit."),
            Column(
                "Gain %",
                ".status.recommendation.improvementPercent",
                "integer",
                description="Of the recommendation against the baseline.",
            ),
            Column("Promotion", ".status.promotion.state"),
            Column("Ready", _ready("status"), priority=1),
            Column("Reason", _ready("reason"), priority=1),
            Column("Message", _ready("message"), priority=1),
            Column("Pull request", ".status.promotion.git.pullRequest", priority=1),
            AGE,
        ),
    ),
    Definition(
        TRIALS,
        Trial,
        (
            Column("Study", ".spec.study"),
            Column("Number", ".spec.number", "integer"),
            Column("Purpose", ".spec.purpose"),
            Column("Phase", ".status.phase"),
            Column("Outcome", ".status.outcome"),
            Column("Crash", ".status.crash.class"),
            Column("Goodput", ".status.goodputTokensPerSecond", "integer", description="Tokens/s."),
            Column("Attempt", ".spec.attempt", "integer", priority=1),
            Column("Parameters", ".spec.parameters", priority=1),
            Column("Message", ".status.message", priority=1),
            AGE,
        ),
        selectable=(".spec.study",),
    ),
)


def definition(of: Definition) -> dict[str, Any]:
    """The object that makes the API server know a kind."""
    names = of.resource
    version: dict[str, Any] = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [_column(column) for column in of.columns],
    }
    if of.selectable:
        version["selectableFields"] = [{"jsonPath": path} for path in of.selectable]
    version["schema"] = {"openAPIV3Schema": schema(of.model)}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{names.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": names.kind,
                "listKind": f"{names.kind}List",
                "plural": names.plural,
                "singular": names.singular,
                "shortNames": list(names.short),
                "categories": ["sloguard"],
            },
            "versions": [version],
        },
    }


def _column(column: Column) -> dict[str, Any]:
    entry: dict[str, Any] = {"name": column.name, "type": column.type, "jsonPath": column.path}
    if column.description:
        entry["description"] = column.description
    if column.priority:
        entry["priority"] = column.priority
    return entry


def schema(model: type[Model]) -> Schema:
    """The structural schema of a whole object. The API server itself looks after apiVersion, kind and metadata."""
    source = model.model_json_schema(by_alias=True)
    written = structural(source, written=True)
    observed = structural(source, written=False)
    properties = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": written["properties"]["spec"],
        # No defaults in a status: what stands there was observed, and what does not was not. And no rules: better a
        # strange status than none.
        "status": observed["properties"]["status"],
    }
    return written | {"required": ["spec"], "properties": properties}


class _Dumper(yaml.SafeDumper):
    """Without anchors: a schema that is used twice is written twice."""

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def files() -> dict[str, str]:
    """File names and contents."""
    return {f"{each.resource.plural}.yaml": HEADER + _text(definition(each)) for each in DEFINITIONS}


def _text(document: dict[str, Any]) -> str:
    return yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)


def main(arguments: list[str]) -> int:
    """Write the files into the folder that is named."""
    if len(arguments) != 1:
        print("usage: python -m sloguard.api.crd FOLDER", file=sys.stderr)
        return 2
    for name, text in files().items():
        (Path(arguments[0]) / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
