"""The real Prometheus and simulators that it scrapes."""

import socket
import subprocess
import sys
import time
import urllib.request
from dataclasses import dataclass

import pytest

from tests.clusters import prometheus

TOGETHER = {"namespace": "serving"}


@dataclass
class Simulator:
    """A vLLM stand-in, and the labels that Prometheus gives it."""

    url: str
    address: str
    pod: str
    process: subprocess.Popen

    @property
    def selector(self):
        return f'namespace="serving", pod="{self.pod}"'

    @property
    def target(self):
        return {"targets": [self.address], "labels": {"namespace": "serving", "pod": self.pod}}

    def stop(self):
        self.process.kill()
        self.process.wait()


def start(pod, *arguments, port=None):
    with socket.create_server(("127.0.0.1", port or 0)) as probe:
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "sloguard.simulator", "m", "--profile", "tiny", "--startup-scale", "0.001"]
    process = subprocess.Popen(
        [*command, "--port", str(port), *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    return Simulator(f"http://127.0.0.1:{port}", f"127.0.0.1:{port}", pod, process)


def wait_ready(simulator):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{simulator.url}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError(f"{simulator.pod} is not ready")


@pytest.fixture(scope="module")
def servers():
    """Two of them, so that a selector has to choose."""
    started = [start("llama-a"), start("llama-b")]
    for one in started:
        wait_ready(one)
    yield started
    for one in started:
        one.stop()


@pytest.fixture(scope="module")
def scraping(servers, tmp_path_factory):
    with prometheus.running(tmp_path_factory.mktemp("prometheus"), [one.target for one in servers]) as started:
        prometheus.wait_until("both targets are up", lambda: started.targets_up() == 2, 30)
        yield started
