"""Which file of a repository is meant, and how the place in it is found."""

from dulwich.object_store import BaseObjectStore
from dulwich.objects import ObjectID, Tree

from sloguard.api.v1alpha1 import FileChange, Shape
from sloguard.gitops.edit import Finder
from sloguard.gitops.find import Wanted, in_kustomize, in_manifest, in_values
from sloguard.gitops.remote.failure import ProposalError
from sloguard.gitops.remote.proposal import Reason

KUSTOMIZATIONS = ("kustomization.yaml", "kustomization.yml", "Kustomization")


def finder(change: FileChange) -> Finder:
    """How the place is found in the file's text."""
    wanted = Wanted(change.kind, change.name, change.container)
    match change.shape:
        case Shape.MANIFEST:
            return lambda text: in_manifest(text, wanted)
        case Shape.KUSTOMIZE:
            return lambda text: in_kustomize(text, wanted)
        case Shape.HELM_VALUES:
            return lambda text: in_values(text, change.values_path, wanted)


def checked_path(path: str) -> str:
    """A path from the repository's top.

    Raises:
        ProposalError: it is none (InvalidRequest).

    """
    steps = [step for step in path.split("/") if step not in {"", "."}]
    if path.startswith("/") or ".." in steps or not steps:
        raise ProposalError(
            Reason.INVALID_REQUEST,
            f"{path!r} is no path in the repository; give it from the repository's top, such as apps/llm/llama.yaml",
        )
    return "/".join(steps)


def file_of(store: BaseObjectStore, tree: ObjectID, change: FileChange) -> str:
    """The file itself; of a folder with a kustomization, that."""
    path = checked_path(change.path)
    if change.shape is not Shape.KUSTOMIZE:
        return path
    folder = _folder(store, tree, path)
    if folder is None:
        return path
    there = next((name for name in KUSTOMIZATIONS if name.encode() in folder), None)
    if there is None:
        raise ProposalError(
            Reason.EDIT_REFUSED, f"{path}: there is no kustomization.yaml in it; give the file that holds the patch"
        )
    return f"{path}/{there}"


def _folder(store: BaseObjectStore, tree: ObjectID, path: str) -> Tree | None:
    found = store[tree]
    for step in path.encode().split(b"/"):
        if not isinstance(found, Tree) or step not in found:
            return None
        _, sha = found[step]
        found = store[sha] if sha in store else None  # noqa: SIM401 - an object store has no get
    return found if isinstance(found, Tree) else None
