"""How vLLM serves in these tests, and what it is asked to do: the same in pods and on this machine.

The load is twice what production, two requests at a time, serves on one core of this machine, and a fraction of what
thirty at a time can. So production falls behind within seconds and a good candidate does not, nor where a cluster's own
programs take a part of the machine.
"""

from __future__ import annotations

import json
import os
import random
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.clusters import processes
from tests.clusters.cache import wait_until
from tests.clusters.control_plane import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.clusters.vllm_cpu import VllmCpu

Object = dict[str, Any]

SECONDS_TO_START = 300  # 35 where nothing else runs

FIXED_ARGUMENTS = [
    "--load-format=dummy",
    "--max-model-len=2048",
    "--dtype=bfloat16",
    "--kv-cache-memory-bytes=268435456",  # KV_CACHE_TOKENS; the default is a share of the machine
    "--enforce-eager",  # compiling takes a minute a start
]
KV_CACHE_TOKENS = 32_768
AT_A_TIME = 2
TUNED_ARGUMENTS = [f"--max-num-seqs={AT_A_TIME}"]
TIMES_PRODUCTION = 2

SLOS = [
    {"metric": "TTFT", "percentile": 90, "milliseconds": 4000},
    {"metric": "E2E", "percentile": 90, "milliseconds": 12000},
]
PROMPT_TOKENS, OUTPUT_TOKENS = 128, 64
WORKLOAD = {
    "promptTokens": {"mean": PROMPT_TOKENS, "stddev": 16, "min": 64, "max": 256},
    "outputTokens": {"mean": OUTPUT_TOKENS, "stddev": 8, "min": 32, "max": 96},
    "warmupSeconds": 7,
    "durationSeconds": 15,
    "drainSeconds": 10,
    "dispatchLagFloorMilliseconds": 1000,  # vLLM computes on the very cores that the load runs on
}


def command(vllm: VllmCpu, *more: str) -> list[str]:
    return [*vllm.command, *FIXED_ARGUMENTS, *more, *TUNED_ARGUMENTS]


def variables(vllm: VllmCpu) -> dict[str, str]:
    """One core computes, whatever the machine has: the load above is made for one."""
    return vllm.variables | {"VLLM_CPU_NUM_OF_RESERVED_CPU": str(len(os.sched_getaffinity(0)) - 1)}


def workload(vllm: VllmCpu, folder: Path) -> Object:
    """As heavy as this machine needs it; takes as long as a start of vLLM and a little more."""
    with _production(vllm, folder) as url:
        served = _served_per_minute(url)
    return WORKLOAD | {"arrival": {"pattern": "Poisson", "requestsPerMinute": round(TIMES_PRODUCTION * served)}}


@contextmanager
def _production(vllm: VllmCpu, folder: Path) -> Iterator[str]:
    (port,) = free_ports(1)
    whole = [*command(vllm), "--host=127.0.0.1", f"--port={port}"]
    server = processes.start(folder, "production", *whole, env=variables(vllm))
    try:
        url = f"http://127.0.0.1:{port}"
        wait_until("vLLM", lambda: not processes.running(server) or _healthy(url), SECONDS_TO_START)
        assert processes.running(server), processes.log_tail(folder, "production")
        yield url
    finally:
        processes.stop(folder, "production", patience_seconds=30)


def _healthy(url: str) -> bool:
    with urllib.request.urlopen(f"{url}/health") as answer:
        return answer.status == 200


def _served_per_minute(url: str, seconds: float = 10) -> float:
    """By as many users as production serves at a time, who ask again as soon as they are answered."""
    with urllib.request.urlopen(f"{url}/v1/models") as answer:
        model = json.load(answer)["data"][0]["id"]

    def asks(user: int) -> int:
        prompts, served, end = random.Random(user), 0, begun + seconds
        while time.monotonic() < end:
            _complete(url, model, [prompts.randrange(5, 256) for _ in range(PROMPT_TOKENS)])
            served += 1
        return served

    _complete(url, model, [5] * PROMPT_TOKENS)  # the first one compiles
    begun = time.monotonic()
    with ThreadPoolExecutor(AT_A_TIME) as users:
        served = sum(users.map(asks, range(AT_A_TIME)))
    return 60 * served / (time.monotonic() - begun)


def _complete(url: str, model: str, prompt: list[int]) -> None:
    body = {"model": model, "prompt": prompt, "max_tokens": OUTPUT_TOKENS, "ignore_eos": True}
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(f"{url}/v1/completions", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=60) as answer:
        answer.read()


def study(name: str, target: Object, workload: Object, parameters: list[Object], **sections: Object) -> Object:
    """Without a soak: one core would take minutes for a full batch of the longest prompts."""
    sections["promotion"] = {"soakSeconds": 0} | sections.get("promotion", {})
    spec = {
        "target": target,
        "slos": SLOS,
        "workload": workload,
        "searchSpace": {"preset": "None", "parameters": parameters},
        "optimizer": {"name": "random", "seed": 1},
        "trial": {"parallelism": 1, "startupTimeoutSeconds": SECONDS_TO_START, "infrastructureRetries": 6},
    }
    metadata = {"name": name}
    return {
        "apiVersion": "sloguard.dev/v1alpha1",
        "kind": "SLOGuardStudy",
        "metadata": metadata,
        "spec": spec | sections,
    }


def choice(name: str, *values: str) -> Object:
    return {"name": name, "choice": {"values": list(values)}}


def crash_classes(trials: list[Object]) -> list[str]:
    return sorted(t["status"]["crash"]["class"] for t in trials if t["status"].get("crash"))


def goodputs(trials: list[Object]) -> dict[str, list[int]]:
    """Tokens per second by the purpose of the trials that were measured."""
    found: dict[str, list[int]] = {}
    for trial in trials:
        if trial["status"].get("measurements"):
            figure = trial["status"].get("goodputTokensPerSecond") or 0
            found.setdefault(trial["spec"]["purpose"], []).append(figure)
    return found
