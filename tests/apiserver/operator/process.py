"""The operator as a process of its own, which can be killed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.clusters.control_plane import free_ports
from tests.clusters.handle import Cluster


class Operator:
    """`sloguard operator` with the rights of a kubeconfig. What it logs is kept over restarts."""

    def __init__(self, access: Cluster, folder: Path) -> None:
        self._access = access
        self._path = folder / "operator.log"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        (port,) = free_ports(1)
        options = ["--load-image=sloguard:test", f"--probe-address=127.0.0.1:{port}"]
        command = [sys.executable, "-W", "error::ResourceWarning", "-m", "sloguard", "operator", *options]
        with self._path.open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--log-format=json", "--log-level=debug"],
                env=self._access.environment() | {"HOME": os.devnull},
                stdout=log,
                stderr=log,
            )

    def stop(self, number: int = signal.SIGTERM) -> int:
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

    def lines(self) -> list[dict[str, Any]]:
        """What it logged; each line is JSON."""
        return [json.loads(line) for line in self._path.read_text().splitlines()]

    def tail(self) -> str:
        text = self._path.read_text() if self._path.exists() else ""
        plain = [line for line in text.splitlines() if '"level": "DEBUG"' not in line]
        return "\n".join(plain[-60:])
