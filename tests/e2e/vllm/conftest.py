"""The real vLLM, and a cluster whose nodes have it."""

from __future__ import annotations

import pytest

from tests.clusters import kind, vllm_cpu
from tests.clusters.fixtures import sees_termination


@pytest.fixture(scope="session")
def vllm():
    return vllm_cpu.ensure()


@pytest.fixture(scope="session")
def cluster(vllm):
    """As for the other end-to-end tests, with vLLM's folder on every node."""
    sees_termination()
    with kind.running(vllm.folder) as running:
        yield running
