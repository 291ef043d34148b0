"""Production and a short study."""

from typing import Any

from tests.short_study import laid_over, short_spec

Object = dict[str, Any]

STUDY: Object = {
    "apiVersion": "sloguard.dev/v1alpha1",
    "kind": "SLOGuardStudy",
    "metadata": {"name": "s"},
    "spec": short_spec(
        # three values, which are all tried before the best is repeated beside both baselines
        searchSpace={"parameters": [{"name": "max_num_seqs", "int": {"min": 8, "max": 10}}]},
        promotion={"mode": "Manual", "verification": {"durationSeconds": 1}},
    ),
}
ARGUMENTS = ["org/model", "--max-num-seqs=2", "--port=8000"]
BEST = ["org/model", "--max-num-seqs=10", "--port=8000"]


def study(name: str = "s", **spec: Any) -> Object:
    """`promotion={"mode": "Off"}` and the like are laid over STUDY, one level deep."""
    return STUDY | {"metadata": {"name": name}, "spec": laid_over(STUDY["spec"], spec)}


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
