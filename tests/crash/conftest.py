"""A real API server for the tests of this folder: one for all of them, a namespace for each."""

from tests.clusters.fixtures import cluster, namespace

__all__ = ["cluster", "namespace"]
