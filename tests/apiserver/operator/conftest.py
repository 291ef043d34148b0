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


@pytest.fixture(scope="session")
def process(access, tmp_path_factory):
    """One for all tests, since a start takes two seconds; a test that kills it leaves the next start to others."""
    one = Operator(access, tmp_path_factory.mktemp("operator") / "log")
    yield one
    assert one.stop() in (0, -15), one.tail()


@pytest.fixture
def operator(process):
    """It runs, and must have had no defect when the test is over."""
    process.forget()
    process.start()
    yield process
    assert "reconcile failed" not in process.tail()
    assert "Traceback" not in process.tail()


@pytest.fixture
def world(installed, namespace, operator):
    with closing(Rest(installed.kubeconfig)) as rest:
        yield World(rest, namespace, log=operator.tail)
