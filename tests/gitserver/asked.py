"""Requests as the tests make them."""

from sloguard.api.v1alpha1 import Author, FileChange, KnobName
from sloguard.gitops.remote.proposal import Credentials, Evidence, Request, Settings
from tests.unit.gitops.test_promote import MANIFEST, PARAMETERS

FILE = "apps/llm/llama.yaml"
FILES = {FILE: MANIFEST, "apps/other.yaml": "a: 1\n"}
OURS = "sloguard/llama"
NAMES = frozenset({KnobName.MAX_NUM_SEQS, KnobName.GPU_MEMORY_UTILIZATION, KnobName.ENFORCE_EAGER})


CHANGES = (FileChange(path=FILE),)


def asked(hosted, credentials, *, parameters=PARAMETERS, changes=CHANGES, **other):
    given = {
        "repository": hosted.url,
        "branch": OURS,
        "changes": changes,
        "settings": Settings(names=NAMES, parameters=parameters),
        "evidence": Evidence(message="Tune vLLM in llama.yaml\n\nBecause.\n", title="Tune vLLM in llama.yaml"),
        "author": Author(name="SLO-Guard", email="sloguard@example.com"),
        "proposer": "serving/llama",
        "credentials": Credentials(**credentials),
    }
    return Request(**given | other)


def seqs(number):
    """Other settings, in one figure."""
    return PARAMETERS | {KnobName.MAX_NUM_SEQS: str(number)}
