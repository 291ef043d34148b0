"""A real API server for the tests of this folder, with the rights of charts/manifests. Tests start their operators."""

import pytest

from tests.apiserver.operator.conftest import access, installed
from tests.clusters.fixtures import cluster, namespace
from tests.crash.studies import Studies

__all__ = ["access", "cluster", "installed", "namespace"]


@pytest.fixture
def studies(installed, access, tmp_path):
    several = Studies(installed, access, tmp_path)
    yield several
    several.close()


@pytest.fixture(scope="session")
def reference(installed, access, tmp_path_factory):
    """How the reference study ends when nobody dies."""
    alone = Studies(installed, access, tmp_path_factory.mktemp("reference"))
    yield alone.ended("undisturbed")
    alone.close()
