"""Plays everything that a node would do: pods become ready, fail, and loads leave their results."""

import contextlib
import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from sloguard.api.v1alpha1 import LoadResult, Metric, RateMeasurement, SLOResult
from sloguard.measure.encode import encode
from tests.apiserver.admission.rest import RefusedError, Rest

Object = dict[str, Any]

OOM = {"exitCode": 137, "reason": "OOMKilled"}
PATHS = {
    "deployments": "apis/apps/v1",
    "statefulsets": "apis/apps/v1",
    "leaderworkersets": "apis/leaderworkerset.x-k8s.io/v1",
    "replicasets": "apis/apps/v1",
    "jobs": "apis/batch/v1",
    "pods": "api/v1",
    "services": "api/v1",
    "events": "api/v1",
    "configmaps": "api/v1",
    "secrets": "api/v1",
    "sloguardstudies": "apis/sloguard.dev/v1alpha1",
    "sloguardtrials": "apis/sloguard.dev/v1alpha1",
}
CHILDREN = ("sloguardtrials", "deployments", "replicasets", "jobs", "pods", "services")


def max_num_seqs(arguments: list[str]) -> int | None:
    return next((int(a.partition("=")[2]) for a in arguments if a.startswith("--max-num-seqs=")), None)


def usual(arguments: list[str]) -> float | Object:
    """What a server with these arguments does: goodput, or how it ends. 8 is too much for it, 10 the best."""
    return {2: 100.0, None: 50.0, 8: OOM, 9: 200.0, 10: 300.0}[max_num_seqs(arguments)]


@dataclass
class World:
    """One namespace. `serve` and `production` say what servers of candidates and of production do."""

    rest: Rest
    namespace: str
    serve: Callable[[list[str]], float | Object] = usual
    production: Callable[[list[str]], Object | None] = lambda _: None
    git: Callable[[Object], Object] | None = None
    """How the pod of a promotion through Git ends."""
    log: Callable[[], str] = lambda: ""
    made: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """UIDs of servers' and loads' pods that ever were, by trial and role."""

    def path(self, plural: str, name: str = "", subresource: str = "") -> str:
        parts = ["", PATHS[plural], "namespaces", self.namespace, plural, name, subresource]
        return "/".join(parts).rstrip("/")

    def create(self, plural: str, body: Object) -> Object:
        return self.rest.request("POST", self.path(plural), body, fieldManager="a-person")

    def patch(self, plural: str, name: str, body: Object, subresource: str = "") -> Object:
        return self.rest.request("PATCH", self.path(plural, name, subresource), body, fieldManager="a-person")

    def get(self, plural: str, name: str) -> Object:
        return self.rest.request("GET", self.path(plural, name))

    def items(self, plural: str) -> list[Object]:
        return self.rest.request("GET", self.path(plural))["items"]

    def delete(self, plural: str, name: str, policy: str = "Background") -> None:
        self.rest.request("DELETE", self.path(plural, name), {"propagationPolicy": policy})

    def study(self, name: str = "s") -> Object:
        return self.get("sloguardstudies", name)

    def status(self, name: str = "s") -> Object:
        return self.study(name).get("status", {})

    def phase(self, name: str = "s") -> str:
        return self.status(name).get("phase", "")

    def condition(self, kind: str, name: str = "s") -> Object:
        return next((c for c in self.status(name).get("conditions", []) if c["type"] == kind), {})

    def stalled(self, reason: str, name: str = "s") -> bool:
        found = self.condition("Stalled", name)
        return found.get("status") == "True" and found["reason"] == reason

    def trials(self) -> dict[str, Object]:
        return {t["metadata"]["name"]: t for t in self.items("sloguardtrials")}

    def servers(self) -> list[Object]:
        """Candidates' Deployments."""
        return [d for d in self.items("deployments") if "sloguard.dev/trial" in d["metadata"].get("labels", {})]

    def container(self, name: str = "llama", plural: str = "deployments") -> Object:
        """Production's."""
        return self.get(plural, name)["spec"]["template"]["spec"]["containers"][0]

    def children(self) -> list[str]:
        """What trials have caused, and they themselves."""
        found = [(plural, o) for plural in CHILDREN for o in self.items(plural)]
        return [f"{plural}/{o['metadata']['name']}" for plural, o in found if _ours(plural, o)]

    def play(self, until: Callable[[], object], seconds: float = 60, *, poke: bool = False) -> None:
        """Let the world go on until something is so. `poke` wakes the operator, which would look every 15 s only."""
        end, poked = time.monotonic() + seconds, 0.0
        while not until():
            now = time.monotonic()
            assert now < end, f"not within {seconds} s\n{self.describe()}"
            self.tick()
            if poke and now - poked > 0.5:
                for study in self.items("sloguardstudies"):
                    poked_at = {"metadata": {"annotations": {"poked": str(now)}}}
                    self.patch("sloguardstudies", study["metadata"]["name"], poked_at)
                poked = now
            time.sleep(0.1)

    def tick(self) -> None:
        pods = [p for p in self.items("pods") if "deletionTimestamp" not in p["metadata"]]
        for pod in pods:
            labels = pod["metadata"]["labels"]
            role, trial = labels.get("sloguard.dev/role", "production"), labels.get("sloguard.dev/trial", "")
            self.made[f"{trial} {role}"].add(pod["metadata"]["uid"])
            if not pod["status"].get("containerStatuses"):
                getattr(self, f"_{role}")(pod, pods)

    def _server(self, pod: Object, _: list[Object]) -> None:
        does = self.serve(arguments_of(pod))
        self._report(pod, does if isinstance(does, dict) else None)

    def _production(self, pod: Object, _: list[Object]) -> None:
        self._report(pod, self.production(arguments_of(pod)))

    def _load(self, pod: Object, pods: list[Object]) -> None:
        trial = pod["metadata"]["labels"]["sloguard.dev/trial"]
        wanted = {"sloguard.dev/trial": trial, "sloguard.dev/role": "server"}
        servers = [p for p in pods if wanted.items() <= p["metadata"]["labels"].items()]
        if servers:
            goodput = self.serve(arguments_of(servers[0]))
            assert isinstance(goodput, float)
            self._report(pod, {"exitCode": 0, "reason": "Completed", "message": result(goodput, _generator(pod))})

    def _git(self, pod: Object, _: list[Object]) -> None:
        if self.git is not None:
            self._report(pod, self.git(pod))

    def _report(self, pod: Object, ended: Object | None) -> None:
        """As the kubelet would: running and ready, or ended; a server's container is started again and again."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        once = pod["spec"]["restartPolicy"] == "Never"
        state: Object = {"state": {"running": {"startedAt": now}}, "ready": True}
        if ended is not None:
            terminated = {"terminated": {"startedAt": now, "finishedAt": now} | ended}
            waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}}
            state = {"state": terminated} if once else {"state": waiting, "lastState": terminated}
        container = {"name": pod["spec"]["containers"][0]["name"], "image": "", "imageID": "", "ready": False}
        container |= {"restartCount": int(ended is not None and not once)} | state
        ready = {"type": "Ready", "status": str(container["ready"]), "lastTransitionTime": now}
        done = "Succeeded" if ended is None or ended["exitCode"] == 0 else "Failed"
        phase = done if once else "Running"
        body = {"status": {"phase": phase, "conditions": [ready], "containerStatuses": [container]}}
        with contextlib.suppress(RefusedError):  # it may just have been taken away
            self.patch("pods", pod["metadata"]["name"], body, "status")

    def describe(self) -> str:
        study = self.items("sloguardstudies")
        kept = [{"name": s["metadata"]["name"], "status": s.get("status")} for s in study]
        trials = [(name, t.get("status", {}).get("message")) for name, t in self.trials().items()]
        pods = [(p["metadata"]["name"], p["status"]) for p in self.items("pods")]
        return "\n".join([json.dumps(kept, indent=1), str(trials), str(pods), self.log()])


def _ours(plural: str, stored: Object) -> bool:
    labels = stored["metadata"].get("labels", {})
    return plural == "sloguardtrials" or "sloguard.dev/trial" in labels


def arguments_of(pod: Object) -> list[str]:
    container = pod["spec"]["containers"][0]
    return [*container.get("command", []), *container.get("args", [])]


def _generator(pod: Object) -> int | None:
    """Which one of an Indexed Job's; None where it is alone."""
    number = pod["metadata"].get("annotations", {}).get("batch.kubernetes.io/job-completion-index")
    command = pod["spec"]["containers"][0]["command"]
    assert (number is None) == ("--generator" not in command)
    return None if number is None else int(number)


def result(goodput: float, generator: int | None = None) -> str:
    now = datetime.now(UTC)
    slo = SLOResult(metric=Metric.TTFT, percentile=99, limit_milliseconds=500, measured_microseconds=1000, met=True)
    rate = RateMeasurement(
        rate_percent=100,
        requests_per_minute=600,
        duration_milliseconds=10_000,
        sent=100,
        completed=100,
        good=100,
        prompt_tokens=1,
        output_tokens=1,
        good_tokens=round(goodput * 10),
        slos=[slo],
    )
    return encode(LoadResult(started_at=now, finished_at=now, generator=generator, rates=[rate]))
