"""A cluster with nodes: two made by kind, or one that is there already (--kubeconfig FILE)."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.clusters import kind
from tests.clusters.fixtures import module_namespace, namespace, sees_termination
from tests.clusters.handle import Cluster, describe

__all__ = ["module_namespace", "namespace"]


def pytest_addoption(parser):
    parser.addoption("--kubeconfig", metavar="FILE", help="test against this cluster instead of making one")


@pytest.fixture(scope="session")
def cluster(pytestconfig):
    """Nodes Ready, GPUs allocatable; ``sloguard:test`` is on the nodes if kind made them."""
    sees_termination()
    given = pytestconfig.getoption("--kubeconfig")
    if given:
        kubectl = shutil.which("kubectl")
        assert kubectl, "--kubeconfig needs kubectl on PATH"
        yield Cluster(Path(given).resolve(), Path(kubectl))
        return
    with kind.running() as running:
        yield running


@pytest.fixture(scope="session")
def kind_cluster(cluster):
    """For tests that reach into a node, which no kubeconfig allows."""
    if not isinstance(cluster, kind.KindCluster):
        pytest.skip("--kubeconfig: this test needs a cluster made by kind")
    return cluster


@pytest.fixture(scope="session")
def operator(cluster):
    """The operator, installed as examples/kind/up does it. A cluster given by --kubeconfig has to have its own."""
    if isinstance(cluster, kind.KindCluster):
        cluster.up(only="operator")
    return cluster


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A test that fails, or cannot begin, shows what the cluster looks like at that moment."""
    report = yield
    cluster = item.funcargs.get("cluster")
    if report.failed and call.when != "teardown" and isinstance(cluster, Cluster):
        report.sections.append(
            (
                "The cluster",
                describe(
                    cluster, item.funcargs.get("namespace") or item.funcargs.get("module_namespace", "sloguard-system")
                ),
            )
        )
    return report
