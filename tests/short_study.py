"""The specification that tests of the planner, of the cluster and of the operator start from: valid, and soon done."""

import copy
from collections.abc import Mapping
from typing import Any

_SHORT: Mapping[str, Any] = {
    "target": {"kind": "Deployment", "name": "llama", "container": "vllm"},
    "slos": [{"metric": "TTFT", "percentile": 99, "milliseconds": 500}],
    "workload": {
        "arrival": {"pattern": "Constant", "requestsPerMinute": 600},
        "promptTokens": {"mean": 64, "stddev": 0, "min": 64, "max": 64},
        "outputTokens": {"mean": 16, "stddev": 0, "min": 16, "max": 16},
        "warmupSeconds": 0,
        "durationSeconds": 10,
    },
    "searchSpace": {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 1, "max": 256}}]},
    "optimizer": {"name": "random", "seed": 1},
    "budget": {"trials": 8, "gpuMinutes": 1000, "wallClockMinutes": 1000},
    # What a soak does is told by tests that ask for one.
    "promotion": {"confirmations": 1, "soakSeconds": 0},
}


def short_spec(**changes: Any) -> dict[str, Any]:
    """`budget={"trials": 3}` and the like are laid over it."""
    return laid_over(_SHORT, changes)


def laid_over(spec: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy with the changes, one level deep: mappings are joined, all else is replaced."""
    whole = copy.deepcopy(dict(spec))
    for name, value in changes.items():
        there = whole.get(name)
        whole[name] = there | value if isinstance(there, dict) else value
    return whole
