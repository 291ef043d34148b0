"""A container that dies of one thing and then of another: the first is what the trial is judged by."""

from __future__ import annotations

from tests.clusters import image
from tests.e2e import demo

# Named like vLLM's own program, so that the operator knows where its arguments begin. What it did before stands in a
# volume of the pod, which outlives its containers.
VLLM = """
import pathlib, socket, sys, time
if socket.gethostname().startswith("llama-8b"):
    time.sleep(3600)  # production lives
before = pathlib.Path("/before/once")
if before.exists():
    print("OSError: [Errno 98] error while attempting to bind on address ('0.0.0.0', 8000): address already in use")
else:
    before.touch()
    print("(EngineCore pid=7) ERROR 11-22 10:00:00 [core.py:9] EngineCore failed to start.")
    print("(EngineCore pid=7) ValueError: No available memory for the cache blocks. "
          "Try increasing `gpu_memory_utilization` when initializing the engine.")
sys.exit(1)
"""


def serving(namespace: str) -> demo.Object:
    """Production whose candidates crash, twice within a second or two."""
    (deployment,) = [o for o in demo.production(namespace) if o["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    pod["volumes"] = [{"name": "before", "emptyDir": {}}, {"name": "program", "configMap": {"name": "program"}}]
    (container,) = pod["containers"]
    for unwanted in ("readinessProbe", "lifecycle"):
        container.pop(unwanted)
    container |= {
        "image": image.NAME,
        "command": ["python3", "/program/vllm", "serve"],
        "args": ["some/model", "--max-num-seqs=2"],
        "volumeMounts": [{"name": "before", "mountPath": "/before"}, {"name": "program", "mountPath": "/program"}],
    }
    return deployment


def test_the_first_death_is_the_trials(operator, cluster, namespace):
    assert operator is cluster
    metadata = {"name": "program", "namespace": namespace}
    cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"vllm": VLLM}})
    cluster.apply(serving(namespace))
    cluster.apply(demo.study(namespace, "deaths"))
    cluster.wait_for("the first trial's end", lambda: _ended(cluster, namespace), 180)
    crash = _ended(cluster, namespace)[0]["status"]["crash"]
    assert crash["class"] == "NoKVCacheRoom"
    assert crash["fault"] == "Configuration"
    assert "No available memory for the cache blocks" in crash["cause"]


def _ended(cluster, namespace: str) -> list[demo.Object]:
    return [t for t in demo.trials(cluster, namespace) if t.get("status", {}).get("phase") == "Finished"]
