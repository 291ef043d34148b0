"""The rest of a cluster: controllers that make pods, a scheduler with few GPUs, kubelets, the garbage collector.

Each acts a moment after what it answers to. A callback looks at its object anew, since that may have gone meanwhile.
"""

import asyncio
import hashlib
import json
from dataclasses import dataclass, field, replace
from typing import Any

from tests.simulation.api_server import Change, Object, Refusal, stamp
from tests.simulation.fates import GARBAGE, OUT_OF_MEMORY, Fate, fate_of, result

CONTROLLER = "controller manager"
KUBELET = "kubelet"
ROLE, TRIAL = "sloguard.dev/role", "sloguard.dev/trial"
PODS_OF_A_TRIAL = 2
"""Its server and its load."""


@dataclass(slots=True)
class Held:
    """GPUs of one server's pod: from its container's start until its end."""

    trial: str
    study: str
    """Its UID: a study that is made anew has trials of the same names."""

    gpus: int
    since: float
    until: float | None = None
    recorded: float | None = None
    """When its trial's end was written down. An operator that dies then leaves the server for a while."""


@dataclass
class Machinery:
    """Answers to changes of `world.server`."""

    world: Any
    gpus: int = 8
    held: dict[str, Held] = field(default_factory=dict)
    """By the pods' names; also of pods that are gone."""
    _placed: dict[str, int] = field(default_factory=dict)
    _due: set[tuple[Any, ...]] = field(default_factory=set)
    _first_sets: dict[str, str] = field(default_factory=dict)
    """Which ReplicaSet each Deployment began with."""
    _awaited: dict[str, list[asyncio.Future[None]]] = field(default_factory=dict)
    _pods_made: int = 0
    _complaints: int = 0
    quota_full_since: float | None = None
    """Since when there are as many pods as may be, in the loop's seconds."""

    quota_short_since: float | None = None
    """Since when a server and its load do not both find room."""

    busy_until: float = 0.0
    """In the loop's seconds: by then every container that was started is ready or has ended, if it ever will."""

    def hear(self, change: Change) -> None:
        match change.plural:
            case "deployments":
                if change.after is None:
                    self._stopped(change.object["metadata"]["name"])
                elif change.by != CONTROLLER:
                    self._soon(self.deploy, change.after["metadata"]["name"])
            case "jobs":
                if change.before is None:
                    self._soon(self.work, change.object["metadata"]["name"])
            case "pods":
                self._hear_of_pod(change)
                self.count_quota()
            case _:
                pass

    def orphaned(self, plural: str, key: tuple[str, str]) -> None:
        """The garbage collector comes round in its own time."""
        late = self.world.random.choice([0.2, 1, 5, 25]) if self.world.storm else 0.5
        self.world.later(late, self.world.server.collect, plural, key)

    def _hear_of_pod(self, change: Change) -> None:
        pod = change.object
        name, owner = pod["metadata"]["name"], _owner(pod)
        if change.before is None:
            self._soon(self.schedule, name)
            return
        if change.after is None:
            self._placed.pop(name, None)
            self._let_go(name)
        elif "deletionTimestamp" in pod["metadata"] and "deletionTimestamp" not in change.before["metadata"]:
            grace = self.world.random.choice([0.1, 1, 10, 30]) if self.world.storm else 0.5
            self.world.later(grace, self.remove, name)
        if owner is not None and owner["kind"] == "ReplicaSet":
            self._soon(self.deploy, owner["name"].rpartition("-")[0])
        elif owner is not None:
            self._soon(self.work, owner["name"])

    def _soon(self, do, name: str) -> None:
        """Once, however often it is asked for until then."""
        if (do.__name__, name) not in self._due:
            self._due.add((do.__name__, name))
            self.world.later(self.world.random.uniform(0.02, 0.3), self._run, do, name)

    def _run(self, do, name: str) -> None:
        self._due.discard((do.__name__, name))
        do(name)

    # controllers

    def deploy(self, name: str) -> None:
        """What the Deployment and ReplicaSet controllers do."""
        deployment = self.world.server.get("deployments", name)
        if deployment is None or "deletionTimestamp" in deployment["metadata"]:
            return
        template, wanted = deployment["spec"]["template"], deployment["spec"].get("replicas", 1)
        mark = hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:8]
        current = self._replica_set(deployment, f"{name}-{mark}")
        alive = [p for p in self.world.server.items("pods") if _serves(p, deployment)]
        new = [p for p in alive if (owner := _owner(p)) and owner["uid"] == current["metadata"]["uid"]]
        old = [p for p in alive if p not in new]
        ready = [p for p in new if _ready(p)]
        strategy = deployment["spec"].get("strategy", {})
        recreates = strategy.get("type") == "Recreate"
        one_by_one = strategy.get("rollingUpdate", {}).get("maxSurge") == 0
        if not old or not recreates:
            for _ in range(wanted - (len(alive) if one_by_one else len(new))):
                if not self._admitted("ReplicaSet", current, lambda: self.deploy(name)):
                    break
                self._make_pod(current["metadata"]["name"], "ReplicaSet", current, template, {})
        surplus = sorted(new, key=_ready)[: max(len(new) - wanted, 0)]
        going = old if recreates or len(ready) >= wanted else []
        if one_by_one and old:
            all_serve = len(alive) >= wanted and all(map(_ready, alive))
            going = [p for p in old if not _ready(p)] or (old[:1] if all_serve else [])
        for pod in surplus + going:
            self.world.server.delete("pods", pod["metadata"]["name"], CONTROLLER)
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": len(alive),
            "updatedReplicas": len(new),
            "readyReplicas": len(ready),
            "availableReplicas": len([p for p in alive if _ready(p)]),
        }
        self.world.server.change("deployments", name, lambda body: body.update(status=status), CONTROLLER)

    def _replica_set(self, deployment: Object, name: str) -> Object:
        found = self.world.server.get("replicasets", name)
        if found is not None:
            return found
        self._first_sets.setdefault(deployment["metadata"]["name"], name)
        owner = _reference("Deployment", deployment)
        body = {"metadata": {"name": name, "ownerReferences": [owner]}, "spec": {}}
        return self.world.server.create("replicasets", body, CONTROLLER).body

    def work(self, name: str) -> None:
        """What the Job controller does."""
        job = self.world.server.get("jobs", name)
        if job is None or job.get("status", {}).get("conditions"):
            return
        owned = [p for p in self.world.server.items("pods") if (o := _owner(p)) and o["uid"] == job["metadata"]["uid"]]
        completions = job["spec"].get("completions", 1)
        if not owned and "active" not in job.get("status", {}):
            if "startTime" not in job.get("status", {}):
                begun = {"startTime": stamp(self.world.now())}
                self.world.server.change("jobs", name, lambda body: body.update(status=begun), CONTROLLER)
                self.world.later(
                    float(job["spec"]["activeDeadlineSeconds"]), self._deadline, job["metadata"]["uid"], name
                )
            if not self._admitted("Job", job, lambda: self.work(name)):
                return
            self.world.server.change("jobs", name, lambda body: body.update(status={"active": completions}), CONTROLLER)
            for index in range(completions):
                marks = {"batch.kubernetes.io/job-completion-index": str(index)} if completions > 1 else {}
                self._make_pod(name, "Job", job, job["spec"]["template"], marks)
            return
        phases = [p.get("status", {}).get("phase") for p in owned if "deletionTimestamp" not in p["metadata"]]
        if "Failed" in phases or len(owned) < completions:
            self._end_job(name, "Failed", "BackoffLimitExceeded", "Job has reached the specified backoff limit")
        elif phases.count("Succeeded") == completions:
            self._end_job(name, "Complete", "CompletionsReached", "")

    def _deadline(self, uid: str, name: str) -> None:
        job = self.world.server.get("jobs", name)
        if job is None or job["metadata"]["uid"] != uid or job["status"].get("conditions"):
            return
        self._end_job(name, "Failed", "DeadlineExceeded", "Job was active longer than specified deadline")
        for pod in self.world.server.items("pods"):
            if (owner := _owner(pod)) and owner["uid"] == uid and "deletionTimestamp" not in pod["metadata"]:
                self.world.server.delete("pods", pod["metadata"]["name"], CONTROLLER)

    def _end_job(self, name: str, kind: str, reason: str, message: str) -> None:
        condition = {"type": kind, "status": "True", "reason": reason, "message": message}
        self.world.server.change("jobs", name, lambda body: body.update(status={"conditions": [condition]}), CONTROLLER)

    def count_quota(self) -> None:
        """What the quota says is used: pods that have not ended."""
        quota = self.world.server.get("resourcequotas", "quota")
        if quota is None:
            self.quota_full_since = self.quota_short_since = None
            return
        hard = quota["spec"]["hard"]
        alive = sum(p["status"].get("phase") not in {"Failed", "Succeeded"} for p in self.world.server.items("pods"))
        status = {"hard": hard, "used": {"pods": str(alive)}}
        self.world.server.change("resourcequotas", "quota", lambda body: body.update(status=status), CONTROLLER)
        self.quota_full_since = self._since(self.quota_full_since, alive >= int(hard["pods"]))
        self.quota_short_since = self._since(self.quota_short_since, alive + PODS_OF_A_TRIAL > int(hard["pods"]))

    def _since(self, before: float | None, holds: bool) -> float | None:
        return (self.world.loop.time() if before is None else before) if holds else None

    def _admitted(self, kind: str, owner: Object, again) -> bool:
        """Whether the quota lets another pod in; else an event says so, and it is tried again."""
        if self.quota_full_since is None:
            return True
        self._complaints += 1
        name, uid = owner["metadata"]["name"], owner["metadata"]["uid"]
        message = f'Error creating: pods "{name}-" is forbidden: exceeded quota: quota, requested: pods=1'
        event = {
            "metadata": {"name": f"{name}.{self._complaints}"},
            "involvedObject": {"kind": kind, "name": name, "uid": uid},
            "type": "Warning",
            "reason": "FailedCreate",
            "message": message,
        }
        self.world.server.create("events", event, CONTROLLER)
        if kind == "Job":
            # A load that cannot begin is given up by its operator some time, and till then nothing is settled.
            self.busy_until = max(self.busy_until, self.world.loop.time() + 7.0)
        self.world.later(6.0, again)
        return False

    def _make_pod(self, prefix: str, kind: str, owner: Object, template: Object, marks: dict[str, str]) -> None:
        self._pods_made += 1
        metadata = {
            "name": f"{prefix}-{self._pods_made:05d}",
            "labels": template["metadata"]["labels"],
            "ownerReferences": [_reference(kind, owner)],
            "annotations": marks,
        }
        body = {"metadata": metadata, "spec": dict(template["spec"]), "status": {"phase": "Pending"}}
        self.world.server.create("pods", json.loads(json.dumps(body)), CONTROLLER)

    # scheduler and kubelets

    def schedule(self, name: str) -> None:
        """To a node, where there are GPUs enough."""
        pod = self._live_pod(name)
        if pod is None:
            return
        wanted, fate = _gpus(pod), self._fate(pod)
        barred = fate.start == "unschedulable" and self.world.storm
        if sum(self._placed.values()) + wanted > self.gpus or barred:
            message = "0/2 nodes are available: 2 Insufficient nvidia.com/gpu."
            condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
            self._status(name, phase="Pending", conditions=[condition])
            self.world.later(7.0, self.schedule, name)
            return
        self._placed[name] = wanted
        taken_in = stamp(self.world.now())

        def place(body: Object) -> None:
            body["spec"]["nodeName"], body["status"]["startTime"] = "node-1", taken_in

        self.world.server.change("pods", name, place, KUBELET)
        self.world.later(self.world.random.uniform(0.1, 1.5), self.start, name, fate)

    def start(self, name: str, fate: Fate) -> None:
        pod = self._live_pod(name)
        if pod is None:
            return
        if fate.start == "image" and self.world.storm:
            waiting = {"reason": "ImagePullBackOff", "message": 'Back-off pulling image "vllm"'}
            self._container(pod, {"state": {"waiting": waiting}})
            self.world.later(20.0, self.start, name, fate)
            return
        begun = stamp(self.world.now())
        self._container(pod, {"state": {"running": {"startedAt": begun}}})
        role = pod["metadata"]["labels"].get(ROLE)
        if role == "load":
            self.world.later(fate.loads_for, self.load, name, self.world.now())
            return
        if role == "git":
            self.world.later(self.world.random.uniform(1, 5), self.bring, name)
            return
        if role == "server":
            trial = pod["metadata"]["labels"][TRIAL]
            if self.world.server.get("deployments", trial) is not None:
                self.held[name] = Held(trial, self.world.study_of(trial), _gpus(pod), self.world.loop.time())
        self.busy_until = max(self.busy_until, self.world.loop.time() + fate.starts_after)
        self.world.later(fate.starts_after, self.started, name, fate, begun)

    def started(self, name: str, fate: Fate, begun: str) -> None:
        """Ready, or not."""
        pod = self._live_pod(name)
        if pod is None:
            return
        match fate.start:
            case "crash":
                self.end_container(name, begun, 1, OUT_OF_MEMORY)
            case "garbage":
                self.end_container(name, begun, 3, GARBAGE)
            case "evicted" if self.world.storm:
                self.evict(name)
            case "node lost" if self.world.storm:
                self.lose_node(name)
            case "never ready":
                pass
            case _:
                self._container(pod, {"state": {"running": {"startedAt": begun}}, "ready": True})

    def end_container(self, name: str, begun: str, code: int, log: str = "") -> None:
        """It ends, and the kubelet will start it again and again."""
        pod = self._live_pod(name)
        if pod is not None:
            self.world.server.logs[name] = log
            ended = {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "startedAt": begun}
            ended |= {"finishedAt": stamp(self.world.now())}
            waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}
            shown = {"state": {"waiting": waiting}, "lastState": {"terminated": ended}, "restartCount": 1}
            self._container(pod, shown)
            self._let_go(name)

    def evict(self, name: str) -> None:
        """For want of something on its node: the pod stays as failed, and another one is made."""
        message = "The node was low on resource: ephemeral-storage."
        self._let_go(name)
        self._status(name, phase="Failed", reason="Evicted", message=message, containerStatuses=[])

    def lose_node(self, name: str) -> None:
        """Its pods are deleted a while later, by whoever watches nodes."""
        pod = self._live_pod(name)
        if pod is not None:
            gone = {"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager", "message": "gone"}
            self._status(name, conditions=[*pod["status"].get("conditions", []), gone])
            self.world.server.delete("pods", name, CONTROLLER)

    def remove(self, name: str) -> None:
        """The kubelet has ended a pod's containers."""
        self._let_go(name)
        try:
            self.world.server.delete("pods", name, KUBELET, at_once=True)
        except Refusal:
            return

    # loads

    def load(self, name: str, begun) -> None:
        """A load's container ends, with a result that depends on its server."""
        pod = self._live_pod(name)
        if pod is None:
            return
        trial = pod["metadata"]["labels"][TRIAL]
        server = next((p for p in self.world.server.items("pods") if _server_of(p, trial) and _ready(p)), None)
        now = self.world.now()
        if server is None:
            nothing = Fate(0.0, False, 0, 0.0, 0.0)
            self._end_load(pod, 0, result(nothing, begun, now, fault=True))
            return
        fate = self._fate(server)
        since = server["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]
        if fate.load == "result" and not fate.outlives_a_soak and self._is_soak(trial):
            fate = replace(fate, load="dies")
        match fate.load:
            case "exit 0 under load" | "dies" as fault:
                code = 0 if fault == "exit 0 under load" else 137
                self.world.later(
                    self.world.random.choice([0.1, 8]), self.end_container, server["metadata"]["name"], since, code
                )
                self._end_load(pod, 0, result(fate, begun, now, fault=True))
            case "hang":
                self._end_load(pod, 0, result(fate, begun, now, fault=True))
            case "no result" if self.world.storm:
                self._end_load(pod, 137, "")
            case "invalid" if self.world.storm:
                self._end_load(pod, 0, result(fate, begun, now, invalid="the generator was late"))
            case "stuck" if self.world.storm:
                pass
            case _:
                self._end_load(pod, 0, result(replace(fate), begun, now))

    def _is_soak(self, trial: str) -> bool:
        record = self.world.server.get("sloguardtrials", trial)
        return record is not None and record["spec"]["purpose"] == "Soak"

    def bring(self, name: str) -> None:
        """A Job's pod has been to the repository."""
        pod = self._live_pod(name)
        if pod is None:
            return
        outcome = self.world.repository.asked(pod)
        if outcome is None:
            self._end_load(pod, 137, "")
        else:
            text = outcome.model_dump_json(by_alias=True, exclude_none=True)
            self._end_load(pod, 0 if outcome.reason.succeeded else 4, text)

    def _end_load(self, pod: Object, code: int, message: str) -> None:
        now = stamp(self.world.now())
        ended = {"exitCode": code, "reason": "Error" if code else "Completed", "message": message}
        state = {"terminated": ended | {"startedAt": now, "finishedAt": now}}
        name = pod["metadata"]["name"]
        self._placed.pop(name, None)
        statuses = [{"name": pod["spec"]["containers"][0]["name"], "state": state, "ready": False, "restartCount": 0}]
        self._status(name, phase="Failed" if code else "Succeeded", containerStatuses=statuses)

    # small things

    def _fate(self, pod: Object) -> Fate:
        """One for each pod."""
        name = pod["metadata"]["name"]
        if name not in self.world.fates:
            container = pod["spec"]["containers"][0]
            arguments = [*container.get("command", []), *container.get("args", [])]
            fate = fate_of(self.world.seed, arguments, self.world.random, calm=not self.world.storm)
            role = pod["metadata"]["labels"].get(ROLE)
            if role in {"load", "git"}:
                fate = replace(fate, start="image" if fate.start == "image" else "ready")
            elif role is None:
                fate = replace(fate, start=self._fate_of_production(pod), load="result")
            self.world.fates[name] = fate
        return self.world.fates[name]

    def _fate_of_production(self, pod: Object) -> str:
        """What it runs with from the beginning is known to start."""
        name = pod["metadata"]["ownerReferences"][0]["name"]
        if name == self._first_sets[name.rpartition("-")[0]]:
            return "ready"
        return self.world.random.choice(["ready"] * 8 + ["crash", "never ready"])

    def _live_pod(self, name: str) -> Object | None:
        pod = self.world.server.get("pods", name)
        gone = (
            pod is None or "deletionTimestamp" in pod["metadata"] or pod["status"]["phase"] in {"Failed", "Succeeded"}
        )
        return None if gone else pod

    def _container(self, pod: Object, status: Object) -> None:
        name = pod["spec"]["containers"][0]["name"]
        shown = {"name": name, "ready": False, "restartCount": 0} | status
        ready = {"type": "Ready", "status": str(shown["ready"])}
        self._status(pod["metadata"]["name"], phase="Running", conditions=[ready], containerStatuses=[shown])

    def _status(self, name: str, **fields: Any) -> None:
        self.world.server.change("pods", name, lambda body: body["status"].update(fields), KUBELET)

    def _stopped(self, trial: str) -> None:
        """The operator has done its part; how long its pods take to go is not its doing."""
        for name, held in self.held.items():
            if held.trial == trial:
                self._let_go(name)

    def end_of(self, name: str) -> asyncio.Future[None]:
        """Done when the pod's container has ended, or has never begun."""
        end = self.world.loop.create_future()
        held = self.held.get(name)
        if held is None or held.until is not None:
            end.set_result(None)
        else:
            self._awaited.setdefault(name, []).append(end)
        return end

    def _let_go(self, name: str) -> None:
        for end in self._awaited.pop(name, ()):
            if not end.done():
                end.set_result(None)
        held = self.held.get(name)
        if held is not None and held.until is None:
            held.until = self.world.loop.time()


def _reference(kind: str, owner: Object) -> Object:
    metadata = owner["metadata"]
    return {"apiVersion": "v1", "kind": kind, "name": metadata["name"], "uid": metadata["uid"], "controller": True}


def _owner(pod: Object) -> Object | None:
    return next(iter(pod["metadata"].get("ownerReferences", [])), None)


def _serves(pod: Object, deployment: Object) -> bool:
    wanted = deployment["spec"]["selector"]["matchLabels"].items()
    there = "deletionTimestamp" not in pod["metadata"] and pod["status"].get("phase") != "Failed"
    return there and wanted <= pod["metadata"]["labels"].items()


def _ready(pod: Object) -> bool:
    return any(status.get("ready") for status in pod["status"].get("containerStatuses", []))


def _server_of(pod: Object, trial: str) -> bool:
    labels = pod["metadata"]["labels"]
    return labels.get(TRIAL) == trial and labels.get(ROLE) == "server" and "deletionTimestamp" not in pod["metadata"]


def _gpus(pod: Object) -> int:
    resources = pod["spec"]["containers"][0].get("resources", {})
    return int(resources.get("limits", {}).get("nvidia.com/gpu", 0))
