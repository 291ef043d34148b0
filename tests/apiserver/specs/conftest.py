"""The resource definitions on a real API server, as the tests of admission have them."""

from tests.apiserver.admission.conftest import checked_studies, installed, rest

__all__ = ["checked_studies", "installed", "rest"]
