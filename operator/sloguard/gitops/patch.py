"""A patch of its own for `kubectl patch` or kustomize, where nothing is there to be edited."""

import json
from collections.abc import Sequence

API_VERSIONS = {"Deployment": "apps/v1", "StatefulSet": "apps/v1", "LeaderWorkerSet": "leaderworkerset.x-k8s.io/v1"}


def strategic_merge_patch(kind: str, name: str, container: str, arguments: Sequence[str]) -> str:
    """Sets the container's args as a whole, which is how such a patch treats a list of words."""
    pod = ["spec:", "  containers:", f"  - name: {_scalar(container)}", "    args:"]
    pod += [f"    - {_scalar(word)}" for word in arguments]
    lines = [f"apiVersion: {API_VERSIONS[kind]}", f"kind: {kind}", "metadata:", f"  name: {_scalar(name)}", "spec:"]
    if kind == "LeaderWorkerSet":
        lines += ["  leaderWorkerTemplate:", "    workerTemplate:"]
        lines += ["      " + line for line in pod]
    else:
        lines += ["  template:", *("    " + line for line in pod)]
    return "\n".join(lines) + "\n"


def _scalar(word: str) -> str:
    return json.dumps(word, ensure_ascii=False)
