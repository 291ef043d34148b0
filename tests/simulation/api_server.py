"""An API server in memory, with the semantics that an operator can stumble over.

Each write gets a new resourceVersion, and one that changes nothing does not. A stale resourceVersion or another UID
is a conflict. Status is written apart from the rest. `generation` counts changes of the specification. Finalizers
hold what is deleted. What an owner leaves behind is collected a while later. A read returns the object as it is kept,
not to be changed by anybody; whoever changes an object reads a copy of its own from the JSON text.
"""

import json
from collections import defaultdict, deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from sloguard.api.v1alpha1 import Study, StudySpec
from tests.simulation.apply import applied

Object = dict[str, Any]
Key = tuple[str, str]
"""Namespace and name."""

KINDS = {
    "deployments": ("apps/v1", "Deployment"),
    "statefulsets": ("apps/v1", "StatefulSet"),
    "replicasets": ("apps/v1", "ReplicaSet"),
    "jobs": ("batch/v1", "Job"),
    "pods": ("v1", "Pod"),
    "services": ("v1", "Service"),
    "events": ("v1", "Event"),
    "configmaps": ("v1", "ConfigMap"),
    "nodes": ("v1", "Node"),
    "resourcequotas": ("v1", "ResourceQuota"),
    "poddisruptionbudgets": ("policy/v1", "PodDisruptionBudget"),
    "leases": ("coordination.k8s.io/v1", "Lease"),
    "sloguardstudies": ("sloguard.dev/v1alpha1", "SLOGuardStudy"),
    "sloguardtrials": ("sloguard.dev/v1alpha1", "SLOGuardTrial"),
}
OWN_KINDS = {"sloguardstudies", "sloguardtrials"}
"""Those defined by a CRD: they say their kind also in a list."""

MOST_WANTED_WHOLE = 100
"""Who limits a list to no more than this wants no second page of it."""

WITHOUT_STATUS = {"events", "configmaps", "leases", "replicasets"}


class Refusal(Exception):  # noqa: N818 - it is an answer, as HTTP knows it, not a failure
    """The answer of an API server that says no."""

    def __init__(self, code: int, reason: str, message: str):
        super().__init__(f"{code} {reason}: {message}")
        self.code, self.reason, self.message = code, reason, message


@dataclass(frozen=True)
class Stored:
    """An object as it is kept; nobody changes `body` in its place."""

    body: Object

    def copy(self) -> Object:
        """To be changed."""
        return json.loads(json.dumps(self.body))

    @property
    def metadata(self) -> Object:
        return self.body["metadata"]


@dataclass(frozen=True, slots=True)
class Change:
    """One write that changed something. `after` is None where the object is gone, `before` where it is new."""

    plural: str
    before: Object | None
    after: Object | None
    by: str

    @property
    def object(self) -> Object:
        found = self.after or self.before
        assert found is not None
        return found


@lru_cache(maxsize=4096)
def place(path: str) -> tuple[str, str, str, str]:
    """Plural, namespace, name and subresource of a request's path; no plural where it asks what kinds there are."""
    parts = path.strip("/").split("/")
    parts = parts[2:] if parts[0] == "api" else parts[3:]
    namespace = ""
    if parts[:1] == ["namespaces"] and len(parts) > 2:
        namespace, parts = parts[1], parts[2:]
    plural, name, subresource, *_ = [*parts, "", "", ""]
    return plural, namespace, name, subresource


def stamp(now) -> str:
    return now.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class ApiServer:
    """`now` tells the time; `told` are called for each change, `orphaned` for what has lost its owner."""

    now: Any
    told: list[Any] = field(default_factory=list)
    orphaned: Any = lambda _plural, _key: None
    objects: dict[str, dict[Key, Stored]] = field(default_factory=lambda: defaultdict(dict))
    version: int = 0
    logs: dict[str, str] = field(default_factory=dict)
    """Of containers, by their pod's name: of the last one that ended, or of the one that runs."""

    page: int = 250
    """Objects of a list at a time, of those who would take many."""

    _past: deque[tuple[datetime, str, Key, Stored | None]] = field(default_factory=lambda: deque(maxlen=200))
    """What was there before each of the last changes."""

    _rests: dict[str, list[Object]] = field(default_factory=dict)
    """Of lists, by what they are asked for with."""

    _uids: dict[str, Key] = field(default_factory=dict)
    _dependents: dict[str, list[tuple[str, Key]]] = field(default_factory=lambda: defaultdict(list))

    # for people, controllers and nodes

    def get(self, plural: str, name: str, namespace: str = "ns") -> Object | None:
        """Not to be changed; `change` gives a copy that may be."""
        found = self.objects[plural].get((namespace, name))
        return found.body if found else None

    def items(self, plural: str) -> list[Object]:
        return [stored.body for stored in self.objects[plural].values()]

    def exists(self, uid: str) -> bool:
        return uid in self._uids

    def change(self, plural: str, name: str, change, by: str, namespace: str = "ns") -> None:
        """Nothing where it is gone. `change` gets a copy."""
        stored = self.objects[plural].get((namespace, name))
        if stored is not None:
            body = stored.copy()
            change(body)
            self._store(plural, (namespace, name), stored, body, by)

    # for everybody

    def create(self, plural: str, body: Object, by: str, namespace: str = "ns") -> Stored:
        """`body` is this server's from now on."""
        name = body["metadata"]["name"]
        key = (namespace, name)
        if key in self.objects[plural]:
            raise Refusal(409, "AlreadyExists", f'{plural} "{name}" already exists')
        if plural in OWN_KINDS:
            body.pop("status", None)
        if plural == "sloguardstudies":
            self.admit(body)
            body["spec"] = _with_defaults(body["spec"])
        self.version += 1
        body["metadata"] |= {
            "namespace": namespace,
            "uid": f"uid-{self.version}",
            "generation": 1,
            "creationTimestamp": stamp(self.now()),
        }
        body["apiVersion"], body["kind"] = KINDS[plural]
        stored = self._store(plural, key, None, body, by)
        self._uids[stored.metadata["uid"]] = key
        owners = body["metadata"].get("ownerReferences", [])
        for owner in owners:
            self._dependents[owner["uid"]].append((plural, key))
        if owners and not any(self.exists(owner["uid"]) for owner in owners):
            self.orphaned(plural, key)
        return stored

    def delete(self, plural: str, name: str, by: str, namespace: str = "ns", *, at_once: bool = False) -> None:
        """What has finalizers, and a pod on a node, is only marked; a node removes its pods `at_once`."""
        key = (namespace, name)
        stored = self._find(plural, key)
        held = stored.metadata.get("finalizers") or (plural == "pods" and not at_once and _on_a_node(stored.body))
        if not held:
            self._remove(plural, key, stored, by)
        elif "deletionTimestamp" not in stored.metadata:
            body = stored.copy()
            body["metadata"]["deletionTimestamp"] = stamp(self.now())
            body["metadata"]["generation"] += 1
            self._store(plural, key, stored, body, by)

    def request(
        self, method: str, path: str, query: dict[str, str], body: Any, kind: str, by: str, age_seconds: float = 0.0
    ) -> Object | bytes:
        """As HTTP has it, but that JSON is not made into text; a list may be of so many seconds ago. Raises Refusal."""
        plural, namespace, name, subresource = place(path)
        key = (namespace, name)
        match method, bool(name):
            case "GET", False if not plural:
                raise Refusal(404, "", "404 page not found")
            case "GET", False:
                return self._list(plural, namespace, query, age_seconds)
            case "GET", True if subresource == "log":
                if not self._find(plural, key).body.get("status", {}).get("containerStatuses"):
                    raise Refusal(400, "BadRequest", f'container in pod "{name}" is waiting to start')
                return self.logs.get(name, "").encode()
            case "GET", True:
                return self._answer(plural, self._find(plural, key))
            case "POST", False:
                return self._answer(plural, self.create(plural, body, by, namespace))
            case "PUT", True:
                return self._answer(plural, self._put(plural, key, subresource, body, by))
            case "PATCH", True:
                return self._answer(plural, self._patch(plural, key, subresource, query, body, kind, by))
            case "DELETE", True:
                stored = self._find(plural, key)
                _check(plural, stored, (body or {}).get("preconditions") or {})
                self.delete(plural, name, by, namespace)
                return self._answer(plural, stored)
            case _:
                raise Refusal(405, "MethodNotAllowed", f"{method} {path}")

    def _find(self, plural: str, key: Key) -> Stored:
        stored = self.objects[plural].get(key)
        if stored is None:
            raise Refusal(404, "NotFound", f'{plural} "{key[1]}" not found')
        return stored

    def _answer(self, plural: str, stored: Stored) -> Object:
        if plural in OWN_KINDS:
            return stored.body
        version, kind = KINDS[plural]
        return {"kind": kind, "apiVersion": version} | stored.body

    def _list(self, plural: str, namespace: str, query: dict[str, str], age_seconds: float) -> Object:
        if "continue" in query:
            found = self._rests[query["continue"]]
        else:
            found = self._selected(plural, namespace, query, age_seconds)
        limit = int(query.get("limit", 0))
        size = self.page if limit > MOST_WANTED_WHOLE else limit or len(found)
        following = ""
        if len(found) > size:
            following = f"{self.version}-{len(self._rests)}"
            self._rests[following] = found[size:]
        head = {"resourceVersion": str(self.version), "continue": following}
        return {"kind": "List", "metadata": head, "items": found[:size]}

    def _selected(self, plural: str, namespace: str, query: dict[str, str], age_seconds: float) -> list[Object]:
        labels = [part.split("=") for part in query.get("labelSelector", "").split(",") if part]
        fields = [part.split("=") for part in query.get("fieldSelector", "").split(",") if part]
        objects = self._as_they_were(plural, age_seconds) if age_seconds else self.objects[plural]
        return [
            stored.body
            for (where, _), stored in objects.items()
            if (not namespace or where == namespace) and _selected(stored.body, labels, fields)
        ]

    def _as_they_were(self, plural: str, age_seconds: float) -> dict[Key, Stored]:
        objects, then = dict(self.objects[plural]), self.now() - timedelta(seconds=age_seconds)
        for when, what, key, before in reversed(self._past):
            if when <= then:
                break
            if what != plural:
                continue
            if before is None:
                objects.pop(key, None)
            else:
                objects[key] = before
        return objects

    def _put(self, plural: str, key: Key, subresource: str, body: Object, by: str) -> Stored:
        stored = self._find(plural, key)
        if plural in OWN_KINDS and not body["metadata"].get("resourceVersion"):
            raise Refusal(422, "Invalid", "metadata.resourceVersion: must be specified for an update")
        _check(plural, stored, body["metadata"])
        there = stored.body
        if subresource == "status":
            changed = there | {"status": body.get("status", {})}
        else:
            kept = {"status": there["status"]} if "status" in there and plural not in WITHOUT_STATUS else {}
            fixed = {k: there["metadata"][k] for k in _FIXED if k in there["metadata"]}
            changed = body | kept | {"metadata": body["metadata"] | fixed}
        return self._store(plural, key, stored, changed, by)

    def _patch(self, plural: str, key: Key, subresource: str, query: Any, body: Object, kind: str, by: str) -> Stored:
        if kind == "application/apply-patch+yaml" and key not in self.objects[plural]:
            if body["metadata"].get("uid"):
                raise Refusal(409, "Conflict", f"uid mismatch: {key[1]} does not exist")
            if plural == "deployments" and "selector" not in body["spec"]:
                raise Refusal(422, "Invalid", "spec.selector: Required value")
            return self.create(plural, body, by, key[0])
        stored = self._find(plural, key)
        _check(plural, stored, body.get("metadata") or {})
        before = stored.copy()
        if kind == "application/apply-patch+yaml":
            changed = applied(before, body, query["fieldManager"])
        else:
            assert kind == "application/merge-patch+json", kind
            changed = merged(before, body)
            if plural not in WITHOUT_STATUS and subresource != "status":
                changed = _with(changed, "status", stored.body.get("status"))
        for name in _FIXED:
            if name in stored.metadata:
                changed["metadata"][name] = stored.metadata[name]
        return self._store(plural, key, stored, changed, by)

    def _store(self, plural: str, key: Key, stored: Stored | None, body: Object, by: str) -> Stored:
        if plural not in OWN_KINDS:
            body = {k: v for k, v in body.items() if k not in {"apiVersion", "kind"}}
        metadata = dict(body["metadata"])
        body = body | {"metadata": metadata}
        if stored is not None:
            metadata["resourceVersion"] = stored.metadata["resourceVersion"]
            if body == stored.body:
                return stored
            if body.get("spec") != stored.body.get("spec"):
                metadata["generation"] = stored.metadata["generation"] + 1
            if "deletionTimestamp" in metadata and stored.metadata.get("finalizers") and not metadata.get("finalizers"):
                self._remove(plural, key, stored, by)
                return stored
        if plural == "sloguardstudies" and (stored is None or body["spec"] != stored.body["spec"]):
            self.admit(body)
        self.version += 1
        metadata["resourceVersion"] = str(self.version)
        new = Stored(body)
        self._past.append((self.now(), plural, key, stored))
        self.objects[plural][key] = new
        self._tell(Change(plural, stored.body if stored else None, body, by))
        return new

    def admit(self, study: Object) -> None:
        """What the CRD's schema and rules say, which are the models' own."""
        try:
            Study.model_validate({"metadata": study["metadata"], "spec": study["spec"]})
        except ValidationError as error:
            raise Refusal(422, "Invalid", str(error)) from error

    def _remove(self, plural: str, key: Key, stored: Stored, by: str) -> None:
        del self.objects[plural][key]
        self._past.append((self.now(), plural, key, stored))
        uid = stored.metadata["uid"]
        self._uids.pop(uid, None)
        self._tell(Change(plural, stored.body, None, by))
        for dependent in self._dependents.pop(uid, ()):
            self.orphaned(*dependent)

    def collect(self, plural: str, key: Key) -> None:
        """What the garbage collector does with something that has lost an owner, when it gets to it."""
        stored = self.objects[plural].get(key)
        owners = stored.metadata.get("ownerReferences", []) if stored else []
        if owners and not any(self.exists(owner["uid"]) for owner in owners):
            self.delete(plural, key[1], "garbage collector", key[0])

    def _tell(self, change: Change) -> None:
        for listener in self.told:
            listener(change)


_FIXED = ("name", "namespace", "uid", "creationTimestamp", "generation", "deletionTimestamp")


def _with_defaults(spec: Object) -> Object:
    """As the CRD's schema fills in what is left out; what is null stays out."""
    return StudySpec.model_validate(spec).model_dump(mode="json", by_alias=True, exclude_none=True)


def _check(plural: str, stored: Stored, wanted: Object) -> None:
    """That the object is still the one, and as old, as the writer believes."""
    for field_name in ("uid", "resourceVersion"):
        if wanted.get(field_name) not in {None, "", stored.metadata[field_name]}:
            name = stored.metadata["name"]
            raise Refusal(409, "Conflict", f'Operation cannot be fulfilled on {plural} "{name}": it has been modified')


def _on_a_node(pod: Object) -> bool:
    return bool(pod["spec"].get("nodeName")) and pod.get("status", {}).get("phase") not in {"Failed", "Succeeded"}


def _selected(body: Object, labels: list[list[str]], fields: list[list[str]]) -> bool:
    own = body["metadata"].get("labels") or {}
    if any(own.get(name) != value for name, value in labels):
        return False
    # "status.phase!=Failed" comes here as "status.phase!" and "Failed".
    return all((_field(body, path.rstrip("!")) == value) is not path.endswith("!") for path, value in fields)


def _field(body: Object, path: str) -> Any:
    found: Any = body
    for part in path.split("."):
        found = (found or {}).get(part)
    return found


def merged(before: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return patch
    result = dict(before) if isinstance(before, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _with(body: Object, name: str, value: Any) -> Object:
    rest = {k: v for k, v in body.items() if k != name}
    return rest if value is None else rest | {name: value}
