"""Where a Secret may be shown: to what it names itself, and to nobody whom a study names."""

import os

import pytest

from sloguard.api.v1alpha1 import Author, FileChange, ForgeKind, KnobName, PullRequestWish
from sloguard.gitops.remote.failure import ProposalError
from sloguard.gitops.remote.proposal import Evidence, Reason, Request, Settings
from sloguard.gitops.remote.secret import with_secret


def asked(repository="https://git.example.com/team/apps.git", api=None):
    wish = PullRequestWish(forge=ForgeKind.GITEA, api=api) if api is not None else None
    return Request(
        repository=repository,
        branch="sloguard/llama",
        changes=(FileChange(path="llama.yaml"),),
        settings=Settings(names=frozenset({KnobName.MAX_NUM_SEQS}), parameters={KnobName.MAX_NUM_SEQS: "8"}),
        evidence=Evidence(message="m", title="t"),
        author=Author(),
        proposer="n/s",
        pull_request=wish,
    )


@pytest.fixture(autouse=True)
def _environment(monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))


@pytest.fixture
def secret(tmp_path):
    def make(repositories, **keys):
        for name, text in {"repositories": repositories, "token": "t0ken", **keys}.items():
            (tmp_path / name.replace("__", "-")).write_text(text)
        return tmp_path

    return make


ALLOWED = [
    ("https://git.example.com/team/apps.git", "https://git.example.com/team/apps.git"),
    ("https://git.example.com/team/apps", "https://git.example.com/team/apps.git"),
    ("https://git.example.com/team/apps.git", "https://git.example.com/team/apps"),
    ("https://git.example.com/team", "https://git.example.com/team/apps.git"),
    ("https://git.example.com/team/", "https://git.example.com/team/apps.git"),
    ("https://git.example.com", "https://git.example.com/team/apps.git"),
    ("https://GIT.example.com:443/team", "https://git.example.com/team/apps.git"),
    ("# ours\n\nhttps://other.example.com\n https://git.example.com/team \n", "https://git.example.com/team/a.git"),
    ("git@git.example.com:team", "git@git.example.com:team/apps.git"),
    ("ssh://git@git.example.com/team", "ssh://git@git.example.com:22/team/apps.git"),
]


@pytest.mark.parametrize(("lines", "repository"), ALLOWED)
def test_what_it_names_it_is_shown_to(secret, lines, repository):
    found = with_secret(asked(repository), secret(lines))
    assert found.credentials.token_file.read_text() == "t0ken"


REFUSED = [
    ("", "https://git.example.com/team/apps.git"),
    ("https://git.example.com/team/apps", "https://git.example.com/team/apps-of-others.git"),
    ("https://git.example.com/team/apps", "https://git.example.com/team/other.git"),
    ("https://git.example.com/team", "https://git.example.com/teams/apps.git"),
    ("https://git.example.com/team", "https://git.example.com.evil.example/team/apps.git"),
    ("https://git.example.com/team", "https://evil.example/team/apps.git"),
    ("https://git.example.com/team", "https://git.example.com:8443/team/apps.git"),
    ("https://git.example.com/team", "https://git.example.com/team/../evil/apps.git"),
    ("https://git.example.com/team", "https://git.example.com/team/%2e%2e/evil/apps.git"),
    ("https://git.example.com/team", "https://git.example.com/team/..%2fevil/apps.git"),
    ("https://git.example.com/team", "https://git.example.com/team//evil/apps.git"),
    ("https://git.example.com/team", "https://git.example.com@evil.example/team/apps.git"),
    ("git@git.example.com:team", "git@evil.example:team/apps.git"),
    ("git@git.example.com:team", "root@git.example.com:team/apps.git"),
    ("git@git.example.com:team", "ssh://git@git.example.com/team/apps.git"),
    ("https://git.example.com/team", "ssh://git@git.example.com/team/apps.git"),
]


@pytest.mark.parametrize(("lines", "repository"), REFUSED)
def test_nobody_else(secret, lines, repository):
    with pytest.raises(ProposalError) as refused:
        with_secret(asked(repository), secret(lines))
    assert refused.value.reason is Reason.REPOSITORY_NOT_ALLOWED
    assert not refused.value.reason.may_pass
    assert "t0ken" not in str(refused.value)


def test_a_secret_that_names_nothing_is_for_nobody(tmp_path):
    (tmp_path / "token").write_text("t0ken")
    with pytest.raises(ProposalError, match="has no key repositories"):
        with_secret(asked(), tmp_path)


def test_a_line_that_is_none_is_told(secret):
    with pytest.raises(ProposalError, match="neither HTTPS nor SSH"):
        with_secret(asked(), secret("http://git.example.com"))


def test_the_forge_that_a_study_names_gets_the_token_too(secret):
    folder = secret("https://git.example.com")
    with_secret(asked(api=""), folder)
    with_secret(asked(api="https://git.example.com/api/v1"), folder)
    with pytest.raises(ProposalError, match=r"evil\.example"):
        with_secret(asked(api="https://evil.example/api/v1"), folder)


def test_what_it_holds_is_used_and_what_it_lacks_is_not(secret):
    folder = secret("https://git.example.com", signing__key="k", known_hosts="h", https_proxy="http://u:p@proxy:3128\n")
    credentials = with_secret(asked(), folder).credentials
    assert credentials.signing_key_file == folder / "signing-key"
    assert credentials.known_hosts_file == folder / "known_hosts"
    assert credentials.ssh_key_file is credentials.ca_file is credentials.username_file is None
    assert os.environ["https_proxy"] == "http://u:p@proxy:3128"
