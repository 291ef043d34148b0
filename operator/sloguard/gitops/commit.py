"""One file's change as a commit on a branch of a local repository. The working tree and its index are not touched."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dulwich.errors import NotGitRepository
from dulwich.objects import Commit, ObjectID
from dulwich.refs import Ref, check_ref_format
from dulwich.repo import Repo, get_user_identity

from sloguard.gitops.errors import EditError
from sloguard.gitops.tree import NotInTreeError, text_in, with_text


@dataclass(frozen=True, slots=True)
class Committed:
    """The new commit; `base` is the one that it stands on."""

    sha: str
    base: str


def commit_file(file: Path, branch: str, change: Callable[[str], str], message: str) -> Committed | None:
    """Commit what `change` makes of the file as it is on the branch, which begins at HEAD where it does not exist.

    None where it changes nothing, so that doing it twice does it once. A commit that somebody else makes meanwhile is
    never lost.

    Raises:
        EditError: the file is in no repository or not on the branch, the branch is checked out, or it moved meanwhile.

    """
    try:
        repository = Repo.discover(file.resolve().parent)
    except NotGitRepository as error:
        raise EditError("it is in no Git repository; clone the one that production is made from") from error
    with repository:
        ref = _ref(repository, branch)
        base = _base(repository, ref)
        path = file.resolve().relative_to(Path(repository.path).resolve()).as_posix()
        before = _commit(repository, base)
        text = _text(repository, before, path, branch)
        after = change(text)
        if after == text:
            return None
        made = _made(repository, before, path, after, message)
        old = _there(repository, ref)
        if old not in {base, None} or not _moved(repository, ref, old, made):
            raise EditError(f"somebody else moved the branch {branch} meanwhile; try again")
        return Committed(made.decode(), base.decode())


def _ref(repository: Repo, branch: str) -> Ref:
    ref = Ref(b"refs/heads/" + branch.encode())
    if not check_ref_format(ref):
        raise EditError(f"{branch!r} is no name for a branch; use one such as sloguard/llama")
    if b"ref: " + ref in _heads(repository):
        raise EditError(f"the branch {branch} is checked out, and its files would differ from it; give another one")
    return ref


def _heads(repository: Repo) -> set[bytes]:
    """What is checked out, here and in linked working trees."""
    common = Path(repository.commondir())
    return {head.read_bytes().strip() for head in (common / "HEAD", *common.glob("worktrees/*/HEAD")) if head.is_file()}


def _there(repository: Repo, ref: Ref) -> ObjectID | None:
    try:
        return repository.refs[ref]
    except KeyError:
        return None


def _base(repository: Repo, ref: Ref) -> ObjectID:
    try:
        return _there(repository, ref) or repository.head()
    except KeyError as error:
        raise EditError("its repository has no commit yet; commit the file first") from error


def _commit(repository: Repo, sha: ObjectID) -> Commit:
    found = repository[sha]
    if not isinstance(found, Commit):
        raise EditError(f"{sha.decode()} is no commit; mend the repository first")
    return found


def _text(repository: Repo, commit: Commit, path: str, branch: str) -> str:
    try:
        return text_in(repository.object_store, commit.tree, path)
    except NotInTreeError as error:
        raise EditError(f"it is not committed where the branch {branch} stands or begins; commit it first") from error


def _made(repository: Repo, before: Commit, path: str, text: str, message: str) -> ObjectID:
    """Store the file, the folders that lead to it and the commit; nothing refers to them yet."""
    made = with_text(repository.object_store, before.tree, path, text)
    for one in made:
        repository.object_store.add_object(one)
    config = repository.get_config_stack()
    now = int(time.time())
    commit = Commit()
    commit.tree = made[-1].id
    commit.parents = [before.id]
    commit.author = get_user_identity(config, "AUTHOR")
    commit.committer = get_user_identity(config, "COMMITTER")
    commit.author_time = commit.commit_time = now
    commit.author_timezone = commit.commit_timezone = time.localtime(now).tm_gmtoff
    commit.encoding = b"UTF-8"
    commit.message = message.encode()
    repository.object_store.add_object(commit)
    return commit.id


def _moved(repository: Repo, ref: Ref, old: ObjectID | None, new: ObjectID) -> bool:
    if old is None:
        return repository.refs.add_if_new(ref, new, message=b"sloguard promote")
    return repository.refs.set_if_equals(ref, old, new, message=b"sloguard promote")
