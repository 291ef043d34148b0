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


def stateful_set(replicas: int = 2, **spec: Any) -> Object:
    """Production as a StatefulSet, whose replicas keep their models in volumes of their own."""
    one = production()
    mounted = {"volumeMounts": [{"name": "models", "mountPath": "/models"}]}
    (program,) = one["spec"]["template"]["spec"]["containers"]
    one["spec"]["template"]["spec"]["containers"] = [program | mounted]
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claims = [{"metadata": {"name": "models"}, "spec": claim}]
    own = {"replicas": replicas, "serviceName": "llama", "volumeClaimTemplates": claims} | spec
    return one | {"kind": "StatefulSet", "spec": one["spec"] | own}


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
