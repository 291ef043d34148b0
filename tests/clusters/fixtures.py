"""pytest fixtures for tests against an API server without nodes. A folder's conftest.py imports them to have them."""

from __future__ import annotations

import contextlib
import secrets
import signal
from typing import TYPE_CHECKING

import pytest

from tests.clusters import control_plane

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.clusters.handle import Cluster


@pytest.fixture(scope="session")
def cluster():
    """API server, controller manager and etcd; no node: pods stay Pending unless a test plays the kubelet."""
    with control_plane.running() as running:
        yield running


@pytest.fixture
def namespace(cluster):
    """A namespace of the test's own. Its deletion is begun afterwards and not waited for."""
    with _namespace(cluster) as name:
        yield name


@pytest.fixture(scope="module")
def module_namespace(cluster):
    """One for all tests of a file, where what they look at takes minutes to come about."""
    with _namespace(cluster) as name:
        yield name


@contextlib.contextmanager
def _namespace(cluster: Cluster) -> Iterator[str]:
    name = f"test-{secrets.token_hex(4)}"
    cluster.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    cluster.wait_for(f"service account of {name}", lambda: cluster.exists("serviceaccount", "default", name))
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false", "--ignore-not-found")


def sees_termination() -> None:
    """SIGTERM ends pytest as Ctrl-C does: after its clusters are taken down."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
