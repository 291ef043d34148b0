"""How vLLM serves in these tests, and what it is asked to do: the same in pods and on this machine.

The load is three times what two requests at a time can serve on one core, and a third of what thirty can. So production
falls behind within a second or two and a good candidate does not, also on a machine that is busy with other things.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
TUNED_ARGUMENTS = ["--max-num-seqs=2"]

SLOS = [
    {"metric": "TTFT", "percentile": 90, "milliseconds": 4000},
    {"metric": "E2E", "percentile": 90, "milliseconds": 12000},
]
WORKLOAD = {
    "arrival": {"pattern": "Poisson", "requestsPerMinute": 240},
    "promptTokens": {"mean": 128, "stddev": 16, "min": 64, "max": 256},
    "outputTokens": {"mean": 64, "stddev": 8, "min": 32, "max": 96},
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


def study(name: str, target: Object, parameters: list[Object], **sections: Object) -> Object:
    """Without a soak: one core would take minutes for a full batch of the longest prompts."""
    sections["promotion"] = {"soakSeconds": 0} | sections.get("promotion", {})
    spec = {
        "target": target,
        "slos": SLOS,
        "workload": WORKLOAD,
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
