"""The operator as a process of its own, which can be killed."""

import json
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.clusters.control_plane import free_ports
from tests.clusters.handle import Cluster


class Operator:
    """`sloguard operator` with the rights of a kubeconfig. What it logs is kept over restarts."""

    def __init__(self, access: Cluster, log: Path, *options: str, environment: dict[str, str] | None = None) -> None:
        self._access = access
        self._options = options
        self._environment = environment or {}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._begin = 0
        self._identity = f"operator-{secrets.token_hex(4)}"

    def start(self) -> None:
        """Nothing where it runs already."""
        if self.running:
            return
        (port,) = free_ports(1)
        options = ["--load-image=sloguard:test", f"--probe-address=127.0.0.1:{port}"]
        # As a pod has it: what is started again has the same name, and need not wait for its own Lease.
        options += ["--lease-namespace=sloguard-system", f"--identity={self._identity}"]
        command = [sys.executable, "-m", "sloguard", "operator", *options]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--log-format=json", "--log-level=debug", *self._options],
                env=self._access.environment() | self._environment,
                stdout=log,
                stderr=log,
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
        """How it ended."""
        if self._process is None:
            return 0
        self._process.send_signal(number)
        try:
            return self._process.wait(timeout=30)
        finally:
            self._process.kill()
            self._process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def forget(self) -> None:
        """What it said to earlier tests."""
        self._begin = self._log.stat().st_size if self._log.exists() else 0

    def lines(self) -> list[dict[str, Any]]:
        """What it logged; each line is JSON, but for one that it died over."""
        whole = [line for line in self._text().splitlines(keepends=True) if line.endswith("}\n")]
        return [json.loads(line) for line in whole]

    def requests(self, namespace: str) -> list[dict[str, Any]]:
        """Those to the API server about one namespace."""
        asked = [line for line in self.lines() if line["logger"] == "sloguard.api"]
        return [line for line in asked if f"/namespaces/{namespace}/" in line["message"]]

    def reconciles(self, namespace: str) -> list[dict[str, Any]]:
        return [
            line
            for line in self.lines()
            if line["message"] == "reconciled" and line["study"].startswith(f"{namespace}/")
        ]

    def tail(self) -> str:
        plain = [line for line in self._text().splitlines() if '"level": "DEBUG"' not in line]
        return "\n".join(plain[-60:])

    def _text(self) -> str:
        if not self._log.exists():
            return ""
        with self._log.open("rb") as log:
            log.seek(self._begin)
            return log.read().decode()
