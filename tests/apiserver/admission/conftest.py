"""The resource definitions of crds/ on a real API server."""

from contextlib import closing
from pathlib import Path

import pytest

from tests.apiserver.admission.rest import Objects, Rest

CRDS = Path(__file__).parents[3] / "crds"


@pytest.fixture(scope="session")
def installed(cluster):
    """The cluster, with the definitions in force."""
    cluster.kubectl("apply", "--server-side", "--force-conflicts", "-f", str(CRDS))
    # Waiting for the condition Established fails while there is none, and it comes a moment before the storage.
    cluster.wait_for("storage of the definitions", lambda: cluster.kubectl("get", "slostudies,slotrials") == "")
    return cluster


@pytest.fixture(scope="session")
def rest(installed):
    with closing(Rest(installed.kubeconfig)) as connection:
        yield connection


@pytest.fixture
def studies(rest, namespace):
    return Objects(rest, namespace, "sloguardstudies")


@pytest.fixture
def trials(rest, namespace):
    return Objects(rest, namespace, "sloguardtrials")


@pytest.fixture(scope="session")
def checked_studies(rest):
    """For dry runs, which need no namespace of their own."""
    return Objects(rest, "default", "sloguardstudies")
