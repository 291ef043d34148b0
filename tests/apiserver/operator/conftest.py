"""The real operator against a real API server, with the rights of charts/manifests and no others."""

from contextlib import closing
from pathlib import Path

import pytest

from tests.apiserver.admission.rest import Rest
from tests.apiserver.operator.process import Operator
from tests.apiserver.operator.world import World

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def installed(cluster):
    """Definitions, namespace and rights as they are shipped; no operator runs in it."""
    manifests = ROOT / "charts/manifests"
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(ROOT / "crds"))
    # They are called Established a moment before their storage is there.
    cluster.wait_for("storage of the definitions", lambda: cluster.kubectl("get", "slostudies,slotrials", "-A") == "")
    cluster.kubectl("apply", "-f", str(manifests / "namespace.yaml"))
    cluster.kubectl("apply", "-f", str(manifests / "rbac.yaml"))
    return cluster


@pytest.fixture(scope="session")
def access(installed, tmp_path_factory):
    return installed.as_service_account("sloguard-system", "sloguard", tmp_path_factory.mktemp("access"))


@pytest.fixture
def operator(access, tmp_path):
    """Not started yet. It must end when it is asked to, and must have had no defect."""
    one = Operator(access, tmp_path)
    yield one
    ended = one.stop()
    assert ended in (0, -15), one.tail()
    assert "reconcile failed" not in one.tail()


@pytest.fixture
def world(installed, namespace, operator):
    with closing(Rest(installed.kubeconfig)) as rest:
        yield World(rest, namespace, log=operator.tail)
