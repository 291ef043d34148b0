"""What servers say, and the reason that it is."""

import errno
import socket

import pytest
import urllib3.exceptions as http
from dulwich.client import HTTPProxyUnauthorized
from dulwich.errors import GitProtocolError, HangupException, SendPackError

from sloguard.gitops.remote.address import read_address
from sloguard.gitops.remote.proposal import Credentials, Reason
from sloguard.gitops.remote.refusals import explained, push_refused

ADDRESS = read_address("https://git.example.com/o/r.git")


@pytest.mark.parametrize(
    ("status", "words", "reason"),
    [
        ("failed to update ref", "", None),
        ("failed to update ref", "error: cannot lock ref 'refs/heads/b': is at 1 but expected 2", None),
        ("fetch first", "", None),
        ("non-fast-forward", "denying non-fast-forward refs/heads/b (you should pull first)", Reason.BRANCH_PROTECTED),
        ("protected branch hook declined", "GH006: Protected branch update failed", Reason.BRANCH_PROTECTED),
        (
            "push declined due to repository rule violations",
            "GH013: Repository rule violations",
            Reason.BRANCH_PROTECTED,
        ),
        (
            "pre-receive hook declined",
            "GitLab: You are not allowed to push code to protected branches on this project.",
            Reason.BRANCH_PROTECTED,
        ),
        ("pre-receive hook declined", "Commit message must name a ticket", Reason.PUSH_REJECTED),
        ("unpacker error", "fatal: write error: No space left on device", Reason.NO_SPACE),
        ("failed to update ref", "unable to write: Disk quota exceeded", Reason.NO_SPACE),
    ],
)
def test_a_branch_that_was_not_moved(status, words, reason):
    error = push_refused("b", status, words)
    assert (error.reason if error else None) is reason
    assert error is None or words in str(error)


@pytest.mark.parametrize(
    ("error", "words", "reason"),
    [
        (http.ReadTimeoutError(None, "u", "read timed out"), "", Reason.NOT_REACHABLE),
        (HTTPProxyUnauthorized("Basic", "u"), "", Reason.NOT_REACHABLE),
        (SendPackError(b"unpack index-pack abnormal exit"), "No space left on device", Reason.NO_SPACE),
        (SendPackError(b"unpack index-pack abnormal exit"), "", Reason.SERVER_FAILED),
        (HangupException([b"ERROR: Repository not found."]), "", Reason.REPOSITORY_NOT_FOUND),
        (HangupException([b"ERROR: Permission to o/r.git denied to u."]), "", Reason.PERMISSION_DENIED),
        (HangupException([b"This deploy key is read-only"]), "", Reason.PERMISSION_DENIED),
        (HangupException(), "", Reason.NOT_REACHABLE),
        (GitProtocolError("unexpected http resp 403 for u"), "", Reason.PERMISSION_DENIED),
        (GitProtocolError("unexpected http resp 413 for u"), "", Reason.PUSH_REJECTED),
        (GitProtocolError("unexpected http resp 503 for u"), "", Reason.SERVER_FAILED),
        (OSError(errno.ENOSPC, "No space left on device"), "", Reason.NO_SPACE),
        (socket.gaierror(-2, "Name or service not known"), "", Reason.NOT_REACHABLE),
        (ValueError("invalid literal"), "", Reason.SERVER_FAILED),
    ],
)
def test_a_connection_that_ended(error, words, reason):
    assert explained(error, ADDRESS, Credentials(), words).reason is reason
