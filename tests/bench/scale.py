"""Many studies on a real API server: what the operator costs, how soon it reacts, and how soon it is back.

Trials of the past are written as the operator leaves them; a stand-in for nodes patches the pods of those under way.
Beside it, on the same objects, a kopf daemon for each study that is woken by the same watches and makes the same
reads, and decides nothing.
"""

import argparse
import asyncio
import json
import os
import re
import ssl
import sys
import tempfile
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp

from sloguard.cluster.target import template_hash
from sloguard.measure.encode import decode
from tests.apiserver.operator.objects import ARGUMENTS, production, study
from tests.apiserver.operator.world import PATHS, result
from tests.clusters import control_plane
from tests.clusters.control_plane import free_ports
from tests.clusters.handle import Cluster

ROOT = Path(__file__).parents[2]
Object = dict[str, Any]

TRIALS = 20
A_NAMESPACE = 50
"""Studies in a namespace, all for the same production."""

AT_ONCE = 16
LIVE_TRIALS = 5
"""Left to each study under way of its twenty. What its beginning and end ask for counts among their requests."""

_LOOKED = re.compile(rb'"message": "reconciled", "study": "([^"]+)"')

CPU_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Size:
    """`live` of the studies have trials under way."""

    studies: int
    live: int
    steady_seconds: int


@dataclass
class Rest:
    """An administrator's requests, many at a time."""

    session: aiohttp.ClientSession
    _slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    async def __call__(self, method: str, path: str, body: Object | None = None) -> Object:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        async with self._slots, self.session.request(method, path, json=body, headers={"Content-Type": kind}) as answer:
            told = await answer.json()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {path}: {told.get('message')}")
            return told

    async def watch(self, path: str, labels: str = "") -> AsyncIterator[Object]:
        """For ever, from all that is there."""
        query = {"watch": "true", "labelSelector": labels}
        async with self.session.get(path, params=query, timeout=aiohttp.ClientTimeout(total=None)) as answer:
            async for line in answer.content:
                yield json.loads(line)


def path(plural: str, namespace: str = "", name: str = "", subresource: str = "") -> str:
    place = ["namespaces", namespace] if namespace else []
    return "/" + "/".join(part for part in [PATHS[plural], *place, plural, name, subresource] if part)


@asynccontextmanager
async def administrator(config: Object) -> AsyncIterator[Rest]:
    """By a kubeconfig."""
    cluster, token = config["clusters"][0]["cluster"], config["users"][0]["user"]["token"]
    trust = ssl.create_default_context(cadata=b64decode(cluster["certificate-authority-data"]).decode())
    connector = aiohttp.TCPConnector(ssl=trust, limit=0)
    headers = {"Authorization": f"Bearer {token}"}
    # A watch sends an object a line.
    async with aiohttp.ClientSession(
        cluster["server"], connector=connector, headers=headers, read_bufsize=2**22
    ) as session:
        yield Rest(session)


# What the past left


def spec_of(*, live: bool) -> Object:
    budget = {"trials": TRIALS}
    space = {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 8, "max": 256}}]}
    promotion = {"mode": "Off", "confirmations": 0, "soakSeconds": 0}
    return study(searchSpace=space, budget=budget, promotion=promotion, suspend=live)["spec"]


def trial_of(owner: Object, number: int, target_hash: str) -> Object:
    """One that is over: baselines, and search with every fifth crashed."""
    name, metadata = f"{owner['metadata']['name']}-{number}-1", owner["metadata"]
    purpose = ("Production", "Default")[number] if number < 2 else "Search"
    parameters = ({"max_num_seqs": "2"}, {})[number] if number < 2 else {"max_num_seqs": str(8 + number)}
    reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "controller": True}
    reference |= {"name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": owner["apiVersion"],
        "kind": "SLOGuardTrial",
        "metadata": {
            "name": name,
            "labels": {"sloguard.dev/study": metadata["name"], "app.kubernetes.io/managed-by": "sloguard"},
            "ownerReferences": [reference],
        },
        "spec": {
            "study": metadata["name"],
            "number": number,
            "attempt": 1,
            "purpose": purpose,
            "parameters": parameters,
            "seed": 901994809,
            "targetHash": target_hash,
            "reason": "Written by the bench, as if the search had asked for it. " * 4,
        },
    }


def status_of(number: int) -> Object:
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    times = dict.fromkeys(("startedAt", "finishedAt"), now)
    setting = [f"--max-num-seqs={2 if number == 0 else 8 + number}"] if number != 1 else []
    common = times | {"phase": "Finished", "arguments": [ARGUMENTS[0], *setting, ARGUMENTS[-1]], "gpuSeconds": 60}
    if number > 2 and number % 5 == 0:
        cause = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total of ..."
        crash = {"class": "CUDAOutOfMemory", "fault": "Configuration", "phase": "Profile", "cause": cause}
        return common | {"outcome": "Crashed", "message": f"CUDAOutOfMemory: {cause}", "crash": crash}
    rates = [rate.dump() for rate in decode(result(100.0 + number)).rates]
    served = {"readyAt": now, "loadStartedAt": now, "goodputTokensPerSecond": 100 + number, "measurements": rates}
    return common | served | {"outcome": "Feasible", "message": "all SLOs met at 100 %"}


async def seed(rest: Rest, size: Size) -> list[tuple[str, str]]:
    """All studies that are under way, which are suspended until their time comes."""
    keys = [(f"team-{i // A_NAMESPACE}", f"s{i}") for i in range(size.studies)]
    for namespace in sorted({namespace for namespace, _ in keys}):
        await rest("POST", "/api/v1/namespaces", {"metadata": {"name": namespace}})
        await rest("POST", path("deployments", namespace), production())
    every = size.studies // size.live
    live = set(keys[::every][: size.live])
    for first in range(0, len(keys), AT_ONCE):
        some = keys[first : first + AT_ONCE]
        await asyncio.gather(*(_seed_study(rest, key, live=key in live) for key in some))
    return sorted(live)


async def _seed_study(rest: Rest, key: tuple[str, str], *, live: bool) -> None:
    namespace, name = key
    body = study(name) | {"spec": spec_of(live=live)}
    owner = await rest("POST", path("sloguardstudies", namespace), body)
    template = template_hash(await rest("GET", path("deployments", namespace, "llama")))
    for number in range(TRIALS - LIVE_TRIALS if live else TRIALS):
        made = await rest("POST", path("sloguardtrials", namespace), trial_of(owner, number, template))
        name = made["metadata"]["name"]
        await rest("PATCH", path("sloguardtrials", namespace, name, "status"), {"status": status_of(number)})


# What nodes do


@dataclass
class Nodes:
    """Pods become ready and loads end, at once; and when the operator has taken notice is written down."""

    rest: Rest
    latencies: list[float] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    _told: dict[tuple[str, str, str], float] = field(default_factory=dict)
    _seen: set[str] = field(default_factory=set)

    async def run(self) -> None:
        await asyncio.gather(self._pods(), self._trials())

    async def _pods(self) -> None:
        tasks = set()
        async for event in self.rest.watch("/api/v1/pods", "sloguard.dev/trial"):
            pod = event["object"]
            if event["type"] == "DELETED" or pod["metadata"]["uid"] in self._seen:
                continue
            self._seen.add(pod["metadata"]["uid"])
            task = asyncio.create_task(self._report(pod))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

    async def _report(self, pod: Object) -> None:
        metadata, now = pod["metadata"], datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        server = metadata["labels"]["sloguard.dev/role"] == "server"
        state: Object = {"running": {"startedAt": now}}
        if not server:
            message = result(150.0)
            state = {"terminated": {"startedAt": now, "finishedAt": now, "exitCode": 0, "message": message}}
        one = {"name": pod["spec"]["containers"][0]["name"], "image": "", "imageID": "", "restartCount": 0}
        one |= {"state": state, "ready": server}
        status = {"phase": "Running" if server else "Succeeded", "containerStatuses": [one]}
        with suppress(RuntimeError):  # it may be gone already
            await self.rest(
                "PATCH", path("pods", metadata["namespace"], metadata["name"], "status"), {"status": status}
            )
            phase = "Loading" if server else "Finished"
            key = (metadata["namespace"], metadata["labels"]["sloguard.dev/trial"], phase)
            self._told.setdefault(key, time.monotonic())

    async def _trials(self) -> None:
        async for event in self.rest.watch("/" + PATHS["sloguardtrials"] + "/sloguardtrials"):
            trial = event["object"]
            metadata, phase = trial["metadata"], trial.get("status", {}).get("phase", "")
            begun = self._told.pop((metadata["namespace"], metadata["name"], phase), None)
            if begun is not None:
                self.latencies.append(time.monotonic() - begun)
                if phase == "Finished":
                    self.finished.add(metadata["uid"])


# Who is measured


@dataclass
class Contestant:
    """A process that watches. What it did so far stands in its log: each request, and each look at a study."""

    name: str
    command: Sequence[str]
    kubeconfig: Path
    log: Path
    requests: int = 0
    studies: set[str] = field(default_factory=set)
    process: asyncio.subprocess.Process | None = None
    _read: int = 0

    async def start(self) -> None:
        self.requests = 0
        self.studies.clear()
        with self.log.open("ab") as log:
            self._read = log.tell()
            self.process = await asyncio.create_subprocess_exec(
                *self.command, stdout=log, stderr=log, env=os.environ | {"KUBECONFIG": str(self.kubeconfig)}
            )

    async def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        await self.process.wait()

    def look(self) -> None:
        """Read on in its log, up to the last whole line."""
        with self.log.open("rb") as log:
            log.seek(self._read)
            whole = log.read().rpartition(b"\n")[0]
        self._read += len(whole)
        self.requests += whole.count(b"sloguard.api")
        self.studies.update(found.decode() for found in _LOOKED.findall(whole))

    async def until(self, what: str, check: Callable[[], bool], seconds: float) -> float:
        """How long it took since it was started or this was asked."""
        begun = time.monotonic()
        while self.look() or not check():
            assert self.process is not None
            assert self.process.returncode is None, f"{self.name} ended\n{self.log.read_text()[-3000:]}"
            if time.monotonic() - begun > seconds:
                raise TimeoutError(f"{self.name}: {what} took more than {seconds} s; {len(self.studies)} studies seen")
            await asyncio.sleep(0.2)
        return time.monotonic() - begun

    def cpu_seconds(self) -> float:
        assert self.process is not None
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CPU_TICKS

    def most_mebibytes(self) -> float:
        assert self.process is not None
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


@dataclass(frozen=True)
class Figures:
    """Seconds, MiB and percent of one core. `recovery` counts from the start of the process."""

    name: str
    recovery_seconds: float
    recovery_cpu_seconds: float
    steady_cpu_percent: float
    steady_requests_per_minute: float
    most_mebibytes: float
    latencies: Sequence[float] = ()
    requests_per_trial: float | None = None


async def measure(one: Contestant, size: Size) -> Figures:
    """Once through everything that is new to it, killed, started again, and left alone."""
    patience = 400 + size.studies
    await one.start()
    await one.until("its first look at all studies", lambda: len(one.studies) >= size.studies, patience)
    await asyncio.sleep(2)
    await one.kill()
    await one.start()
    recovery = await one.until("its return", lambda: len(one.studies) >= size.studies, patience)
    recovery_cpu = one.cpu_seconds()
    await asyncio.sleep(min(5, size.steady_seconds))
    one.look()
    cpu, requests, begun = one.cpu_seconds(), one.requests, time.monotonic()
    await asyncio.sleep(size.steady_seconds)
    passed = time.monotonic() - begun
    one.look()
    return Figures(
        one.name,
        recovery,
        recovery_cpu,
        100 * (one.cpu_seconds() - cpu) / passed,
        60 * (one.requests - requests) / passed,
        one.most_mebibytes(),
    )


async def live(rest: Rest, one: Contestant, figures: Figures, keys: Iterable[tuple[str, str]]) -> Figures:
    """All studies under way go on at the same time, until their trials are used up."""
    wanted = list(keys)
    nodes = Nodes(rest)
    playing = asyncio.create_task(nodes.run())
    one.look()
    before = one.requests
    resumed = {"spec": {"suspend": False}}
    await asyncio.gather(*(rest("PATCH", path("sloguardstudies", *key), resumed) for key in wanted))
    total = len(wanted) * LIVE_TRIALS
    try:
        await one.until("their trials", lambda: len(nodes.finished) >= total or playing.done(), 120 + total * 5)
    finally:
        playing.cancel()
        with suppress(asyncio.CancelledError):
            await playing
    requests = one.requests - before
    return replace(
        figures, latencies=nodes.latencies, requests_per_trial=requests / total, most_mebibytes=one.most_mebibytes()
    )


async def run(size: Size, folder: Path) -> list[Figures]:
    with control_plane.running() as cluster:
        access = install(cluster, folder)
        async with administrator(json.loads(cluster.kubeconfig.read_text())) as rest:
            begun = time.monotonic()
            keys = await seed(rest, size)
            written = size.studies * TRIALS - size.live * LIVE_TRIALS
            print(f"{size.studies} studies, {written} trials written in {time.monotonic() - begun:.0f} s")
            operator, daemons = contestants(cluster, access, folder)
            ours = await measure(operator, size)
            ours = await live(rest, operator, ours, keys)
            await operator.kill()
            theirs = await measure(daemons, size)
            await daemons.kill()
    return [ours, theirs]


def install(cluster: Cluster, folder: Path) -> Cluster:
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    cluster.wait_for("storage of the definitions", lambda: cluster.kubectl("get", "slostudies,slotrials", "-A") == "")
    for name in ("namespace", "rbac"):
        cluster.kubectl("apply", "-f", str(ROOT / f"charts/manifests/{name}.yaml"))
    return cluster.as_service_account("sloguard-system", "sloguard", folder)


def contestants(cluster: Cluster, access: Cluster, folder: Path) -> tuple[Contestant, Contestant]:
    (port,) = free_ports(1)
    options = ["--load-image=sloguard:bench", f"--probe-address=127.0.0.1:{port}", "--identity=bench"]
    options += ["--log-format=json", "--log-level=debug"]
    command = [sys.executable, "-m", "sloguard", "operator", *options, "--lease-namespace=sloguard-system"]
    ours = Contestant("sloguard", command, access.kubeconfig, folder / "operator.log")
    naive = [sys.executable, "-m", "tests.bench.scale_daemon"]
    theirs = Contestant("kopf daemons", naive, cluster.kubeconfig, folder / "daemons.log")
    return ours, theirs


def report(size: Size, ends: Sequence[Figures]) -> str:
    rows = [
        f"| {size.studies} studies, {size.studies * TRIALS} trials | {' | '.join(end.name for end in ends)} |",
        f"|---|{'---|' * len(ends)}",
    ]
    for name, of in _ROWS:
        rows.append(f"| {name} | {' | '.join(of(end) for end in ends)} |")
    return "\n".join(rows)


def _percentile(end: Figures, percent: int) -> str:
    if not end.latencies:
        return "-"
    ordered = sorted(end.latencies)
    return f"{1000 * ordered[min(len(ordered) * percent // 100, len(ordered) - 1)]:.0f}"


_ROWS: Sequence[tuple[str, Callable[[Figures], str]]] = (
    ("back after SIGKILL, s", lambda f: f"{f.recovery_seconds:.1f}"),
    ("CPU for that, s", lambda f: f"{f.recovery_cpu_seconds:.1f}"),
    ("CPU at rest, % of a core", lambda f: f"{f.steady_cpu_percent:.1f}"),
    ("requests a minute at rest", lambda f: f"{f.steady_requests_per_minute:.0f}"),
    ("most memory, MiB", lambda f: f"{f.most_mebibytes:.0f}"),
    ("reaction p50, ms", lambda f: _percentile(f, 50)),
    ("reaction p99, ms", lambda f: _percentile(f, 99)),
    ("API requests a trial", lambda f: "-" if f.requests_per_trial is None else f"{f.requests_per_trial:.0f}"),
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.scale", description=__doc__)
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--live", type=int, default=50, help="how many have trials under way, all at the same time")
    parser.add_argument("--steady-seconds", type=int, default=60)
    parser.add_argument("--quick", action="store_true", help="20 studies, 2 of them live, 5 s")
    options = parser.parse_args(arguments)
    size = Size(20, 2, 5) if options.quick else Size(options.studies, options.live, options.steady_seconds)
    with tempfile.TemporaryDirectory() as folder:
        print(report(size, asyncio.run(run(size, Path(folder)))))


if __name__ == "__main__":
    main()
