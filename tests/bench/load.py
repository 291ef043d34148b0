"""The load generator against the field: the same server, one client after the other, each at the same rates.

    python -m tests.bench.load                      # every client that is installed; 20 minutes
    python -m tests.bench.load --install            # AIPerf and GuideLLM first, from the package index
    python -m tests.bench.load --clients sloguard "bare loop" --rates 500 1000 --seconds 10
    python -m tests.bench.load --quick              # seconds; shows that it works, not how fast

What a client cannot know is taken from the server: when each request arrived (against an even schedule: that is how
late it was sent, the network's and the server's share included) and when its first token was written. CPU is that of
the whole family of processes, beyond what a run of a tenth of the requests takes; memory is the sum over the family at
its peak, shared pages shared out (PSS).
"""

import argparse
import contextlib
import itertools
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.load_clients import CLIENTS, PEER_NAMES, VERSIONS, Figures, Job, environment, install

TOKENS = 17
GAP_MS = 5.0
FIRST_MS = 20.0
SLOW_MS = 100.0
LIMIT_MS = 50.0
SAMPLE_SECONDS = 0.2
PRIORITY: list[str] = []
RUN_LIMIT_SECONDS = 300


def percentile(values, percent):
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)] if ordered else float("nan")


def alone(command):
    """As the highest there is on a machine that others use as well: for server and client alike."""
    return [*PRIORITY, *command]


@contextlib.contextmanager
def server(*options):
    """The trivial one, on a port of its own."""
    command = [sys.executable, "-m", "tests.bench.sse_server", *options]
    with subprocess.Popen(alone(command), stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.terminate()


@contextlib.contextmanager
def simulator():
    """The stand-in for vLLM, at a size at which it never saturates here."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    options = ["--profile", "tiny", "--startup-scale", "0.001", "--port", str(port)]
    command = [sys.executable, "-m", "sloguard.simulator", "bench", *options]
    with subprocess.Popen(alone(command), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_ready(url := f"http://127.0.0.1:{port}")
            yield url
        finally:
            process.kill()


def wait_until_ready(url):
    for _ in range(600):
        with contextlib.suppress(OSError):
            urllib.request.urlopen(url + "/health", timeout=5).close()
            return
        time.sleep(0.1)
    raise RuntimeError(f"{url} did not get ready within a minute")


def seen_by(url):
    """When requests arrived and first tokens were written, since it was last asked."""
    with urllib.request.urlopen(url + "/seen", timeout=10) as answer:
        seen = json.load(answer)
    return seen["arrivedNs"], seen["firstNs"]


@dataclass
class Family:
    """A process and all that it starts."""

    process: subprocess.Popen
    peak_mib: float = 0.0
    ended: threading.Event = field(default_factory=threading.Event)

    def watch(self):
        while not self.ended.wait(SAMPLE_SECONDS):
            self.peak_mib = max(self.peak_mib, sum(map(pss_mib, descendants(self.process.pid))))


def descendants(pid):
    yield pid
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in children.read_text().split():
                yield from descendants(int(child))


def pss_mib(pid):
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


@dataclass(frozen=True)
class Run:
    """One client's run."""

    job: Job
    begun_ns: int
    cpu_seconds: float
    peak_mib: float
    figures: Figures


def run(client, job):
    log = job.folder / "log"
    with log.open("w") as output:
        begun_ns = time.perf_counter_ns()
        command, variables = alone(client.command(job)), environment(client)
        process = subprocess.Popen(command, stdout=output, stderr=output, env=variables, start_new_session=True)
        family = Family(process)
        watching = threading.Thread(target=family.watch)
        watching.start()
        deadline = threading.Timer(RUN_LIMIT_SECONDS, os.killpg, (process.pid, signal.SIGKILL))
        deadline.start()
        try:
            _, status, used = os.wait4(process.pid, 0)
        finally:
            deadline.cancel()
            family.ended.set()
            watching.join()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # whoever of the family is left
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise ClientFailedError(f"{client.name}: exit {process.returncode}: {log.read_text()[-400:]}")
    return Run(job, begun_ns, used.ru_utime + used.ru_stime, family.peak_mib, client.read(job))


class ClientFailedError(Exception):
    """Its run counts for nothing; the others go on."""


@dataclass(frozen=True)
class Row:
    """What a table says of one client at one rate; times in milliseconds."""

    client: str
    per_second: float
    achieved: float
    late_p99: float
    ttft_p50: float
    ttft_p99: float
    server_p50: float
    server_p99: float
    cpu_per_thousand: float
    peak_mib: float
    start_seconds: float


def measure(client, url, per_second, seconds):
    """A short run and a long one, so that start-up can be taken off."""
    runs = []
    for share in (0.1, 1.0):
        with tempfile.TemporaryDirectory() as folder:
            requests = round(per_second * max(1, round(seconds * share)))
            seen_by(url)
            runs.append(run(client, Job(url, "bench", per_second, requests, TOKENS, 8, Path(folder))))
    arrived, first = seen_by(url)
    short, long = runs
    more = long.job.requests - short.job.requests
    own = [(written - at) / 1e6 for at, written in zip(arrived, first, strict=True) if written]
    return Row(
        client=client.name,
        per_second=per_second,
        achieved=(len(arrived) - 1) / (arrived[-1] - arrived[0]) * 1e9,
        late_p99=percentile(lateness_ms(arrived, per_second), 99),
        ttft_p50=percentile(long.figures.ttft, 50),
        ttft_p99=percentile(long.figures.ttft, 99),
        server_p50=percentile(own, 50),
        server_p99=percentile(own, 99),
        cpu_per_thousand=(long.cpu_seconds - short.cpu_seconds) / more * 1000,
        peak_mib=long.peak_mib,
        start_seconds=(arrived[0] - long.begun_ns) / 1e9,
    )


def lateness_ms(arrived_ns, per_second):
    """Against the even schedule that fits the earliest arrivals."""
    offsets = [at - number * 1e9 / per_second for number, at in enumerate(sorted(arrived_ns))]
    return [(offset - min(offsets)) / 1e6 for offset in offsets]


COLUMNS = (
    "client",
    "rate/s",
    "achieved/s",
    "late p99 ms",
    "TTFT p50 / p99 ms",
    "beyond the server's p50 / p99",
    "CPU s per 1,000",
    "of the bare loop's",
    "peak MiB",
    "first request after s",
)


def cost_table(clients, rates, peer_rates, seconds):
    print(f"\n| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|")
    rows = []
    for per_second, client in itertools.product(rates, clients):
        if client.name in PEER_NAMES and per_second not in peer_rates:
            continue
        with server() as url:
            try:
                rows.append(measure(client, url, per_second, seconds))
            except ClientFailedError as error:
                print(f"| {client.name} | {per_second:g} | failed: {str(error)[:150]!r} |", flush=True)
                continue
        print(told(rows[-1], rows), flush=True)
    return rows


def told(row, rows):
    bare = next((r for r in rows if r.client == "bare loop" and r.per_second == row.per_second), None)
    ratio = f"{row.cpu_per_thousand / bare.cpu_per_thousand:.2f}" if bare and bare.cpu_per_thousand > 0 else "-"
    return (
        f"| {row.client} | {row.per_second:g} | {row.achieved:.1f} | {row.late_p99:.2f} "
        f"| {row.ttft_p50:.2f} / {row.ttft_p99:.2f} "
        f"| {row.ttft_p50 - row.server_p50:+.2f} / {row.ttft_p99 - row.server_p99:+.2f} "
        f"| {row.cpu_per_thousand:.2f} | {ratio} | {row.peak_mib:.0f} | {row.start_seconds:.2f} |"
    )


def highest_rates(rows):
    print("\n| client | highest of these rates with a p99 lateness under 1 ms |\n|---|---|")
    for name in dict.fromkeys(row.client for row in rows):
        kept = [row.per_second for row in rows if row.client == name and row.late_p99 < 1.0]
        print(f"| {name} | {max(kept, default=0):g} |")


def agreement_table(clients, where, options, per_second, seconds, limit_ms):
    """Figures of the same server, and the share of requests within a limit on TTFT."""
    print(f"\n| {where}, {per_second:g}/s | TTFT p50 ms | TTFT p95 ms | mean gap ms | TTFT within {limit_ms:g} ms |")
    print("|---|---|---|---|---|")
    figures = {}
    for client in clients:
        with simulator() if options is None else server(*options) as url, tempfile.TemporaryDirectory() as folder:
            job = Job(url, "bench", per_second, round(per_second * seconds), TOKENS, 64, Path(folder))
            try:
                seen = run(client, job).figures
            except ClientFailedError as error:
                print(f"| {client.name} | failed: {str(error)[:150]!r} |", flush=True)
                continue
        within = sum(ttft <= limit_ms for ttft in seen.ttft) / job.requests
        figures[client.name] = (
            percentile(seen.ttft, 50),
            percentile(seen.ttft, 95),
            statistics.fmean(seen.mean_gaps),
            within,
        )
        p50, p95, gap, _ = figures[client.name]
        print(f"| {client.name} | {p50:.2f} | {p95:.2f} | {gap:.3f} | {100 * within:.1f} % |", flush=True)
    return figures


def deviations(figures):
    """Of this generator's figures from each peer's."""
    names = ("TTFT p50", "TTFT p95", "mean gap", "share within the limit")
    for peer in PEER_NAMES:
        if peer in figures and "sloguard" in figures:
            pairs = zip(names, figures["sloguard"], figures[peer], strict=True)
            away = [f"{name} {100 * (own / theirs - 1):+.1f} %" for name, own, theirs in pairs]
            print(f"\nsloguard against {peer}: {', '.join(away)}")


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clients", nargs="+", choices=list(CLIENTS), default=list(CLIENTS))
    parser.add_argument("--rates", nargs="+", type=float, default=[50, 200, 500, 1000, 1500, 2000])
    parser.add_argument("--peer-rates", nargs="+", type=float, default=[50, 200, 500], help="peers go no higher")
    parser.add_argument("--seconds", type=int, default=20, help="of each long run")
    parser.add_argument("--install", action="store_true", help="the peers, into the cache")
    parser.add_argument("--realtime", action="store_true", help="keep others off the processors (chrt; needs root)")
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


def main():
    chosen = options()
    PRIORITY.extend(["chrt", "--rr", "1"] if chosen.realtime else [])
    if chosen.install:
        for name in VERSIONS:
            install(name)
    if chosen.quick:
        chosen.clients, chosen.rates, chosen.seconds = ["sloguard", "bare loop"], [50], 2
    # The reference first: the others are held against it.
    clients = sorted((CLIENTS[name] for name in chosen.clients), key=lambda client: client.name != "bare loop")
    missing = [client.name for client in clients if client.version() is None]
    clients = [client for client in clients if client.version() is not None]
    versions = ", ".join(f"{client.name} {client.version()}" for client in clients)
    print(f"{versions}; Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    if missing:
        print(f"not installed, left out: {', '.join(missing)}")
    rows = cost_table(clients, chosen.rates, chosen.peer_rates, chosen.seconds)
    highest_rates(rows)
    slow = ("--slow-every", "10", "--slow-ms", str(SLOW_MS))
    lowest = min(chosen.rates)
    deviations(agreement_table(clients, "trivial server, every tenth late", slow, lowest, chosen.seconds, LIMIT_MS))
    if not chosen.quick:
        deviations(agreement_table(clients, "simulator", None, lowest, chosen.seconds, LIMIT_MS))
    print(f"\nload {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
