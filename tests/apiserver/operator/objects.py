"""Production and a short study."""

import copy
from typing import Any

Object = dict[str, Any]

STUDY: Object = {
    "apiVersion": "sloguard.dev/v1alpha1",
    "kind": "SLOGuardStudy",
    "metadata": {"name": "s"},
    "spec": {
        "target": {"kind": "Deployment", "name": "llama", "container": "vllm"},
        "slos": [{"metric": "TTFT", "percentile": 99, "milliseconds": 500}],
        "workload": {
            "arrival": {"pattern": "Constant", "requestsPerMinute": 600},
            "promptTokens": {"mean": 64, "stddev": 0, "min": 64, "max": 64},
            "outputTokens": {"mean": 16, "stddev": 0, "min": 16, "max": 16},
            "warmupSeconds": 0,
            "durationSeconds": 10,
        },
        # three values, which are all tried before the best is repeated beside both baselines
        "searchSpace": {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 8, "max": 10}}]},
        "optimizer": {"name": "random", "seed": 1},
        "budget": {"trials": 8, "gpuMinutes": 1000, "wallClockMinutes": 1000},
        "promotion": {"mode": "Manual", "confirmations": 1, "verification": {"durationSeconds": 1}},
    },
}
ARGUMENTS = ["org/model", "--max-num-seqs=2", "--port=8000"]
BEST = ["org/model", "--max-num-seqs=10", "--port=8000"]


def study(name: str = "s", **spec: Any) -> Object:
    """`promotion={"mode": "Off"}` and the like are laid over STUDY, one level deep."""
    whole = copy.deepcopy(STUDY)
    whole["metadata"]["name"] = name
    for key, value in spec.items():
        there = whole["spec"].get(key)
        whole["spec"][key] = there | value if isinstance(there, dict) else value
    return whole


def production(name: str = "llama", container: str = "vllm", **fields: Any) -> Object:
    program = {"name": container, "image": "vllm/vllm-openai:v0.33.0", "args": ARGUMENTS} | fields
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"terminationGracePeriodSeconds": 0, "containers": [program]},
            },
        },
    }
