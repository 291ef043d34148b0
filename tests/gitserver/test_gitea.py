"""The same with a real forge: Gitea."""

import pytest

from sloguard.api.v1alpha1 import ForgeKind, PullRequestWish
from sloguard.gitops.remote.proposal import Evidence, Reason
from sloguard.gitops.remote.propose import propose
from sloguard.gitops.remote.pull_request import marked
from tests.clusters.cache import wait_until
from tests.gitserver.asked import FILE, FILES, OURS, asked, seqs
from tests.gitserver.servers import base64_of
from tests.unit.gitops.test_promote import MANIFEST

MERGE = {"Do": "merge"}


@pytest.fixture
def hosted(gitea):
    return gitea.repository(FILES)


@pytest.fixture
def login(gitea):
    return {"token_file": gitea.token_file, "ca_file": gitea.ca_file}


@pytest.fixture
def ask(hosted, login):
    def made(body="Because.", **other):
        evidence = Evidence(message="Tune vLLM in llama.yaml\n", title="Tune vLLM in llama.yaml", body=body)
        wish = PullRequestWish(forge=ForgeKind.GITEA)
        request = asked(hosted, other.pop("login", login), pull_request=wish, evidence=evidence, **other)
        return propose(request, pause=lambda _seconds: None)

    return made


def test_one_pull_request_from_opening_to_merge(ask, hosted):
    once = ask()
    assert once.reason is Reason.PROPOSED, once
    (one,) = hosted.pull_requests()
    assert (one["head"]["ref"], one["base"]["ref"], one["title"]) == (OURS, "main", "Tune vLLM in llama.yaml")
    assert one["head"]["sha"] == once.commit == hosted.tip(OURS)
    assert once.pull_request.url == one["html_url"]
    again = ask()
    assert (again.reason, again.commit, again.pull_request) == (Reason.UNCHANGED, once.commit, once.pull_request)
    hosted.gitea.call("PATCH", f"{hosted.api}/pulls/1", {"body": f"{one['body']}\n\nLooks good to me."})
    hosted.put(FILE, MANIFEST.replace("--port=8000", "--port=8001"))
    newer = ask("More.", parameters=seqs(224))
    assert newer.reason is Reason.PROPOSED
    assert newer.pull_request == once.pull_request
    assert (hosted.ahead(OURS), hosted.behind(OURS)) == (1, 0)
    (one,) = hosted.pull_requests()
    assert one["body"] == f"{marked('More.')}\n\nLooks good to me."
    wait_until("Gitea merges", lambda: hosted.gitea.call("POST", f"{hosted.api}/pulls/1/merge", MERGE) is None, 30)
    assert '"224"' in hosted.text(FILE)
    assert "--port=8001" in hosted.text(FILE)
    assert ask("More.", parameters=seqs(224)).reason is Reason.NOTHING_TO_DO
    assert hosted.pull_requests() == []
    assert ask("Newer.", parameters=seqs(240)).pull_request.number == 2


def test_what_people_closed_is_not_opened_again(ask, hosted):
    ask()
    hosted.gitea.call("PATCH", f"{hosted.api}/pulls/1", {"state": "closed"})
    assert ask().reason is Reason.PULL_REQUEST_CLOSED
    assert hosted.pull_requests() == []
    assert ask("More.", parameters=seqs(224)).pull_request.number == 2


def test_pull_requests_of_others_are_left_alone(ask, hosted):
    file = {"branch": "main", "new_branch": "theirs", "message": "theirs", "content": base64_of("a: 1\n")}
    hosted.gitea.call("POST", f"{hosted.api}/contents/a.yaml", file)
    hosted.gitea.call("POST", f"{hosted.api}/pulls", {"head": "theirs", "base": "main", "title": "Theirs", "body": "x"})
    hosted.gitea.call("POST", f"{hosted.api}/branches", {"new_branch_name": "release", "old_branch_name": "main"})
    ask()
    assert ask(base="release").pull_request.number == 3
    bodies = {one["number"]: one["body"] for one in hosted.pull_requests()}
    assert bodies == {1: "x", 2: marked("Because."), 3: marked("Because.")}


def test_a_branch_that_the_forge_protects(ask, hosted, login):
    before = hosted.tip("main")
    hosted.gitea.call("POST", f"{hosted.api}/branch_protections", {"rule_name": "main", "enable_push": False})
    outcome = propose(asked(hosted, login, branch="main"))
    assert outcome.reason is Reason.BRANCH_PROTECTED
    assert "main" in outcome.message
    assert hosted.tip("main") == before
    assert ask().reason is Reason.PROPOSED


@pytest.mark.parametrize(
    ("scopes", "reason"),
    [
        (("read:repository",), Reason.PERMISSION_DENIED),
        (("write:user",), Reason.PERMISSION_DENIED),
    ],
)
def test_a_token_that_may_not(ask, hosted, login, tmp_path, scopes, reason):
    hosted.gitea.new_token(tmp_path / "token", *scopes)
    outcome = ask(login=login | {"token_file": tmp_path / "token"})
    assert outcome.reason is reason
    assert hosted.branches() == ["main"]


def test_a_token_that_was_revoked(ask, hosted, login, tmp_path):
    (tmp_path / "token").write_text("0" * 40)
    outcome = ask(login=login | {"token_file": tmp_path / "token"})
    assert outcome.reason is Reason.AUTHENTICATION_FAILED
    assert hosted.branches() == ["main"]


def test_an_unknown_repository(ask, gitea):
    assert ask(repository=f"{gitea.url}/team/nowhere.git").reason is Reason.REPOSITORY_NOT_FOUND


def test_a_repository_that_takes_no_pull_requests(ask, hosted):
    hosted.gitea.call("PATCH", hosted.api, {"has_pull_requests": False})
    outcome = ask()
    assert not outcome.reason.succeeded
    assert outcome.commit == hosted.tip(OURS)
    hosted.gitea.call("PATCH", hosted.api, {"has_pull_requests": True})
    assert ask().pull_request.number == 1
