"""The Job of `promotion.mode: Git` as the operator renders it, its very command on what its volumes would hold."""

import base64
import itertools

import pytest
import yaml

from sloguard.api.v1alpha1 import PromotionState
from sloguard.cluster.git_job import git_job, request_map, seen_git_job
from sloguard.cluster.git_request import request_of
from sloguard.cluster.target import command_line
from sloguard.domain.arguments import same_arguments
from tests.apiserver.operator import git_pods
from tests.clusters.cache import wait_until
from tests.gitserver.asked import FILE, FILES
from tests.gitserver.proxy import Proxy
from tests.gitserver.servers import TOKEN, create
from tests.unit.cluster.objects import pod, trial
from tests.unit.cluster.promotions import GIT, promoting
from tests.unit.gitops.test_promote import MANIFEST

TRIALS = [trial(2, status={"phase": "Finished", "outcome": "Feasible", "goodputTokensPerSecond": 300})]
PLAIN = {key: value for key, value in GIT.items() if key != "pullRequest"}
MERGE = {"Do": "merge"}


class Stored:
    """What the pod's volumes are made from."""

    def __init__(self, config, secret):
        data = {name: base64.b64encode(text.encode()).decode() for name, text in secret.items()}
        self._objects = {"configmaps": config, "secrets": {"data": data}}

    def get(self, plural, _name):
        return self._objects[plural]


@pytest.fixture
def job(tmp_path):
    """What the operator sees of it in the end."""
    numbers = itertools.count(1)

    def made(secret, *, back=False, **git):
        number = next(numbers)
        state = PromotionState.REVERTING if back else PromotionState.PROPOSING
        study = promoting(state, number=number, git=PLAIN | git, message="pods did not stay up")
        request = request_of(study, TRIALS, back=back)
        rendered = git_job(study, request, number, "sloguard:test", "Never")
        rendered["metadata"]["uid"] = "j"
        folder = tmp_path / f"job-{number}"
        folder.mkdir()
        template = {"spec": rendered["spec"]["template"]["spec"]}
        ended = git_pods.run(Stored(request_map(study, request), secret), template, folder)
        state = {"terminated": ended | {"startedAt": "2026-03-02T12:00:00Z", "finishedAt": "2026-03-02T12:00:09Z"}}
        assert TOKEN not in (folder / "said").read_text()
        return seen_git_job(study, rendered, [pod(state, container="git", owner="j")]).end

    return made


def arguments(text):
    (container,) = yaml.safe_load(text)["spec"]["template"]["spec"]["containers"]
    return command_line(container).arguments


def secret_of(server, **more):
    return {
        "repositories": f"{server.url}/team",
        "token": server.token_file.read_text(),
        "ca.crt": server.ca_file.read_text(),
    } | more


def test_a_pull_request_and_its_revert(gitea, job):
    hosted = gitea.repository(FILES)
    secret, asked = secret_of(gitea), {"repository": hosted.url, "pullRequest": {"forge": "Gitea"}}
    first = job(secret, **asked)
    assert first.succeeded, first
    (one,) = hosted.pull_requests()
    assert first.pull_request == one["html_url"]
    assert first.commit == hosted.tip("sloguard/prod/s")
    assert "`s-2-1`" in one["body"]
    again = job(secret, **asked)
    assert (again.reason, again.commit, again.pull_request) == ("Unchanged", first.commit, first.pull_request)
    merge(hosted, 1)
    done = job(secret, **asked)
    assert (done.succeeded, done.on_base, done.reason) == (True, True, "NothingToDo")
    assert "192" in hosted.text(FILE)
    back = job(secret, back=True, **asked)
    (revert,) = hosted.pull_requests()
    assert back.pull_request == revert["html_url"]
    assert "pods did not stay up" in revert["body"]
    merge(hosted, 2)
    assert same_arguments(arguments(hosted.text(FILE)), arguments(MANIFEST))
    assert "# of the team" in hosted.text(FILE)


def merge(hosted, number):
    done = f"{hosted.api}/pulls/{number}/merge"
    wait_until("Gitea merges", lambda: hosted.gitea.call("POST", done, MERGE) is None, 30)


def test_what_people_close_is_an_answer(gitea, job):
    hosted = gitea.repository(FILES)
    asked = {"repository": hosted.url, "pullRequest": {"forge": "Gitea"}}
    job(secret_of(gitea), **asked)
    hosted.gitea.call("PATCH", f"{hosted.api}/pulls/1", {"state": "closed"})
    end = job(secret_of(gitea), **asked)
    assert end.declined
    assert not end.may_pass


def test_a_direct_commit_by_ssh_that_is_signed(ssh, job):
    hosted = create(ssh.root, ssh.url, FILES)
    secret = {
        "repositories": ssh.url,
        "ssh-privatekey": ssh.key.read_text(),
        "known_hosts": ssh.known_hosts.read_text(),
        "signing-key": ssh.key.read_text(),
    }
    author = {"name": "Größe & Söhne", "email": "bot@example.com"}
    end = job(secret, repository=hosted.url, base="main", author=author)
    assert (end.succeeded, end.on_base, end.commit) == (True, True, hosted.tip("main"))
    commit = hosted.git("cat-file", "commit", "main")
    assert "BEGIN SSH SIGNATURE" in commit
    assert "author Größe & Söhne <bot@example.com>" in commit
    assert job(secret, back=True, repository=hosted.url, base="main").on_base
    assert same_arguments(arguments(hosted.text(FILE)), arguments(MANIFEST))
    for lacks, reason in (("known_hosts", "InvalidRequest"), ("ssh-privatekey", "InvalidRequest")):
        end = job({k: v for k, v in secret.items() if k != lacks}, repository=hosted.url, base="main")
        assert (end.reason, end.may_pass) == (reason, False)
    stranger = ssh.host_line.replace(key_of(ssh.folder / "host.pub"), key_of(ssh.folder / "stranger.pub"))
    end = job(secret | {"known_hosts": stranger}, repository=hosted.url, base="main")
    assert (end.reason, end.may_pass) == ("HostKeyMismatch", False)


def key_of(file):
    return file.read_text().split()[1]


def test_a_secret_is_for_what_it_names(hosted, https, job):
    secret = secret_of(https, repositories="https://git.example.com/team")
    before = https.log()
    end = job(secret, repository=hosted.url, base="main")
    assert (end.reason, end.may_pass) == ("RepositoryNotAllowed", False)
    assert https.log() == before
    assert hosted.branches() == ["main"]


def test_an_expired_token(hosted, https, job):
    https.let_in("a-newer-token")
    end = job(secret_of(https), repository=hosted.url, base="main")
    assert (end.reason, end.may_pass) == ("AuthenticationFailed", False)


def test_a_server_that_is_down_is_waited_for(https, job):
    end = job(secret_of(https, repositories="https://127.0.0.1:1"), repository="https://127.0.0.1:1/a/b.git", base="m")
    assert (end.reason, end.may_pass) == ("NotReachable", True)


def test_through_the_proxy_that_the_secret_names(hosted, https, job):
    proxy = Proxy("me:pass")
    try:
        secret = secret_of(https, https_proxy=f"http://me:pass@{proxy.address}\n")
        assert job(secret, repository=hosted.url, base="main").on_base
        assert proxy.tunnels
        past = len(proxy.tunnels)
        assert job(secret | {"no_proxy": "127.0.0.1"}, back=True, repository=hosted.url, base="main").on_base
        assert len(proxy.tunnels) == past
    finally:
        proxy.close()


def test_a_protected_branch_in_the_server_s_words(hosted, https, job):
    hosted.hook("pre-receive", "echo 'remote: main is protected, ask the shop'; exit 1")
    end = job(secret_of(https), repository=hosted.url, base="main")
    assert not end.succeeded
    assert "ask the shop" in end.message
    assert not end.may_pass


def test_a_file_that_does_not_hold_it(hosted, https, job):
    end = job(secret_of(https), repository=hosted.url, base="main", file={"path": "apps/other.yaml"})
    assert end.reason == "EditRefused"
