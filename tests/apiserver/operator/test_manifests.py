"""charts/manifests against a real API server: valid to the last field, and admitted where Pod Security is strictest."""

from datetime import UTC, datetime

import pytest
import yaml

from sloguard.api.v1alpha1 import Study, Trial
from sloguard.cluster import render
from tests.apiserver.operator.conftest import ROOT
from tests.apiserver.operator.objects import ARGUMENTS, production, study
from tests.apiserver.operator.test_forged import trial
from tests.clusters.handle import KubectlError

MANIFESTS = sorted((ROOT / "charts/manifests").glob("*.yaml"))


@pytest.fixture
def restricted(installed, namespace):
    """A namespace that admits no pod that Pod Security's strictest level does not."""
    label = "pod-security.kubernetes.io/enforce=restricted"
    installed.kubectl("label", "namespace", namespace, label)
    return namespace


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_the_api_server_takes_every_field(path, installed):
    told = installed.kubectl("apply", "--dry-run=server", "--validate=strict", "-f", str(path))
    assert told.count("(server dry run)") == len(list(yaml.safe_load_all(path.read_text())))


def test_the_operator_runs_where_pod_security_is_strictest(installed):
    """Its namespace enforces that itself."""
    labels = installed.get("namespace", "sloguard-system")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    deployment = yaml.safe_load((ROOT / "charts/manifests/operator.yaml").read_text())
    admitted = pod_of(deployment["spec"]["template"], "sloguard-system")
    assert installed.create(admitted)["spec"]["serviceAccountName"] == "sloguard"
    installed.kubectl("delete", "pod", "admitted", "-n", "sloguard-system", "--wait=false")


def test_a_load_is_admitted_too(installed, restricted):
    stored = trial(2, owners=[], parameters={"max_num_seqs": "9"})
    one = Trial.model_validate({**stored, "status": {"arguments": ARGUMENTS}})
    job = render.load_job(
        one, Study.model_validate(study()), production(), "sloguard:test", "Never", starts_at=datetime.now(UTC)
    )
    assert installed.create(pod_of(job["spec"]["template"], restricted))["status"]["phase"] == "Pending"


def test_what_is_not_restricted_is_refused_there(installed, restricted):
    """The two before show something only if this is so."""
    plain = pod_of(production()["spec"]["template"], restricted)
    with pytest.raises(KubectlError, match="violates PodSecurity"):
        installed.create(plain)


def pod_of(template, namespace):
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": template["metadata"] | {"name": "admitted", "namespace": namespace},
        "spec": template["spec"],
    }
