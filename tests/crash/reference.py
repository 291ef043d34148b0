"""The reference study: baselines, a crash, a fault of infrastructure, a winner, its repeats and soak, a promotion."""

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from tests.apiserver.admission.rest import RefusedError, Rest
from tests.apiserver.operator.objects import production, study
from tests.apiserver.operator.world import World, arguments_of, max_num_seqs
from tests.clusters.control_plane import free_ports
from tests.clusters.handle import Cluster
from tests.crash.nursery import Nursery
from tests.crash.proxy import Proxy

Object = dict[str, Any]

STUDY = study(
    searchSpace={"preset": "None", "parameters": [{"name": "max_num_seqs", "choice": {"values": ["8", "10"]}}]},
    budget={"trials": 7},
    promotion={"mode": "Automatic", "confirmations": 1, "soakSeconds": 1, "verification": {"durationSeconds": 1}},
)
TRIALS = 9
"""One of them is the second attempt of another, and one the winner's soak."""

POKED = {"Promoting", "Verifying"}
"""Phases in which nobody is woken: production's pods are not watched."""


class ReferenceWorld(World):
    """The winner's first load fails, through no fault of its own."""

    def install(self) -> None:
        """What serves in production."""
        self.create("deployments", production())

    def served(self) -> list[str]:
        """Production's arguments."""
        return self.container()["args"]

    def _load(self, pod: Object, pods: list[Object]) -> None:
        trial = pod["metadata"]["labels"]["sloguard.dev/trial"]
        if self.first_of_winner(trial, pods):
            self._report(pod, {"exitCode": 1, "reason": "Error", "message": "no route to host"})
        else:
            super()._load(pod, pods)

    @staticmethod
    def first_of_winner(trial: str, pods: list[Object]) -> bool:
        servers = [p for p in pods if p["metadata"]["name"].startswith(f"{trial}-")]
        first = trial.endswith("-1") and int(trial.split("-")[1]) in (2, 3)
        return first and any(max_num_seqs(arguments_of(p)) == 10 for p in servers)


@dataclass
class Run:
    """One study in a namespace of its own, with operators behind a proxy."""

    world: ReferenceWorld
    proxy: Proxy
    nursery: Nursery
    kubeconfig: Path
    log: Path
    options: tuple[str, ...] = ()
    pids: list[int] = field(default_factory=list)
    exits: list[int] = field(default_factory=list)
    dead: list[int] = field(default_factory=list)
    """Told to end, and not yet followed by another."""

    def start(self, identity: str = "operator", *options: str) -> int:
        (port,) = free_ports(1)
        common = ["--load-image=sloguard:test", f"--probe-address=127.0.0.1:{port}", "--log-format=json"]
        lease = ["--lease-namespace=sloguard-system", "--lease-seconds=6", f"--identity={identity}"]
        place = [f"--namespace={self.world.namespace}"]
        pid = self.nursery.start(self.kubeconfig, self.log, *common, *lease, *place, *self.options, *options)
        self.pids.append(pid)
        return pid

    def end(self, number: int = signal.SIGKILL) -> None:
        """The operator that was started last; `live` starts another when it has ended."""
        pid = self.pids[-1]
        # Known before it has happened: `live` looks from another thread, and waits for it at once.
        self.dead.append(pid)
        os.kill(pid, number)

    def lose(self, pid: int) -> None:
        """Nobody follows it."""
        os.kill(pid, signal.SIGKILL)
        self.wait(pid)

    def wait(self, pid: int) -> int:
        self.pids.remove(pid)
        self.exits.append(self.nursery.wait(pid))
        return self.exits[-1]

    def live(self, until: Callable[[], object], seconds: float = 600) -> None:
        """The world goes on, and an operator that was killed is followed by another, until something is so."""
        end, poked = time.monotonic() + seconds, 0.0
        while not until():
            assert time.monotonic() < end, f"not within {seconds} s\n{self.world.describe()}"
            while self.dead:
                self.wait(self.dead.pop())
                self.start()
            ended = [pid for pid in self.pids if _is_over(pid) and pid not in self.dead]
            assert not ended, f"an operator ended by itself\n{self.world.log()}"
            self.world.tick()
            if time.monotonic() - poked > 0.7:
                poked = time.monotonic()
                self.poke()
            time.sleep(0.2)

    def poke(self) -> None:
        """Wake the operator where it would look every few seconds only. The study may be gone at any time."""
        for one in self.world.items("sloguardstudies"):
            if one.get("status", {}).get("phase") in POKED:
                poked = {"metadata": {"annotations": {"poked": str(time.monotonic())}}}
                with suppress(RefusedError):
                    self.world.patch("sloguardstudies", one["metadata"]["name"], poked)

    @property
    def ended(self) -> bool:
        """Everything that the study caused is gone, but for its trials."""
        if self.world.phase() not in {"Completed", "Failed"} or "finalizers" in self.world.study()["metadata"]:
            return False
        return self.world.children() == [f"sloguardtrials/{name}" for name in sorted(self.world.trials())]

    def state(self) -> Object:
        """What must be the same however often operators died, which times and reconciles' counts need not."""
        status = _without_pods(self.world.status())
        promotion = status.get("promotion", {})
        return {
            "phase": status["phase"],
            "counts": status["trials"],
            "recommendation": status.get("recommendation"),
            "promotion": {k: v for k, v in promotion.items() if k not in {"startedAt", "changedAt"}},
            "conditions": {c["type"]: (c["status"], c["reason"], c["message"]) for c in status["conditions"]},
            "production": self.world.served(),
            "trials": {name: _of_trial(trial) for name, trial in self.world.trials().items()},
        }

    @property
    def told(self) -> set[tuple[str, str]]:
        """Reasons and messages of the study's events; how often each was told is not of interest."""
        events = [e for e in self.world.items("events") if e["involvedObject"]["kind"] == "SLOGuardStudy"]
        return {(event["reason"], str(_without_pods(event["message"]))) for event in events}

    @property
    def doubled(self) -> dict[str, int]:
        """Trials that had more than one server or one load."""
        return {of: len(uids) for of, uids in self.world.made.items() if len(uids) > 1 and of != " production"}


def _is_over(pid: int) -> bool:
    """Ended, and not yet waited for."""
    return ") Z " in Path(f"/proc/{pid}/stat").read_text()


def _without_pods(told: Object) -> Object:
    """Names of production's pods have a random end."""
    return json.loads(re.sub(r"\bllama-[a-z0-9]+-[a-z0-9]{5}\b", "llama-POD", json.dumps(told)))


def _of_trial(trial: Object) -> Object:
    status = trial["status"]
    kept = ("phase", "outcome", "message", "arguments", "goodputTokensPerSecond")
    return {
        "spec": trial["spec"],
        "crash": status.get("crash", {}).get("class"),
        **{field: status.get(field) for field in kept},
    }


@contextmanager
def begun(
    cluster: Cluster, access: Cluster, nursery: Nursery, folder: Path, world: type[ReferenceWorld] = ReferenceWorld
) -> Iterator[Run]:
    """A namespace with production in it, a proxy, and no operator yet. Those that run at the end are killed."""
    folder.mkdir(parents=True)
    log = folder / "log"
    with closing(Rest(cluster.kubeconfig)) as rest:
        namespace = f"crash-{uuid4().hex[:8]}"
        rest.request("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        _wait_for_service_account(rest, namespace)
        here = world(rest, namespace, log=lambda: log.read_text()[-4000:] if log.exists() else "")
        here.install()
        proxy = Proxy(access.kubeconfig)
        with proxy.running(folder) as kubeconfig:
            run = Run(here, proxy, nursery, kubeconfig, log)
            try:
                yield run
            finally:
                for pid in list(run.pids):
                    os.kill(pid, signal.SIGKILL)
                    run.wait(pid)


def _wait_for_service_account(rest: Rest, namespace: str) -> None:
    """Without it no pod is made, and the next attempt takes its time."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            rest.request("GET", f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
        except RefusedError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"no service account in {namespace}")
