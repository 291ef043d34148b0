"""One file of a commit's tree: read, and replaced in a tree that is like it otherwise."""

from collections.abc import Iterator

from dulwich.errors import NotTreeError
from dulwich.object_store import BaseObjectStore, tree_lookup_path
from dulwich.objects import Blob, ObjectID, ShaFile, Tree

from sloguard.gitops.errors import EditError

_SYMBOLIC_LINK = 0o120000


class NotInTreeError(EditError):
    """There is no such file."""


def text_in(store: BaseObjectStore, tree: ObjectID, path: str) -> str:
    """What a file says.

    Raises:
        EditError: it is no file, or no text in UTF-8.
        NotInTreeError: there is none.

    """
    try:
        mode, sha = tree_lookup_path(store.__getitem__, tree, path.encode())
        found = store[sha]
    except (KeyError, NotTreeError) as error:
        raise NotInTreeError("it is not in the repository") from error
    if mode == _SYMBOLIC_LINK:
        raise EditError("it is a symbolic link in the repository; give the file that it leads to")
    if not isinstance(found, Blob):
        raise EditError("it is a folder in the repository; give the file in it")
    try:
        return found.data.decode()
    except UnicodeDecodeError as error:
        raise EditError("it is no text in UTF-8") from error


def with_text(store: BaseObjectStore, tree: ObjectID, path: str, text: str) -> list[ShaFile]:
    """The new objects: the file, and the folders that lead to it, of which the last is the new tree. Modes stay."""
    blob = Blob.from_string(text.encode())
    return [blob, *_folders(store, tree, path.encode().split(b"/"), blob.id)]


def _folders(store: BaseObjectStore, tree: ObjectID, path: list[bytes], blob: ObjectID) -> Iterator[Tree]:
    found = store[tree]
    assert isinstance(found, Tree), "the path was followed before"
    folder = found.copy()
    assert isinstance(folder, Tree), "a copy is of the same kind"
    mode, inner = folder[path[0]]
    new = blob
    if path[1:]:
        made = list(_folders(store, inner, path[1:], blob))
        yield from made
        new = made[-1].id
    folder[path[0]] = (mode, new)
    yield folder
