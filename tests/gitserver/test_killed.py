"""Killed between any two steps and begun again, it ends the same: one branch, one commit ahead, one pull request."""

import os
import subprocess
import sys

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sloguard.api.v1alpha1 import ForgeKind, PullRequestWish
from sloguard.gitops.remote.proposal import Evidence, Outcome, Reason
from sloguard.gitops.remote.pull_request import marked
from tests.gitserver.asked import FILE, FILES, OURS, asked, seqs
from tests.gitserver.proxy import Proxy
from tests.unit.gitops.test_promote import MANIFEST

MOST_PIECES = 44
"""More pieces of data than pass when nobody is killed (test below)."""


class Killed:
    """A process whose data passes a proxy, which kills it at one piece: before that is passed on, or as it is."""

    def __init__(self, file, at, *, before=True):
        self.pieces = 0
        self._at = at
        self._before = before
        self._proxy = Proxy(passes=self._pass)
        variables = os.environ | {"HTTPS_PROXY": f"http://{self._proxy.address}"}
        command = [sys.executable, "-m", "tests.gitserver.propose_request", str(file)]
        self._process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True)

    def _pass(self):
        self.pieces += 1
        if self.pieces == self._at:
            self._process.kill()
            if self._before:
                raise ConnectionAbortedError

    def outcome(self):
        """None where it was killed."""
        said, _ = self._process.communicate(timeout=120)
        self._proxy.close()
        return Outcome.model_validate_json(said) if self._process.returncode == 0 else None


def request_for(hosted, number):
    gitea = hosted.gitea
    return asked(
        hosted,
        {"token_file": gitea.token_file, "ca_file": gitea.ca_file},
        parameters=seqs(number),
        pull_request=PullRequestWish(forge=ForgeKind.GITEA),
        evidence=Evidence(message="Tune vLLM\n", title="Tune vLLM", body=f"To {number}."),
    )


def assert_the_end(hosted, number, text):
    """All that a proposal is, whatever happened on the way."""
    (one,) = hosted.pull_requests("all")
    assert (one["state"], one["head"]["sha"], one["title"]) == ("open", hosted.tip(OURS), "Tune vLLM")
    assert one["body"] == marked(f"To {number}.")
    assert hosted.branches() == ["main", OURS]
    assert (hosted.ahead(OURS), hosted.behind(OURS)) == (1, 0)
    assert f'"{number}"' in hosted.text(FILE, OURS)
    assert text in hosted.text(FILE, OURS)


def undisturbed(hosted, file, number):
    file.write_text(request_for(hosted, number).model_dump_json())
    run = Killed(file, 0)
    outcome = run.outcome()
    assert outcome is not None
    assert outcome.reason.succeeded, outcome
    return run.pieces


def test_fewer_pieces_pass_than_kills_are_drawn_from(gitea, tmp_path):
    hosted = gitea.repository(FILES)
    assert 10 < undisturbed(hosted, tmp_path / "request", 192) <= MOST_PIECES


KILLS = st.lists(st.tuples(st.integers(1, MOST_PIECES), st.booleans()), min_size=1, max_size=3)


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(first=KILLS, second=KILLS, moved=st.booleans())
def test_killed_anywhere_it_ends_the_same(gitea, tmp_path, first, second, moved):
    """A first proposal, killed some times; then perhaps a base that moves, and other settings, killed likewise."""
    hosted, file, port = gitea.repository(FILES), tmp_path / "request", "--port=8000"
    for number, kills in ((192, first), (224, second)):
        file.write_text(request_for(hosted, number).model_dump_json())
        for at, before in kills:
            Killed(file, at, before=before).outcome()
        undisturbed(hosted, file, number)
        assert_the_end(hosted, number, port)
        if moved and number == 192:
            port = "--port=8001"
            hosted.put(FILE, MANIFEST.replace("--port=8000", port))
    assert Killed(file, 0).outcome().reason is Reason.UNCHANGED
    hosted.git("fsck", "--strict")
