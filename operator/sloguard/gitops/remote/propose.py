"""One proposal from beginning to end: what it finds done already is not done again, so it may be killed anywhere."""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from dulwich.objects import ObjectID
from dulwich.refs import Ref, check_ref_format

from sloguard.api.v1alpha1 import PullRequestWish
from sloguard.gitops.remote.address import Address, read_address
from sloguard.gitops.remote.credentials import Token, read_token
from sloguard.gitops.remote.draft import Draft, Sign, drafted
from sloguard.gitops.remote.failure import ProposalError, scrubbed
from sloguard.gitops.remote.files import checked_path
from sloguard.gitops.remote.proposal import Credentials, Outcome, Reason, Request
from sloguard.gitops.remote.pull_request import opened
from sloguard.gitops.remote.server import MovedError, Server
from sloguard.gitops.remote.signature import ssh_signature

_ATTEMPTS = 6
_LONGEST_PAUSE_SECONDS = 8.0

Pause = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class _Pushed:
    base: str
    draft: Draft
    changed: bool


def propose(request: Request, pause: Pause = time.sleep) -> Outcome:
    """Bring the settings to the repository, as a commit on the base or as a proposal on a branch of its own.

    The same request again leaves the same end: one branch, one commit ahead of the base, one open pull request. Nothing
    that others committed is ever lost. Every failure is an outcome with its reason; no message holds a secret.
    """
    secrets: list[str] = []
    try:
        address = _checked(request)
        token = read_token(request.credentials, address)
        secrets += token.forms() if token is not None else ()
        outcome = _outcome(request, address, token, pause)
    except ProposalError as error:
        outcome = Outcome(reason=error.reason, message=str(error), branch=request.branch)
    told = {"message": scrubbed(outcome.message, secrets), "notes": tuple(scrubbed(n, secrets) for n in outcome.notes)}
    return outcome.model_copy(update=told)


def _outcome(request: Request, address: Address, token: Token | None, pause: Pause) -> Outcome:
    pushed = _pushed(request, Server(address, request.credentials, token), pause)
    commit, notes = pushed.draft.tip.decode(), pushed.draft.notes
    if not pushed.draft.needed:
        message = f"{pushed.base} has these settings already"
        return Outcome(reason=Reason.NOTHING_TO_DO, message=message, branch=pushed.base, commit=commit, notes=notes)
    direct = request.branch == pushed.base
    reason = (Reason.COMMITTED if direct else Reason.PROPOSED) if pushed.changed else Reason.UNCHANGED
    message = f"{commit} is on {request.branch}" + ("" if pushed.changed else ", as it was already")
    outcome = Outcome(reason=reason, message=message, branch=request.branch, commit=commit, notes=notes)
    return _with_pull_request(outcome, request, address, token, pushed.base)


def _with_pull_request(outcome: Outcome, request: Request, address: Address, token: Token | None, base: str) -> Outcome:
    if request.pull_request is None:
        return outcome
    try:
        found = opened(request, request.pull_request, address, token, base)
    except ProposalError as error:
        message = f"{outcome.message}, and its pull request is missing or not up to date: {error}. Then do it again"
        return outcome.model_copy(update={"reason": error.reason, "message": message})
    message = f"{outcome.message}; {found.url}"
    return outcome.model_copy(update={"message": message, "pull_request": found})


def _checked(request: Request) -> Address:
    """The address of a request that can be tried.

    Raises:
        ProposalError: InvalidRequest.

    """
    address = read_address(request.repository)
    for branch in (request.branch, request.base or "main"):
        if not check_ref_format(Ref(b"refs/heads/" + branch.encode())):
            raise _invalid(f"{branch!r} is no name for a branch; use one such as sloguard/llama")
    for change in request.changes:
        checked_path(change.path)
    if not request.proposer or any(character.isspace() for character in request.proposer):
        raise _invalid(f"the proposer {request.proposer!r} should be one word, such as the study's name")
    credentials = request.credentials
    if address.is_ssh and credentials.ssh_key_file is None:
        raise _invalid(f"{address.url} is reached by SSH, for which a key's file is needed")
    if address.is_ssh and credentials.known_hosts_file is None:
        raise _invalid(f"{address.url} is reached by SSH, for which a file of known hosts is needed (ssh-keyscan)")
    if request.pull_request is not None:
        _check_forge(request.pull_request, address, credentials)
    return address


def _check_forge(wish: PullRequestWish, address: Address, credentials: Credentials) -> None:
    if credentials.token_file is None:
        raise _invalid(f"a pull request on {wish.forge} needs a token's file")
    if "/" not in address.name:
        raise _invalid(f"{address.url} names no owner and repository, as {wish.forge} has them")


def _invalid(message: str) -> ProposalError:
    return ProposalError(Reason.INVALID_REQUEST, message)


def _pushed(request: Request, server: Server, pause: Pause) -> _Pushed:
    """Look, work out, push; from the beginning where somebody else was faster or the connection was lost meanwhile."""
    lost: ProposalError | None = None
    for attempt in range(_ATTEMPTS):
        if attempt:
            pause(min(_LONGEST_PAUSE_SECONDS, 0.25 * 2**attempt) * random.uniform(0.5, 1))
        try:
            return _once(request, server)
        except MovedError:
            lost = None
        except _LostWhilePushingError as error:
            lost = error
    raise lost or ProposalError(
        Reason.PUSH_RACED,
        f"somebody else moved {request.branch} each of {_ATTEMPTS} times before this could; nothing was changed, try "
        "again later",
    )


class _LostWhilePushingError(ProposalError):
    """Whether the server took it is seen by looking again."""


def _once(request: Request, server: Server) -> _Pushed:
    with server.seen(request.base, request.branch) as seen:
        direct = request.branch == seen.base
        if direct and request.pull_request is not None:
            raise _invalid(
                f"{request.branch} is the base itself, so there is nothing to request; give a branch of its own, as "
                f"sloguard/{request.branch}, or leave the pull request out for a direct commit"
            )
        draft = drafted(seen.tips, request, direct=direct, sign=_signer(request))
        if draft.needed and draft.objects:
            _move(server, request.branch, seen.tips.branch, draft)
        return _Pushed(seen.base, draft, bool(draft.objects))


def _move(server: Server, branch: str, old: ObjectID | None, draft: Draft) -> None:
    try:
        server.move(branch, old, draft.tip, draft.objects)
    except ProposalError as error:
        if error.reason is Reason.NOT_REACHABLE:
            raise _LostWhilePushingError(error.reason, str(error)) from error
        raise


def _signer(request: Request) -> Sign | None:
    key_file = request.credentials.signing_key_file
    return (lambda data: ssh_signature(data, key_file)) if key_file is not None else None
