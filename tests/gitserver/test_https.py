"""What can go wrong by HTTPS: each ends in a reason and a sentence, with nothing changed and no secret told."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from sloguard.api.v1alpha1 import FileChange
from sloguard.gitops.remote.proposal import Reason
from sloguard.gitops.remote.propose import propose
from tests.gitserver.asked import FILE, FILES, OURS, asked, seqs
from tests.gitserver.proxy import Proxy
from tests.gitserver.servers import TOKEN, create, free_port
from tests.unit.gitops.test_promote import MANIFEST

needs_root = pytest.mark.skipif(
    os.geteuid() != 0 and os.environ.get("CI") != "true", reason="needs root, to mount a small disk"
)


def refused(request, hosted):
    """What came of it, without the branch and without the token in any word of it."""
    outcome = propose(request, pause=lambda _seconds: None)
    assert not outcome.reason.succeeded, outcome
    assert TOKEN not in outcome.model_dump_json()
    assert "Traceback" not in outcome.message
    assert hosted is None or hosted.branches() == ["main"]
    return outcome


def test_a_token_that_expired(hosted, login, https):
    https.let_in("another")
    outcome = refused(asked(hosted, login), hosted)
    assert outcome.reason is Reason.AUTHENTICATION_FAILED
    assert str(https.token_file) in outcome.message


def test_a_token_that_expires_between_look_and_push(hosted, login, https):
    """The file is read anew each time, since a Secret's volume is renewed in place."""
    assert propose(asked(hosted, login)).reason is Reason.PROPOSED
    https.let_in("renewed")
    https.token_file.write_text("renewed")
    try:
        assert propose(asked(hosted, login)).reason is Reason.UNCHANGED
    finally:
        https.token_file.write_text(TOKEN)


def test_no_token_where_one_is_asked_for(hosted, login):
    outcome = refused(asked(hosted, login | {"token_file": None}), hosted)
    assert outcome.reason is Reason.AUTHENTICATION_FAILED
    assert "no token's file was given" in outcome.message


def test_a_token_that_may_only_read(hosted, login):
    hosted.git("config", "http.receivepack", "false")
    assert refused(asked(hosted, login), hosted).reason is Reason.PERMISSION_DENIED


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "No such file"), (b"", "one line"), (b"a\nb\n", "one line"), (b"\xff\xfe", "ASCII")],
)
def test_a_token_file_that_holds_none(hosted, login, tmp_path, content, says):
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    outcome = refused(asked(hosted, login | {"token_file": file}), hosted)
    assert outcome.reason is Reason.CREDENTIALS_UNREADABLE
    assert str(file) in outcome.message
    assert says in outcome.message


def test_a_private_authority_that_is_not_known(hosted, login):
    outcome = refused(asked(hosted, login | {"ca_file": None}), hosted)
    assert outcome.reason is Reason.CERTIFICATE_UNTRUSTED
    assert "CA file" in outcome.message


def test_a_ca_file_without_certificates(hosted, login, https):
    outcome = refused(asked(hosted, login | {"ca_file": https.token_file}), hosted)
    assert outcome.reason is Reason.CREDENTIALS_UNREADABLE


def test_an_unknown_repository(hosted, login, https):
    outcome = refused(asked(hosted, login, repository=f"{https.url}/team/nowhere.git"), hosted)
    assert outcome.reason is Reason.REPOSITORY_NOT_FOUND
    assert "team/nowhere.git" in outcome.message


def test_an_unknown_base(hosted, login):
    outcome = refused(asked(hosted, login, base="trunk"), hosted)
    assert outcome.reason is Reason.BASE_NOT_FOUND
    assert "trunk" in outcome.message


def test_a_repository_without_a_commit(login, https):
    outcome = refused(asked(create(https.root, https.url, {}), login), None)
    assert outcome.reason is Reason.BASE_NOT_FOUND


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ((FileChange(path="nowhere.yaml"),), "nowhere.yaml: it is not in the repository"),
        ((FileChange(path="apps/other.yaml"),), "no container fits"),
        ((FileChange(path="apps"),), "it is a folder"),
        ((FileChange(path=FILE), FileChange(path="apps/other.yaml")), "no container fits"),
    ],
)
def test_a_file_that_cannot_be_changed(hosted, login, changes, says):
    outcome = refused(asked(hosted, login, changes=changes), hosted)
    assert outcome.reason is Reason.EDIT_REFUSED
    assert says in outcome.message


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"repository": "http://127.0.0.1/a/b.git"}, "neither HTTPS nor SSH"),
        ({"repository": f"https://me:{TOKEN}@127.0.0.1/a/b.git"}, "holds a password"),
        ({"repository": "https://127.0.0.1"}, "no address of a repository"),
        ({"repository": "just-a-word"}, "no address of a repository"),
        ({"repository": "git@127.0.0.1:a/b.git"}, "a key's file is needed"),
        ({"branch": "a..b"}, "no name for a branch"),
        ({"changes": (FileChange(path="."),)}, "from the repository's top"),
        ({"proposer": "two words"}, "one word"),
    ],
)
def test_a_request_that_cannot_be_tried(hosted, login, other, says):
    outcome = refused(asked(hosted, login, **other), hosted)
    assert outcome.reason is Reason.INVALID_REQUEST
    assert says in outcome.message


def test_a_server_that_is_down(hosted, login):
    outcome = refused(asked(hosted, login, repository=f"https://127.0.0.1:{free_port()}/a/b.git"), hosted)
    assert outcome.reason is Reason.NOT_REACHABLE
    assert outcome.reason.may_pass
    assert "Connection refused" in outcome.message


def test_a_name_that_nobody_knows(hosted, login):
    outcome = refused(asked(hosted, login, repository="https://git.sloguard.invalid/a/b.git"), hosted)
    assert outcome.reason is Reason.NOT_REACHABLE


@pytest.mark.parametrize("path", ["page", "broken"])
def test_an_address_that_is_no_git_server(hosted, login, https, path):
    outcome = refused(asked(hosted, login, repository=f"{https.url}/{path}"), hosted)
    assert outcome.reason is Reason.SERVER_FAILED


def test_a_token_is_never_sent_elsewhere(hosted, login, https):
    path = hosted.url.removeprefix(https.url)
    outcome = refused(asked(hosted, login, repository=f"{https.url}/elsewhere{path}"), hosted)
    assert outcome.reason is Reason.REPOSITORY_NOT_FOUND
    told = https.log("elsewhere")
    assert "GET" in told
    assert "Basic" not in told
    assert "Basic" in https.log()


@pytest.fixture
def through(monkeypatch):
    """A proxy, as the environment names it."""
    started = []

    def start(login="", named="", variable="HTTPS_PROXY"):
        started.append(Proxy(login))
        monkeypatch.setenv(variable, f"http://{named}{started[-1].address}")
        return started[-1]

    yield start
    for proxy in started:
        proxy.close()


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "all_proxy"])
def test_through_a_proxy(hosted, login, through, variable):
    proxy = through(variable=variable)
    assert propose(asked(hosted, login)).reason is Reason.PROPOSED
    assert set(proxy.tunnels) == {hosted.url.split("/")[2]}


def test_past_a_proxy(hosted, login, through, monkeypatch):
    proxy = through()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert propose(asked(hosted, login)).reason is Reason.PROPOSED
    assert proxy.tunnels == []


def test_a_proxy_with_a_login(hosted, login, through):
    proxy = through("me:p@ss", "me:p%40ss@")
    assert propose(asked(hosted, login)).reason is Reason.PROPOSED
    assert proxy.tunnels


def test_a_proxy_that_lets_nobody_through(hosted, login, through):
    through("me:right", "me:wrong@")
    outcome = refused(asked(hosted, login), hosted)
    assert outcome.reason is Reason.NOT_REACHABLE
    assert "proxy" in outcome.message
    assert "wrong" not in outcome.message


def test_a_hook_that_rejects(hosted, login):
    hosted.hook("pre-receive", f"printf '\\033[31mno: {TOKEN} \\342\\200\\256needs a ticket\\n' >&2; exit 1\n")
    outcome = refused(asked(hosted, login), hosted)
    assert outcome.reason is Reason.PUSH_REJECTED
    assert "needs a ticket" in outcome.message
    assert "pre-receive hook declined" in outcome.message
    assert outcome.message.isprintable()


def test_a_protected_branch(hosted, login):
    before = hosted.tip("main")
    hosted.hook("update", 'test "$1" = refs/heads/main && echo "GH006: Protected branch update failed" >&2 && exit 1\n')
    outcome = refused(asked(hosted, login, branch="main"), hosted)
    assert outcome.reason is Reason.BRANCH_PROTECTED
    assert "Protected branch update failed" in outcome.message
    assert "branch of its own" in outcome.message
    assert hosted.tip("main") == before


def test_a_branch_that_may_not_be_written_anew(hosted, login):
    hosted.git("config", "receive.denyNonFastForwards", "true")
    before = propose(asked(hosted, login)).commit
    hosted.commit({"new.yaml": "b: 2\n"})
    outcome = propose(asked(hosted, login, parameters=seqs(224)))
    assert outcome.reason is Reason.BRANCH_PROTECTED
    assert "non-fast-forward" in outcome.message
    assert hosted.tip(OURS) == before


@pytest.fixture
def small_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@needs_root
def test_a_server_whose_disk_is_full(https, login, small_disk):
    hosted = create(https.root, https.url, FILES)
    shutil.copytree(hosted.path, small_disk / "app.git")
    (https.root / "full").unlink(missing_ok=True)
    (https.root / "full").symlink_to(small_disk)
    hosted.path, hosted.url = small_disk / "app.git", f"{https.url}/full/app.git"
    filler = small_disk / "filler"
    fill(filler)
    outcome = refused(asked(hosted, login), hosted)
    assert outcome.reason is Reason.NO_SPACE, outcome
    hosted.git("fsck", "--strict")
    filler.unlink()
    assert propose(asked(hosted, login)).reason is Reason.PROPOSED


def fill(file):
    with file.open("wb", buffering=0) as opened:
        try:
            while opened.write(b"x" * 1024):
                pass
        except OSError:
            pass


def test_nothing_is_left_behind(hosted, login, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    propose(asked(hosted, login))
    refused(asked(hosted, login, base="trunk", branch="other"), None)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def results_here(tmp_path, monkeypatch):
    from tests.unit.gitops.test_promote import results

    results(tmp_path)
    monkeypatch.chdir(tmp_path)


def sloguard(*words, **variables):
    command = [sys.executable, "-m", "sloguard", "promote", "results", *map(str, words)]
    return subprocess.run(command, check=False, capture_output=True, text=True, env=os.environ | variables)


def options(hosted, https):
    return ["--repository", hosted.url, "--git", OURS, "--manifest", FILE, "--ca-file", https.ca_file]


@pytest.mark.usefixtures("results_here")
def test_from_the_command_line(hosted, https):
    done = sloguard(*options(hosted, https), "--token-file", https.token_file)
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert outcome["reason"] == "Proposed"
    assert outcome["commit"] == hosted.tip(OURS)
    assert "study s, trial s-3-1" in hosted.git("log", "-1", "--format=%B", OURS)
    again = sloguard(*options(hosted, https), "--token-file", https.token_file)
    assert json.loads(again.stdout) == outcome | {"reason": "Unchanged", "message": again.stderr.strip().rstrip(".")}
    failed = sloguard(*options(hosted, https))
    assert failed.returncode == 4
    assert "Error: AuthenticationFailed: " in failed.stderr
    assert json.loads(failed.stdout)["reason"] == "AuthenticationFailed"
    assert hosted.text(FILE) == MANIFEST


@needs_root
@pytest.mark.usefixtures("results_here")
def test_a_disk_here_that_is_full(hosted, https, small_disk):
    fill(small_disk / "filler")
    os.truncate(small_disk / "filler", (small_disk / "filler").stat().st_size - 16384)  # enough to begin with
    done = sloguard(*options(hosted, https), "--token-file", https.token_file, TMPDIR=str(small_disk))
    assert done.returncode == 4, done.stderr
    assert json.loads(done.stdout)["reason"] == "NoSpace"
    assert "give TMPDIR a larger volume" in done.stderr
    assert hosted.branches() == ["main"]
