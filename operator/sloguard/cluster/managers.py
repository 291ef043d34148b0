"""Who manages production beside people, by the marks that they leave on what they manage. Pure.

Argo CD: annotation, or label where it was told to track by one (argo-cd docs, user-guide/resource_tracking). Flux:
labels of kustomize- and helm-controller. Config Sync: its value of the recommended label. Helm: the annotation that
makes an object its release's. `app.kubernetes.io/instance` is no mark: charts set it whoever installs them.
"""

from collections.abc import Callable
from typing import Final

from sloguard.cluster.objects import Object, listing, section
from sloguard.domain.text import readable
from sloguard.engine.snapshot import Manager

_KUSTOMIZE: Final = "kustomize.toolkit.fluxcd.io"
_FLUX_HELM: Final = "helm.toolkit.fluxcd.io"


def manager_of(stored: Object) -> Manager | None:
    """The one that brings its own arguments back first; None where nobody is known to."""
    return next((found for find in _FINDERS if (found := find(stored)) is not None), None)


def _argo_cd(stored: Object) -> Manager | None:
    application = _annotation(stored, "argocd.argoproj.io/tracking-id").partition(":")[0]
    application = application or _label(stored, "argocd.argoproj.io/instance")
    return Manager("ArgoCD", f"Argo CD's Application {application}", by_git=True) if application else None


def _flux(stored: Object) -> Manager | None:
    if (name := _label(stored, f"{_FLUX_HELM}/name")) != "":
        return Manager("Flux", f"Flux's HelmRelease {_of_namespace(stored, _FLUX_HELM)}{name}", by_git=True)
    if (name := _label(stored, f"{_KUSTOMIZE}/name")) == "":
        return None
    if _annotation(stored, f"{_KUSTOMIZE}/reconcile") == "disabled":
        return None
    return Manager("Flux", f"Flux's Kustomization {_of_namespace(stored, _KUSTOMIZE)}{name}", by_git=True)


def _config_sync(stored: Object) -> Manager | None:
    managed = _label(stored, "app.kubernetes.io/managed-by") == "configmanagement.gke.io"
    return Manager("ConfigSync", "Config Sync", by_git=True) if managed else None


def _controller(stored: Object) -> Manager | None:
    """Such as KServe's, of an InferenceService."""
    owner = next((o for o in listing(stored, "metadata", "ownerReferences") if o.get("controller")), None)
    if owner is None:
        return None
    return Manager("Controller", f"the controller of {owner['kind']} {owner['name']}", by_git=False)


def _helm(stored: Object) -> Manager | None:
    release = _annotation(stored, "meta.helm.sh/release-name")
    return Manager("Helm", f"Helm release {release}", by_git=False, reverts=False) if release else None


_FINDERS: Final[tuple[Callable[[Object], Manager | None], ...]] = (_argo_cd, _flux, _config_sync, _controller, _helm)


def _label(stored: Object, name: str) -> str:
    return readable(str(section(stored, "metadata", "labels").get(name) or ""))


def _annotation(stored: Object, name: str) -> str:
    return readable(str(section(stored, "metadata", "annotations").get(name) or ""))


def _of_namespace(stored: Object, toolkit: str) -> str:
    namespace = _label(stored, f"{toolkit}/namespace")
    return f"{namespace}/" if namespace else ""
