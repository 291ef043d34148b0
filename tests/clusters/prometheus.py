"""The real Prometheus: Debian's package, unpacked into the cache. Nothing is installed and no service runs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.clusters.cache import CACHE, locked, say, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

PACKAGE = "prometheus"
PROGRAM = "usr/bin/prometheus"


class NoPrometheusError(RuntimeError):
    """It is neither here nor to be had."""


def ensure() -> Path:
    """The program: the machine's own, or else the package's of this release of Debian, downloaded once."""
    installed = shutil.which(PACKAGE)
    return Path(installed) if installed else unpacked()


def unpacked() -> Path:
    if not all(map(shutil.which, ("apt-get", "apt-cache", "dpkg-deb"))):
        raise NoPrometheusError("missing: prometheus (Debian: prometheus)")
    with locked(PACKAGE, "unpacks Prometheus"):
        folder = CACHE / f"{PACKAGE}-{_version()}"
        if not (folder / PROGRAM).exists():
            say(f"downloading Debian's prometheus into {folder}; 19 MB, once")
            _unpack(folder)
    return folder / PROGRAM


def _version() -> str:
    told = _version_known()
    if not told and os.geteuid() == 0:
        subprocess.run(["apt-get", "update", "-q"], check=False, capture_output=True)
        told = _version_known()
    if not told:
        raise NoPrometheusError("missing: prometheus (Debian: prometheus); this machine's apt-get does not know it")
    return told.replace(":", "_").replace("/", "_")


def _version_known() -> str:
    command = ["apt-cache", "show", "--no-all-versions", PACKAGE]
    told = subprocess.run(command, check=False, text=True, capture_output=True).stdout
    return next((line.split(" ", 1)[1] for line in told.splitlines() if line.startswith("Version: ")), "")


def _unpack(folder: Path) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as work:
        # apt's own user cannot write here, so root's apt-get would warn about it
        got = subprocess.run(
            ["apt-get", "download", "-q", PACKAGE], cwd=work, check=False, text=True, capture_output=True
        )
        package = next(Path(work).glob("*.deb"), None)
        if package is None:
            raise NoPrometheusError(f"apt-get download prometheus failed:\n{(got.stdout + got.stderr)[-1000:]}")
        subprocess.run(["dpkg-deb", "-x", package, f"{work}/whole"], check=True)
        # renamed when complete, so that nobody ever sees half of it
        Path(work, "whole").rename(folder)


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
