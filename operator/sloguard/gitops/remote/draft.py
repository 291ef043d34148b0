"""What a branch is to hold: worked out from what the repository has, before anything is sent."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from dulwich.object_store import BaseObjectStore
from dulwich.objects import Commit, ObjectID, ShaFile

from sloguard.api.v1alpha1 import FileChange
from sloguard.gitops.edit import with_settings
from sloguard.gitops.errors import EditError
from sloguard.gitops.narrowing import check_not_narrower, differences
from sloguard.gitops.remote.failure import ProposalError
from sloguard.gitops.remote.files import file_of, finder
from sloguard.gitops.remote.proposal import Reason, Request
from sloguard.gitops.remote.seal import proposer_of, sealed_message
from sloguard.gitops.tree import text_in, with_text

Sign = Callable[[bytes], bytes]


@dataclass(frozen=True, slots=True)
class Tips:
    """What the repository has: the base's commit, and the branch's where there is one. Direct: they are one."""

    store: BaseObjectStore
    base: ObjectID
    branch: ObjectID | None

    def commit(self, sha: ObjectID) -> Commit:
        found = self.store[sha]
        if not isinstance(found, Commit):
            raise ProposalError(Reason.SERVER_FAILED, f"{sha.decode()}, which a branch names, is no commit")
        return found


@dataclass(frozen=True, slots=True)
class Draft:
    """`tip` is what the branch is to be; with no objects it is that already. Not `needed`: the base has it."""

    tip: ObjectID
    objects: tuple[ShaFile, ...] = ()
    needed: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Edited:
    tree: ObjectID
    objects: tuple[ShaFile, ...]
    notes: tuple[str, ...]


def drafted(tips: Tips, request: Request, *, direct: bool, sign: Sign | None) -> Draft:
    """The commit that is wanted, or that is there already.

    Raises:
        ProposalError: EditRefused, BaseConflict where it could be changed when the branch was made, or BranchTaken.

    """
    if direct or tips.branch in {None, tips.base}:
        return _on_base(tips, request, sign, sealed=not direct)
    assert tips.branch is not None, "seen above"
    tip = tips.commit(tips.branch)
    proposer = proposer_of(tip)
    if not proposer:
        return _on_others_work(tips, tip, request, sign)
    if proposer != request.proposer:
        raise ProposalError(
            Reason.BRANCH_TAKEN,
            f"the branch {request.branch} holds the proposal of {proposer}; give {request.proposer} one of its own",
        )
    return _anew(tips, tip, request, sign)


def _on_base(tips: Tips, request: Request, sign: Sign | None, *, sealed: bool) -> Draft:
    edited = _edited(tips, tips.base, request)
    if not edited.objects:
        return Draft(tips.base, needed=False, notes=edited.notes)
    return _draft(edited, request, tips.base, sign, sealed=sealed)


def _anew(tips: Tips, tip: Commit, request: Request, sign: Sign | None) -> Draft:
    """Our own commit, on the base as it is now."""
    try:
        edited = _edited(tips, tips.base, request)
    except ProposalError as error:
        raise ProposalError(
            Reason.BASE_CONFLICT,
            f"{error}. It could be changed when the branch {request.branch} was made, which is left as it is",
        ) from error
    if not edited.objects:
        return Draft(tips.base, needed=False, notes=edited.notes)
    if tip.tree == edited.tree and tip.parents == [tips.base] and (sign is None or tip.gpgsig):
        return Draft(tip.id, notes=edited.notes)
    return _draft(edited, request, tips.base, sign, sealed=True)


def _on_others_work(tips: Tips, tip: Commit, request: Request, sign: Sign | None) -> Draft:
    """A commit more; what others did is never written anew."""
    edited = _edited(tips, tip.id, request)
    if edited.objects:
        return _draft(edited, request, tip.id, sign, sealed=False)
    needed = bool(_edited(tips, tips.base, request).objects)
    return Draft(tip.id if needed else tips.base, needed=needed, notes=edited.notes)


def _edited(tips: Tips, sha: ObjectID, request: Request) -> _Edited:
    """The tree of a commit with the settings in it."""
    tree = tips.commit(sha).tree
    objects: list[ShaFile] = []
    notes: list[str] = []
    for change in request.changes:
        path = file_of(tips.store, tree, change)
        try:
            before = text_in(tips.store, tree, path)
            after, told = _with_settings(before, change, request)
        except EditError as error:
            raise ProposalError(Reason.EDIT_REFUSED, f"{path}: {error}") from error
        notes += [f"{path}: {one}" for one in told]
        if after == before:
            continue
        for made in with_text(tips.store, tree, path, after):
            tips.store.add_object(made)
            objects.append(made)
        tree = objects[-1].id
    return _Edited(tree, tuple(objects), tuple(notes))


def _with_settings(before: str, change: FileChange, request: Request) -> tuple[str, list[str]]:
    find, settings = finder(change), request.settings
    there = find(before).place.settings()
    check_not_narrower(there, settings.parameters, may_narrow=settings.may_narrow)
    told = differences(there, settings.measured) if settings.measured is not None else []
    return with_settings(before, find, settings.names, settings.parameters), told


def _draft(edited: _Edited, request: Request, parent: ObjectID, sign: Sign | None, *, sealed: bool) -> Draft:
    now = int(time.time())
    who = f"{request.author.name} <{request.author.email}>".encode()
    said = request.evidence.message
    commit = Commit()
    commit.tree = edited.tree
    commit.parents = [parent]
    commit.author = commit.committer = who
    commit.author_time = commit.commit_time = now
    commit.author_timezone = commit.commit_timezone = time.localtime(now).tm_gmtoff
    commit.encoding = b"UTF-8"
    commit.message = (sealed_message(said, request.proposer, edited.tree, parent) if sealed else said).encode()
    if sign is not None:
        commit.gpgsig = sign(commit.as_raw_string())
    return Draft(commit.id, (*edited.objects, commit), notes=edited.notes)
