"""What is asked of `propose`, and what it answers: plain data, as a command line or a Job hands them over."""

from enum import StrEnum
from pathlib import Path

from pydantic import Field

from sloguard.api.v1alpha1 import Author, FileChange, KnobName, PullRequestWish
from sloguard.api.v1alpha1.base import Model


class Settings(Model):
    """Exactly `parameters` among the settings `names`. `measured` is the production that was, None where unknown;
    `may_narrow` allows to serve shorter requests than today.
    """

    names: frozenset[KnobName]
    parameters: dict[KnobName, str]
    measured: dict[KnobName, str] | None = None
    may_narrow: bool = False


class Evidence(Model):
    """Why: `message` is the commit's, `title` and `body` (Markdown) are the pull request's."""

    message: str
    title: str
    body: str = ""


class Credentials(Model):
    """Files that hold them, as a Secret's volume does. What is None is not used.

    `token_file` is for HTTPS and for the forge's API; `username_file` goes with it where the server minds the name.
    """

    token_file: Path | None = None
    username_file: Path | None = None
    ssh_key_file: Path | None = None
    known_hosts_file: Path | None = None
    ca_file: Path | None = None
    signing_key_file: Path | None = None


class Request(Model):
    """`branch` may be `base` itself: a direct commit. `base` "" is the repository's default branch.

    `proposer` names what the proposal is of, such as a study: of each there is one commit on a branch of its own.
    """

    repository: str
    base: str = ""
    branch: str
    changes: tuple[FileChange, ...] = Field(min_length=1)
    settings: Settings
    evidence: Evidence
    author: Author
    proposer: str
    credentials: Credentials = Credentials()
    pull_request: PullRequestWish | None = None


class Reason(StrEnum):
    """What became of it. The first four are good ends."""

    PROPOSED = "Proposed"
    COMMITTED = "Committed"
    UNCHANGED = "Unchanged"
    NOTHING_TO_DO = "NothingToDo"

    INVALID_REQUEST = "InvalidRequest"
    CREDENTIALS_UNREADABLE = "CredentialsUnreadable"
    REPOSITORY_NOT_ALLOWED = "RepositoryNotAllowed"
    AUTHENTICATION_FAILED = "AuthenticationFailed"
    PERMISSION_DENIED = "PermissionDenied"
    CERTIFICATE_UNTRUSTED = "CertificateUntrusted"
    HOST_KEY_MISMATCH = "HostKeyMismatch"
    HOST_KEY_UNKNOWN = "HostKeyUnknown"
    REPOSITORY_NOT_FOUND = "RepositoryNotFound"
    BASE_NOT_FOUND = "BaseNotFound"
    EDIT_REFUSED = "EditRefused"
    BASE_CONFLICT = "BaseConflict"
    BRANCH_TAKEN = "BranchTaken"
    BRANCH_PROTECTED = "BranchProtected"
    PUSH_REJECTED = "PushRejected"
    PULL_REQUEST_REFUSED = "PullRequestRefused"
    PULL_REQUEST_CLOSED = "PullRequestClosed"
    PUSH_RACED = "PushRaced"
    NOT_REACHABLE = "NotReachable"
    NO_SPACE = "NoSpace"
    SERVER_FAILED = "ServerFailed"

    @property
    def succeeded(self) -> bool:
        return self in _GOOD

    @property
    def may_pass(self) -> bool:
        """Whether the same request may well do later; else a person has to change something first."""
        return self in _PASSING


EXIT_NOT_PROPOSED = 4
"""Of a command whose outcome is none of the good ones."""

_GOOD = frozenset({Reason.PROPOSED, Reason.COMMITTED, Reason.UNCHANGED, Reason.NOTHING_TO_DO})
_PASSING = frozenset({Reason.PUSH_RACED, Reason.NOT_REACHABLE, Reason.NO_SPACE, Reason.SERVER_FAILED})


class PullRequest(Model):
    """An open one."""

    url: str
    number: int


class Outcome(Model):
    """`commit` is what the branch holds, also where something failed after it was pushed; notes are for people."""

    reason: Reason
    message: str
    branch: str = ""
    commit: str = ""
    pull_request: PullRequest | None = None
    notes: tuple[str, ...] = ()
