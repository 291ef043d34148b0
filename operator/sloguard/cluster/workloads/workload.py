"""What differs between the kinds of objects that may serve in production: a value of pure functions for each."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sloguard.api.v1alpha1 import TargetKind
from sloguard.cluster.api import Resource
from sloguard.cluster.objects import Object, section
from sloguard.engine.snapshot import DeclaredPace, Pace, TargetProblem


@dataclass(frozen=True, slots=True)
class CandidateTemplate:
    """A pod template that runs by itself, and what of production it cannot have, with what it has instead."""

    template: Object
    differs: str = ""


def _no_problem(_: Object) -> TargetProblem | None:
    return None


def _nothing(_: Object) -> str:
    return ""


def _undeclared(_: Object) -> DeclaredPace | None:
    return None


def _none_waited_for(_stored: Object, _pods: Sequence[Object]) -> list[Object]:
    return []


@dataclass(frozen=True, slots=True)
class Workload:
    """One kind of target. Each function takes an object of that kind, as it is stored.

    pod_suffix: what follows its own name in the names of its pods, as a regular expression of RE2.
    more_room: what its owner can do so that an update leaves no request without a server.
    template_path: where its pod template stands.
    pod_labels: what its pods are selected by; empty where that cannot be told.
    pace: how an update of it proceeds.
    is_updating: whether its pods are being exchanged.
    is_rolled_out: whether every replica runs today's template and is available; so many pods are known to do so.
    withheld: by which setting its owner keeps updates from its pods; empty where none does.
    installed_by: the project that brings its definition, where Kubernetes has none of its own.
    failed: what its controller says of an update that does not get on; empty where nothing is said.
    objection: why it cannot be tuned at all.
    for_candidate: its pod template without what only its controller could give.
    declared_pace: what it says of its updates, where the operator can change that for a while (DEPLOYMENT's fields).
    waited_for: of its pods, those that its controller would wait for whatever its template becomes.
    """

    kind: TargetKind
    resource: Resource
    pod_suffix: str
    more_room: str
    template_path: Callable[[Object], tuple[str, ...]]
    pod_labels: Callable[[Object], dict[str, str]]
    pace: Callable[[Object], Pace]
    is_updating: Callable[[Object], bool]
    is_rolled_out: Callable[[Object, int], bool]
    withheld: Callable[[Object], str]
    installed_by: str = ""
    failed: Callable[[Object], str] = _nothing
    objection: Callable[[Object], TargetProblem | None] = _no_problem
    for_candidate: Callable[[Object], CandidateTemplate] | None = None
    declared_pace: Callable[[Object], DeclaredPace | None] = _undeclared
    waited_for: Callable[[Object, Sequence[Object]], list[Object]] = _none_waited_for

    @property
    def api_version(self) -> str:
        return self.resource.prefix.removeprefix("apis/")

    def template(self, stored: Object) -> Object:
        return section(stored, *self.template_path(stored))

    def candidate_template(self, stored: Object) -> CandidateTemplate:
        return self.for_candidate(stored) if self.for_candidate else CandidateTemplate(self.template(stored))

    def with_container(self, stored: Object, container: Object) -> Object:
        """For server-side apply: these fields of one container and no others, at the version that was read."""
        metadata = stored["metadata"]
        body: Object = {"spec": {"containers": [container]}}
        for key in reversed(self.template_path(stored)):
            body = {key: body}
        own = {"name": metadata["name"], "resourceVersion": metadata["resourceVersion"]}
        return {"apiVersion": self.api_version, "kind": self.kind.value, "metadata": own} | body


def replicas_of(stored: Object) -> int:
    """That its owner wants; every kind has it in the same place."""
    return int(section(stored, "spec").get("replicas", 1))


def seen_by_controller(stored: Object) -> bool:
    """Until then its status speaks of an earlier template."""
    seen = section(stored, "status").get("observedGeneration", 0)
    return seen >= stored["metadata"].get("generation", 0)


def all_replicas(stored: Object, *counts: str) -> bool:
    """Whether each of these counts of its status is what its owner wants."""
    status = section(stored, "status")
    return all(status.get(count, 0) == replicas_of(stored) for count in counts)


def selected_labels(stored: Object) -> dict[str, str]:
    """Of its own selector (matchLabels, as nearly every object has it)."""
    return section(stored, "spec", "selector", "matchLabels")


def surge_of(said: object, replicas: int) -> int:
    """Pods beyond the replicas, of a number or of a share, which is rounded up."""
    return math.ceil(_pods(said, replicas))


def unavailable_of(said: object, replicas: int) -> int:
    """Replicas that may be missing, of a number or of a share, which is rounded down."""
    return math.floor(_pods(said, replicas))


def _pods(said: object, replicas: int) -> float:
    """0 of what is neither number nor share, which no API server stores."""
    number = str(said).removesuffix("%")
    if not number.isdecimal():
        return 0
    return int(number) * replicas / 100 if str(said).endswith("%") else int(number)
