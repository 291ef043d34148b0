"""Pod templates as people write them, generated: several containers, volumes, affinity, and more."""

from typing import Any

from hypothesis import strategies as st

from tests.unit.cluster.objects import VLLM

Object = dict[str, Any]

NAME = st.from_regex(r"[a-z]([-a-z0-9]{0,10}[a-z0-9])?", fullmatch=True)
KEY = st.sampled_from(["app", "app.kubernetes.io/name", "app.kubernetes.io/managed-by", "tier", "pod-template-hash"])
TEXT = st.text("abcxyz019-_./ $(){}", max_size=12)
PROBE = st.fixed_dictionaries(
    {},
    optional={
        "httpGet": st.just({"path": "/ready", "port": "http"}),
        "exec": st.just({"command": ["true"]}),
        "initialDelaySeconds": st.integers(0, 600),
        "periodSeconds": st.integers(1, 60),
        "failureThreshold": st.integers(1, 60),
        "successThreshold": st.just(1),
    },
)
CONTAINER = st.fixed_dictionaries(
    {"image": st.sampled_from(["a:1", "registry/b@sha256:00"])},
    optional={
        "command": st.lists(TEXT, max_size=2),
        "env": st.lists(st.fixed_dictionaries({"name": NAME, "value": TEXT}), max_size=2),
        "envFrom": st.just([{"secretRef": {"name": "token"}}]),
        "volumeMounts": st.just([{"name": "models", "mountPath": "/models"}]),
        "securityContext": st.just({"runAsUser": 1000, "allowPrivilegeEscalation": False}),
        "resources": st.just({"limits": {"nvidia.com/gpu": "1", "memory": "64Gi"}, "requests": {"cpu": "4"}}),
        "ports": st.just([{"name": "http", "containerPort": 8000}]),
        "livenessProbe": PROBE,
        "readinessProbe": PROBE,
        "startupProbe": PROBE,
        "lifecycle": st.fixed_dictionaries(
            {},
            optional={
                "preStop": st.just({"sleep": {"seconds": 30}}),
                "postStart": st.just({"exec": {"command": ["warm"]}}),
            },
        ),
        "terminationMessagePolicy": st.just("FallbackToLogsOnError"),
    },
)
ARGUMENTS = st.sampled_from(
    [
        {"args": VLLM["args"]},
        {"command": ["vllm", "serve"], "args": VLLM["args"]},
        {"command": ["vllm", "serve", *VLLM["args"]]},
        {"command": ["python3", "-m", "vllm.entrypoints.openai.api_server"], "args": ["--model=m", "--port=8000"]},
    ]
)
SPEC = st.fixed_dictionaries(
    {},
    optional={
        "volumes": st.just([{"name": "models", "persistentVolumeClaim": {"claimName": "models"}}]),
        "initContainers": st.lists(st.fixed_dictionaries({"name": NAME, "image": TEXT}), max_size=2),
        "affinity": st.just({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": []}}),
        "nodeSelector": st.just({"gpu": "h100"}),
        "tolerations": st.just([{"key": "nvidia.com/gpu", "operator": "Exists"}]),
        "serviceAccountName": NAME,
        "securityContext": st.just({"fsGroup": 1000}),
        "imagePullSecrets": st.just([{"name": "pull"}]),
        "priorityClassName": NAME,
        "terminationGracePeriodSeconds": st.integers(0, 300),
        "hostNetwork": st.booleans(),
        "shareProcessNamespace": st.booleans(),
    },
)
ANNOTATION = st.sampled_from(["prometheus.io/scrape", "kubectl.kubernetes.io/restartedAt", "sidecar.istio.io/inject"])


@st.composite
def templates(draw) -> Object:
    """A pod template with a container `vllm` among others."""
    others = [draw(CONTAINER) | {"name": f"{draw(NAME)}-{number}"} for number in range(draw(st.integers(0, 2)))]
    plain = {k: v for k, v in draw(CONTAINER).items() if k not in {"command", "args"}}
    serving = plain | {"name": "vllm"} | draw(ARGUMENTS)
    metadata = {
        "labels": draw(st.dictionaries(KEY, NAME, min_size=1, max_size=4)),
        "annotations": draw(st.dictionaries(ANNOTATION, TEXT, max_size=3)),
        "creationTimestamp": None,
    }
    place = draw(st.integers(0, len(others)))
    containers = [*others[:place], serving, *others[place:]]
    return {"metadata": metadata, "spec": draw(SPEC) | {"containers": containers}}
