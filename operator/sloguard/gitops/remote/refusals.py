"""What servers say when they do not do as asked, and what dulwich makes of it, as reasons and sentences."""

import errno
import re

import paramiko
import urllib3.exceptions as http
from dulwich.client import HTTPProxyUnauthorized, HTTPUnauthorized
from dulwich.errors import GitProtocolError, HangupException, NotGitRepository, SendPackError

from sloguard.gitops.remote.address import Address
from sloguard.gitops.remote.failure import ProposalError, words_of_server
from sloguard.gitops.remote.proposal import Credentials, Reason
from sloguard.gitops.remote.ssh import unreachable

_STATUS = re.compile(r"unexpected http resp (\d+)")
_NO_SPACE = re.compile(r"no space left|disk quota exceeded|not enough space", re.IGNORECASE)
_MOVED = re.compile(
    r"failed to update ref|fetch first|cannot lock ref|reference already exists|but expected|incorrect old value|"
    r"failed to lock|stale info",
    re.IGNORECASE,
)
_PROTECTED = re.compile(r"protected branch|non-fast-forward|rule violations|protected ref", re.IGNORECASE)
_NO_REPOSITORY = re.compile(r"not found|does not (?:appear to be|exist)|not a git repo|no such", re.IGNORECASE)
_DENIED = re.compile(r"denied|permission|not allowed|not authorized|read.?only|forbidden", re.IGNORECASE)


def push_refused(branch: str, status: str, words: str) -> ProposalError | None:
    """Of a branch that the server did not move; None where somebody else had moved it."""
    said = f"{words} ({words_of_server(status)})" if words else words_of_server(status)
    if _NO_SPACE.search(said):
        return _no_space(said)
    if _PROTECTED.search(said):
        return ProposalError(
            Reason.BRANCH_PROTECTED,
            f"the branch {branch} is protected; the server said: {said}. Propose on a branch of its own with a pull "
            "request, or let this account push to it (and write its own branches anew)",
        )
    if _MOVED.search(said):
        return None
    return ProposalError(
        Reason.PUSH_REJECTED,
        f"the server did not take the commit for {branch}; it said: {said}. Change what it asks for (author, title, "
        "signature, path), or have the rule changed",
    )


def explained(error: Exception, address: Address, credentials: Credentials, words: str) -> ProposalError:
    """Of whatever ended a connection."""
    url = address.url
    match error:
        case ProposalError():
            return error
        case HTTPUnauthorized():
            return _unauthorized(url, credentials)
        case HTTPProxyUnauthorized():
            return ProposalError(
                Reason.NOT_REACHABLE, "the proxy asks for a login; put it into https_proxy as http://USER:PASSWORD@HOST"
            )
        case NotGitRepository():
            return _not_found(url)
        case SendPackError():
            said = words or words_of_server(str(error))
            return _no_space(said) if _NO_SPACE.search(said) else _failed(url, f"it could not store the commit: {said}")
        case HangupException():
            return _hung_up(url, words_of_server(str(error)))
        case GitProtocolError():
            return _protocol(error, url)
        case http.HTTPError():
            return _transport(error, url)
        case paramiko.SSHException() | EOFError() | TimeoutError():
            return unreachable(address.authority, error)
        case OSError() if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return ProposalError(
                Reason.NO_SPACE,
                "there is no space left here for a copy of the repository's last commit; give TMPDIR a larger volume",
            )
        case OSError():
            return unreachable(address.authority, error)
        case _:
            return _failed(url, f"its answer is not Git's ({type(error).__name__}); see that this is its address")


def _unauthorized(url: str, credentials: Credentials) -> ProposalError:
    if credentials.token_file is None:
        return ProposalError(Reason.AUTHENTICATION_FAILED, f"{url} asks for a login, and no token's file was given")
    return ProposalError(
        Reason.AUTHENTICATION_FAILED,
        f"{url} does not accept the token of {credentials.token_file}: it may have expired or been revoked, or need "
        "another user's name; make a new one that may read and write this repository",
    )


def _not_found(url: str) -> ProposalError:
    return ProposalError(
        Reason.REPOSITORY_NOT_FOUND,
        f"there is no repository {url}, or these credentials may not see it; correct the address, or let them in",
    )


def _denied(url: str, said: str) -> ProposalError:
    return ProposalError(
        Reason.PERMISSION_DENIED,
        f"these credentials may not do this in {url}; the server said: {said}. Give them the right to read and write",
    )


def _no_space(said: str) -> ProposalError:
    return ProposalError(
        Reason.NO_SPACE, f"the repository's server has no space left; it said: {said}. Nothing was changed; free some"
    )


def _failed(url: str, said: str) -> ProposalError:
    return ProposalError(Reason.SERVER_FAILED, f"{url}: {said}")


def _hung_up(url: str, said: str) -> ProposalError:
    if _NO_SPACE.search(said):
        return _no_space(said)
    if _NO_REPOSITORY.search(said):
        return _not_found(url)
    if _DENIED.search(said):
        return _denied(url, said)
    return ProposalError(Reason.NOT_REACHABLE, f"{url} ended the connection: {said}")


def _protocol(error: GitProtocolError, url: str) -> ProposalError:
    if isinstance(error.__cause__, http.HTTPError):
        return _transport(error.__cause__, url)
    status = _STATUS.search(str(error))
    if status is not None:
        return _http_status(int(status[1]), url)
    said = words_of_server(str(error))
    if _NO_REPOSITORY.search(said):
        return _not_found(url)
    return _denied(url, said) if _DENIED.search(said) else _failed(url, said)


def _http_status(status: int, url: str) -> ProposalError:
    if status == 403:
        return _denied(url, "HTTP 403")
    if status == 413:
        return ProposalError(Reason.PUSH_REJECTED, f"{url}: what is in front of the server takes no request this large")
    return _failed(url, f"it answered HTTP {status}")


def _transport(error: http.HTTPError, url: str) -> ProposalError:
    reason = error.reason if isinstance(error, http.MaxRetryError) and error.reason is not None else error
    if isinstance(reason, http.SSLError) and "CERTIFICATE_VERIFY_FAILED" in str(reason):
        return ProposalError(
            Reason.CERTIFICATE_UNTRUSTED,
            f"{url}: its certificate is not trusted ({_tls_words(str(reason))}); where a private authority made it, "
            "give that authority's certificate as the CA file",
        )
    return ProposalError(Reason.NOT_REACHABLE, f"{url} cannot be reached: {_transport_words(reason)}")


def _tls_words(said: str) -> str:
    found = re.search(r"certificate verify failed: ([^(\"']+)", said)
    return found[1].strip() if found else "verification failed"


def _transport_words(reason: Exception) -> str:
    match reason:
        case http.NameResolutionError():
            return "its name is not known"
        case http.TimeoutError() if not isinstance(reason, http.NewConnectionError):
            return "it does not answer in time"
        case http.ProxyError():
            return f"the proxy does not let us through ({words_of_server(str(reason.original_error))})"
        case _:
            said = words_of_server(str(reason))
            return next((text for text in (said.rpartition("] ")[2], said) if text), type(reason).__name__)
