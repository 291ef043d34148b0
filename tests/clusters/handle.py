"""What a test holds of a cluster, whatever made it: a kubeconfig, and kubectl with that kubeconfig."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.clusters.cache import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Object = dict[str, Any]


class KubectlError(AssertionError):
    """kubectl said no; the message is what it said."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that tests talk to. ``prefix`` is a command that runs another one where the cluster can be reached."""

    kubeconfig: Path
    kubectl_program: Path
    prefix: tuple[str, ...] = field(default=())

    def kubectl(self, *arguments: str, stdin: str | None = None, timeout_seconds: float = 60) -> str:
        """Run kubectl and return what it printed; raise KubectlError with its complaint where it fails."""
        result = subprocess.run(
            [*self.prefix, str(self.kubectl_program), f"--kubeconfig={self.kubeconfig}", *arguments],
            input=stdin,
            text=True,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )
        if result.returncode:
            raise KubectlError(f"kubectl {' '.join(arguments)}: {result.stderr.strip() or result.stdout.strip()}")
        return result.stdout

    def apply(self, *objects: Object | str) -> str:
        """Server-side apply of objects, or of YAML text."""
        text = "\n---\n".join(item if isinstance(item, str) else json.dumps(item) for item in objects)
        return self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def create(self, obj: Object) -> Object:
        return json.loads(self.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(obj)))

    def get(self, kind: str, name: str = "", namespace: str = "", *options: str) -> Object:
        """One object, or without a name their list."""
        place = ["-n", namespace] if namespace else []
        return json.loads(self.kubectl("get", kind, *([name] if name else []), *place, "-o", "json", *options))

    def exists(self, kind: str, name: str, namespace: str = "") -> bool:
        place = ["-n", namespace] if namespace else []
        return bool(self.kubectl("get", kind, name, *place, "--ignore-not-found", "-o", "name").strip())

    def patch_status(self, kind: str, name: str, status: Object, namespace: str = "") -> None:
        """Play the part of whoever writes that status: a kubelet, a device plugin, the Job controller."""
        place = ["-n", namespace] if namespace else []
        patch = json.dumps({"status": status})
        self.kubectl("patch", kind, name, *place, "--subresource=status", "--type=merge", "-p", patch)

    def as_service_account(self, namespace: str, name: str, folder: Path) -> Cluster:
        """The same cluster with only the rights of a service account: its own token, no impersonation."""
        token = self.kubectl("create", "token", name, "-n", namespace, "--duration=2h").strip()
        config = json.loads(self.kubectl("config", "view", "--raw", "--minify", "-o", "json"))
        config["users"][0]["user"] = {"token": token}
        path = folder / f"{namespace}-{name}.kubeconfig"
        path.write_text(json.dumps(config))
        path.chmod(0o600)
        return Cluster(path, self.kubectl_program, self.prefix)

    def environment(self) -> dict[str, str]:
        """For a program that finds the cluster by itself: this process's variables and KUBECONFIG."""
        return os.environ | {"KUBECONFIG": str(self.kubeconfig)}

    def wait_for(self, what: str, check: Callable[[], object], seconds: float = 30) -> None:
        """Return once ``check`` gives a true value; a complaint of kubectl counts as "not yet"."""
        wait_until(what, check, seconds)

    def wait_ready(self, seconds: float = 60, hint: str = "") -> None:
        wait_until("API server", lambda: self.kubectl("get", "--raw", "/readyz") == "ok", seconds, hint)


def describe(cluster: Cluster, namespace: str) -> str:
    """What a person would look at first when something in a namespace went wrong; bounded in length and time."""
    views = [
        ("get", "all", "-n", namespace, "-o", "wide"),
        ("get", "slostudies,slotrials", "-n", namespace),
        ("get", "events", "-n", namespace, "--sort-by=.lastTimestamp"),
    ]
    parts = [_view(cluster, *view, lines=40) for view in views]
    pods = _try(cluster, "get", "pods", "-n", namespace, "-o", "name").split()
    logs = ("-n", namespace, "--all-containers", "--tail=40")
    parts += [_view(cluster, "logs", pod, *logs, lines=60) for pod in pods[:8]]
    return "\n".join(parts)


def _view(cluster: Cluster, *arguments: str, lines: int) -> str:
    text = _try(cluster, *arguments).splitlines()[-lines:]
    return "\n".join([f"$ kubectl {' '.join(arguments)}", *(line[:300] for line in text), ""])


def _try(cluster: Cluster, *arguments: str) -> str:
    try:
        return cluster.kubectl(*arguments, timeout_seconds=15)
    except (KubectlError, subprocess.TimeoutExpired) as error:
        return str(error)
