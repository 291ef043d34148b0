"""The real Prometheus: the machine's own, or Debian's package."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import subprocess
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clusters.cache import wait_until
from tests.clusters.debian_package import unpacked

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PACKAGE = "prometheus"
PROGRAM = "usr/bin/prometheus"


def ensure() -> Path:
    """The program: the machine's own, or else the package's of this release of Debian, downloaded once."""
    installed = shutil.which(PACKAGE)
    return Path(installed) if installed else unpacked(PACKAGE) / PROGRAM


@dataclass(frozen=True)
class Running:
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def targets_up(self) -> int:
        with urllib.request.urlopen(f"{self.url}/api/v1/query?query=up", timeout=5) as answer:
            return sum(one["value"][1] == "1" for one in json.load(answer)["data"]["result"])

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)


@contextlib.contextmanager
def running(
    folder: Path, targets: Sequence[dict[str, object]], interval: str = "1s", *, more: Path | None = None
) -> Iterator[Running]:
    """Scrapes `targets` ({"targets": [address], "labels": {...}}) until the end; its data is in the folder.

    `more` is a file of such targets as JSON, which may change meanwhile.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = {
        "global": {"scrape_interval": interval, "scrape_timeout": interval},
        "scrape_configs": [
            {
                "job_name": "vllm",
                "static_configs": list(targets),
                "file_sd_configs": [{"files": [str(more)], "refresh_interval": "1s"}] if more else [],
            }
        ],
    }
    (folder / "prometheus.yml").write_text(json.dumps(config))  # JSON is YAML
    command = [
        ensure(),
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    started = Running(f"http://127.0.0.1:{port}", process, folder / "prometheus.log")
    try:
        wait_until("Prometheus is ready", lambda: _ready(started), 30, hint=str(started.log))
        yield started
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def _ready(started: Running) -> bool:
    if started.process.poll() is not None:
        raise RuntimeError(started.log.read_text()[-1000:])
    with contextlib.suppress(urllib.error.HTTPError), urllib.request.urlopen(f"{started.url}/-/ready", timeout=2):
        return True
    return False
