"""A connection that is lost at any piece of data: told as such, or got over; begun again it ends right."""

import socket
import threading

import pytest

from sloguard.gitops.remote import https as transport
from sloguard.gitops.remote.proposal import Reason
from sloguard.gitops.remote.propose import propose
from tests.gitserver.asked import asked
from tests.gitserver.proxy import Proxy


class Cutting:
    """Cuts the tunnel at one piece, once."""

    def __init__(self, at):
        self.pieces = 0
        self._at = at

    def __call__(self):
        self.pieces += 1
        if self.pieces == self._at:
            raise ConnectionAbortedError


def test_cut_at_any_piece(hosted, login, monkeypatch):
    """Each time another branch, until nothing was cut any more."""
    for at in range(1, 100):
        cutting, ours = Cutting(at), f"sloguard/{at}"
        proxy = Proxy(passes=cutting)
        monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
        outcome = propose(asked(hosted, login, branch=ours), pause=lambda _seconds: None)
        proxy.close()
        assert outcome.reason in {Reason.PROPOSED, Reason.UNCHANGED, Reason.NOT_REACHABLE}, (at, outcome)
        monkeypatch.delenv("HTTPS_PROXY")
        assert propose(asked(hosted, login, branch=ours)).reason in {Reason.PROPOSED, Reason.UNCHANGED}
        assert hosted.ahead(ours) == 1
        if cutting.pieces < at:
            break
    assert cutting.pieces < at
    assert at > 10
    hosted.git("fsck", "--strict")


@pytest.fixture
def silent():
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = []

        def take():
            try:
                while True:
                    taken.append(server.accept()[0])
            except OSError:
                pass

        thread = threading.Thread(target=take)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in taken:
            one.close()


def test_a_server_that_says_nothing(hosted, login, silent, monkeypatch):
    monkeypatch.setattr(transport, "CONNECT_SECONDS", 0.5)
    monkeypatch.setattr(transport, "READ_SECONDS", 0.5)
    outcome = propose(asked(hosted, login, repository=f"https://127.0.0.1:{silent}/a/b.git"))
    assert outcome.reason is Reason.NOT_REACHABLE
    assert "in time" in outcome.message


def test_a_server_that_stops_answering(hosted, login, monkeypatch):
    """Within an answer, which is another place of the client than before it."""
    monkeypatch.setattr(transport, "READ_SECONDS", 1)
    go_on = threading.Event()
    passes = Stopping(go_on)
    proxy = Proxy(passes=passes)
    monkeypatch.setenv("HTTPS_PROXY", f"http://{proxy.address}")
    try:
        for at in (6, 12):
            passes.stop_at(at)
            outcome = propose(asked(hosted, login, branch=f"branch-{at}"), pause=lambda _seconds: passes.stop_at(0))
            assert outcome.reason in {Reason.PROPOSED, Reason.UNCHANGED, Reason.NOT_REACHABLE}, outcome
    finally:
        go_on.set()
        proxy.close()


class Stopping:
    """From one piece on nothing passes any more."""

    def __init__(self, go_on):
        self._go_on = go_on
        self.stop_at(0)

    def stop_at(self, at):
        self._pieces, self._at = 0, at

    def __call__(self):
        self._pieces += 1
        if self._at and self._pieces >= self._at:
            self._go_on.wait(60)
