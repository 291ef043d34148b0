"""One open pull request, by the API documents of GitHub and GitLab (forges.py)."""

import json
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sloguard.api.v1alpha1 import ForgeKind, PullRequestWish
from sloguard.gitops.remote.proposal import Evidence, Reason, Request
from sloguard.gitops.remote.propose import propose
from sloguard.gitops.remote.pull_request import BEGIN, END, marked, with_evidence
from tests.gitserver import forges
from tests.gitserver.asked import OURS, asked, seqs
from tests.gitserver.servers import TOKEN

FAKES = {ForgeKind.GITHUB: forges.FakeGitHub, ForgeKind.GITLAB: forges.FakeGitLab}
APIS = {ForgeKind.GITHUB: "/api/v3", ForgeKind.GITLAB: "/api/v4"}


@pytest.fixture(params=FAKES)
def kind(request):
    return request.param


@pytest.fixture
def forge(kind, hosted, https):
    fake = FAKES[kind](hosted, hosted.url.removeprefix(f"{https.url}/").removesuffix(".git"))
    serving = forges.Serving(fake, https)
    yield fake
    serving.close()
    assert fake.broken == []


@pytest.fixture
def wish(kind, forge):
    return PullRequestWish(forge=kind, api=f"https://127.0.0.1:{forge.port}{APIS[kind]}")


def evidence(body):
    return Evidence(message="Tune vLLM\n", title="Tune vLLM in llama.yaml", body=body)


@pytest.fixture
def ask(hosted, login, wish):
    def made(body="Because.", **other):
        request = asked(hosted, login, pull_request=wish, evidence=evidence(body), **other)
        return propose(request, pause=lambda _seconds: None)

    return made


def test_one_is_opened(ask, forge):
    outcome = ask()
    assert outcome.reason is Reason.PROPOSED
    (one,) = forge.open_ones()
    assert (one["branch"], one["base"], one["title"]) == (OURS, "main", "Tune vLLM in llama.yaml")
    assert "Because." in one["body"]
    assert outcome.pull_request.number == one["number"]
    assert outcome.pull_request.url.endswith(f"/{one['number']}")
    assert outcome.pull_request.url in outcome.message


def test_the_same_again_changes_nothing(ask, forge):
    once = ask()
    calls = forge.calls
    again = ask()
    assert again.reason is Reason.UNCHANGED
    assert (again.commit, again.pull_request) == (once.commit, once.pull_request)
    assert forge.calls == calls + 1
    assert len(forge.requests) == 1


def test_new_evidence_takes_the_place_of_the_old_and_of_nothing_else(ask, forge):
    ask()
    (one,) = forge.requests
    one["body"] = f"Reviewed by me.\n\n{one['body']}\n\nLGTM"
    assert ask("More reasons.", parameters=seqs(224)).reason is Reason.PROPOSED
    assert len(forge.requests) == 1
    assert one["body"] == f"Reviewed by me.\n\n{marked('More reasons.')}\n\nLGTM"


def test_after_a_merge_there_is_nothing_to_do(ask, forge, hosted):
    ask()
    hosted.git("update-ref", "refs/heads/main", OURS)
    forge.requests[0] |= {"open": False, "merged": "2026-01-01T00:00:00Z"}
    assert ask().reason is Reason.NOTHING_TO_DO
    assert ask(parameters=seqs(224)).reason is Reason.PROPOSED
    assert [one["number"] for one in forge.open_ones()] == [2]


def test_what_people_closed_is_not_opened_again(ask, forge, hosted):
    ask()
    forge.requests[0]["open"] = False
    again = ask()
    assert again.reason is Reason.PULL_REQUEST_CLOSED
    assert "Reopen it" in again.message
    assert again.commit == hosted.tip(OURS)
    assert ask("More reasons.", parameters=seqs(224)).pull_request.number == 2
    forge.requests[1] |= {"open": False, "merged": "2026-01-01T00:00:00Z"}
    assert ask("More reasons.", parameters=seqs(224)).pull_request.number == 3


def test_those_of_forks_are_not_ours(ask, forge, kind):
    if kind is ForgeKind.GITLAB:  # GitHub's list is asked for the owner's
        forge.add(OURS, "main", "a fork's", "", fork=True)
        ask()
        assert len(forge.open_ones()) == 2
        assert forge.requests[0]["body"] == ""


def test_somebody_who_is_faster(ask, forge):
    """Between the look and the opening."""
    listed = forge.list

    def list_once(query):
        answer = listed(query)
        if not forge.requests:
            forge.add(OURS, "main", "another's", marked("old"))
        return answer

    forge.list = list_once
    outcome = ask()
    assert outcome.pull_request.number == 1
    assert forge.requests[0]["body"] == marked("Because.")
    assert len(forge.requests) == 1


@pytest.mark.parametrize("base", ["", "main"])
def test_the_base_itself_is_never_committed_to_instead(ask, forge, hosted, base):
    before = hosted.tip("main")
    outcome = ask(branch="main", base=base)
    assert outcome.reason is Reason.INVALID_REQUEST
    assert "a branch of its own" in outcome.message
    assert hosted.tip("main") == before
    assert forge.calls == 0


@pytest.mark.parametrize(
    ("status", "said", "reason", "tells"),
    [
        (401, '{"message": "Bad credentials"}', Reason.AUTHENTICATION_FAILED, "Bad credentials"),
        (403, '{"message": "Resource not accessible"}', Reason.PERMISSION_DENIED, "Resource not accessible"),
        (403, '{"message": "API rate limit exceeded for user"}', Reason.SERVER_FAILED, "try again later"),
        (429, "{}", Reason.SERVER_FAILED, "try again later"),
        (404, '{"message": "Not Found"}', Reason.REPOSITORY_NOT_FOUND, "Not Found"),
        (301, "{}", Reason.REPOSITORY_NOT_FOUND, "moved"),
        (400, '{"error": "title is missing"}', Reason.PULL_REQUEST_REFUSED, "title is missing"),
        (502, "<html>Bad gateway</html>", Reason.SERVER_FAILED, "502"),
        (200, "<html>", Reason.SERVER_FAILED, "the API's address"),
        (200, '{"a": 1}', Reason.SERVER_FAILED, "the API's address"),
        (418, json.dumps({"message": f"no {TOKEN} \x1b[31m"}), Reason.PULL_REQUEST_REFUSED, "no ***"),
    ],
)
def test_what_is_refused_leaves_the_branch_and_is_gone_on_from(ask, forge, hosted, status, said, reason, tells):
    forge.refuse = (status, said)
    outcome = ask()
    assert outcome.reason is reason
    assert tells in outcome.message
    assert outcome.message.isprintable()
    assert TOKEN not in outcome.model_dump_json()
    assert outcome.commit == hosted.tip(OURS)
    forge.refuse = None
    again = ask()
    assert again.reason is Reason.UNCHANGED
    assert again.commit == outcome.commit
    assert len(forge.open_ones()) == 1


def test_a_forge_that_is_down(ask, wish, hosted, login):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    down = wish.model_copy(update={"api": f"https://127.0.0.1:{port}/api"})
    outcome = propose(asked(hosted, login, pull_request=down))
    assert outcome.reason is Reason.NOT_REACHABLE
    assert outcome.commit == hosted.tip(OURS)
    assert ask().reason is Reason.UNCHANGED


@pytest.mark.parametrize("api", ["http://127.0.0.1/api", "127.0.0.1"])
def test_an_api_that_anybody_could_read(hosted, login, wish, api):
    """No request is made of it, from whichever file or study it comes."""
    request = json.loads(asked(hosted, login, pull_request=wish).model_dump_json(by_alias=True))
    request["pullRequest"]["api"] = api
    with pytest.raises(ValidationError, match="no address of a forge's API"):
        Request.model_validate_json(json.dumps(request))


_TEXTS = st.text(max_size=40).map(lambda text: text.replace(BEGIN, "").replace(END, ""))


@given(before=_TEXTS, after=_TEXTS, old=_TEXTS, new=_TEXTS)
def test_what_people_wrote_around_it_stays(before, after, old, new):
    there = f"{before}{marked(old)}{after}"
    assert with_evidence(there, new) == f"{before}{marked(new)}{after}"
    assert with_evidence(with_evidence(there, new), new) == with_evidence(there, new)
    assert with_evidence(before, new) == before
