"""Who manages production's Deployment is told by the marks that it bears."""

import pytest

from sloguard.cluster.managers import manager_of
from sloguard.engine.snapshot import Manager
from tests.unit.cluster.objects import deployment

TRACKED = {"argocd.argoproj.io/tracking-id": "shop:apps/Deployment:prod/llama"}
KUSTOMIZED = {"kustomize.toolkit.fluxcd.io/name": "apps", "kustomize.toolkit.fluxcd.io/namespace": "flux-system"}
RELEASED = {"helm.toolkit.fluxcd.io/name": "llama", "helm.toolkit.fluxcd.io/namespace": "prod"}
HELM = {"meta.helm.sh/release-name": "llama", "meta.helm.sh/release-namespace": "prod"}
SERVICE = {"apiVersion": "serving.kserve.io/v1beta1", "kind": "InferenceService", "name": "llama", "uid": "u"}


def managed(labels=None, annotations=None, owners=()):
    metadata = {"labels": labels or {}, "annotations": annotations or {}, "ownerReferences": list(owners)}
    return manager_of(deployment(metadata=metadata))


@pytest.mark.parametrize(
    ("marks", "kind", "title"),
    [
        ({"annotations": TRACKED}, "ArgoCD", "Argo CD's Application shop"),
        ({"labels": {"argocd.argoproj.io/instance": "shop"}}, "ArgoCD", "Argo CD's Application shop"),
        ({"labels": KUSTOMIZED}, "Flux", "Flux's Kustomization flux-system/apps"),
        ({"labels": RELEASED, "annotations": HELM}, "Flux", "Flux's HelmRelease prod/llama"),
        ({"labels": {"app.kubernetes.io/managed-by": "configmanagement.gke.io"}}, "ConfigSync", "Config Sync"),
    ],
)
def test_what_works_from_a_repository_brings_its_arguments_back(marks, kind, title):
    assert managed(**marks) == Manager(kind, title, by_git=True)


def test_a_controller_brings_back_what_it_makes_of_its_own_object():
    found = managed(owners=[SERVICE | {"controller": True}])
    assert found == Manager("Controller", "the controller of InferenceService llama", by_git=False)


def test_a_release_of_helm_is_left_alone_until_somebody_upgrades_it():
    labels = {"app.kubernetes.io/managed-by": "Helm", "app.kubernetes.io/instance": "llama"}
    assert managed(labels, HELM) == Manager("Helm", "Helm release llama", by_git=False, reverts=False)


@pytest.mark.parametrize(
    "marks",
    [
        {},
        {"labels": {"app.kubernetes.io/instance": "llama", "app.kubernetes.io/managed-by": "kustomize"}},
        {"labels": KUSTOMIZED, "annotations": {"kustomize.toolkit.fluxcd.io/reconcile": "disabled"}},
        {"owners": [SERVICE]},
    ],
)
def test_else_nobody_is_known_to(marks):
    assert managed(**marks) is None


def test_a_mark_is_data():
    assert (
        managed(annotations={"argocd.argoproj.io/tracking-id": "a\x1b[31m\nb:c"}).title == "Argo CD's Application a b"
    )
