"""The same by SSH, with OpenSSH's server."""

import subprocess
from pathlib import Path

import pytest

from sloguard.gitops.remote.proposal import Reason
from sloguard.gitops.remote.propose import propose
from tests.gitserver.asked import FILE, FILES, OURS, asked, seqs
from tests.gitserver.servers import create, free_port, run
from tests.gitserver.test_https import sloguard
from tests.unit.gitops.test_promote import results


@pytest.fixture
def hosted(ssh):
    return create(ssh.root, ssh.url, FILES)


@pytest.fixture
def login(ssh):
    return {"ssh_key_file": ssh.key, "known_hosts_file": ssh.known_hosts}


def refused(request, hosted):
    outcome = propose(request, pause=lambda _seconds: None)
    assert not outcome.reason.succeeded, outcome
    assert outcome.message.isprintable()
    assert hosted.branches() == ["main"]
    return outcome


def test_a_branch_is_made_and_kept_up_to_date(hosted, login):
    assert propose(asked(hosted, login)).reason is Reason.PROPOSED
    assert propose(asked(hosted, login)).reason is Reason.UNCHANGED
    hosted.commit({"new.yaml": "b: 2\n"})
    assert propose(asked(hosted, login, parameters=seqs(224))).reason is Reason.PROPOSED
    assert (hosted.ahead(OURS), hosted.behind(OURS)) == (1, 0)
    assert '"224"' in hosted.text(FILE, OURS)
    assert propose(asked(hosted, login, branch="main")).reason is Reason.COMMITTED
    hosted.git("fsck", "--strict")


def test_another_host_key_than_the_known_one(hosted, login, ssh, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text(ssh.host_line.replace(key_of(ssh.folder / "host.pub"), key_of(ssh.folder / "stranger.pub")))
    outcome = refused(asked(hosted, login | {"known_hosts_file": known}), hosted)
    assert outcome.reason is Reason.HOST_KEY_MISMATCH
    assert str(known) in outcome.message
    assert "somebody may be in between" in outcome.message


@pytest.mark.parametrize("lines", ["", "another.example.com ssh-ed25519 AAAA\n", "# nothing\n"])
def test_a_host_that_is_not_known(hosted, login, tmp_path, lines):
    known = tmp_path / "known_hosts"
    known.write_text(lines)
    outcome = refused(asked(hosted, login | {"known_hosts_file": known}), hosted)
    assert outcome.reason is Reason.HOST_KEY_UNKNOWN
    assert "ssh-keyscan" in outcome.message
    assert known.read_text() == lines


def test_hosts_that_are_hashed(hosted, login, ssh, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text(ssh.host_line)
    run("ssh-keygen", "-q", "-H", "-f", known)
    assert "127.0.0.1" not in known.read_text()
    assert propose(asked(hosted, login | {"known_hosts_file": known})).reason is Reason.PROPOSED


def test_marks_that_would_be_passed_over_are_refused(hosted, login, ssh, tmp_path):
    known = tmp_path / "known_hosts"
    known.write_text(f"@revoked {ssh.host_line}{ssh.host_line}")
    outcome = refused(asked(hosted, login | {"known_hosts_file": known}), hosted)
    assert outcome.reason is Reason.CREDENTIALS_UNREADABLE
    assert "@revoked" in outcome.message


def test_a_key_that_nobody_let_in(hosted, login, ssh):
    outcome = refused(asked(hosted, login | {"ssh_key_file": ssh.folder / "stranger"}), hosted)
    assert outcome.reason is Reason.AUTHENTICATION_FAILED
    assert "deploy key" in outcome.message


@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_keys_of_other_kinds(hosted, login, ssh, tmp_path, kind):
    run("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", tmp_path / "key")
    with (ssh.folder / "authorized").open("a") as authorized:
        authorized.write((tmp_path / "key.pub").read_text())
    assert propose(asked(hosted, login | {"ssh_key_file": tmp_path / "key"})).reason is Reason.PROPOSED


def test_a_key_with_a_passphrase(hosted, login, tmp_path):
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "passphrase", "-f", tmp_path / "key")
    outcome = refused(asked(hosted, login | {"ssh_key_file": tmp_path / "key"}), hosted)
    assert outcome.reason is Reason.CREDENTIALS_UNREADABLE
    assert "without a passphrase" in outcome.message


@pytest.mark.parametrize("content", [None, "", "not a key\n"])
def test_a_file_that_holds_no_key(hosted, login, tmp_path, content):
    if content is not None:
        (tmp_path / "key").write_text(content)
    outcome = refused(asked(hosted, login | {"ssh_key_file": tmp_path / "key"}), hosted)
    assert outcome.reason is Reason.CREDENTIALS_UNREADABLE


def test_an_unknown_repository(hosted, login, ssh):
    outcome = refused(asked(hosted, login, repository=f"{ssh.url}/team/nowhere.git"), hosted)
    assert outcome.reason is Reason.REPOSITORY_NOT_FOUND


def test_a_path_that_a_shell_would_run(hosted, login, ssh, tmp_path):
    address = f"{ssh.url}/x'; touch {tmp_path}/run; '.git"
    refused(asked(hosted, login, repository=address), hosted)
    assert not (tmp_path / "run").exists()


def test_a_server_that_is_down(hosted, login, ssh):
    port = free_port()
    outcome = refused(asked(hosted, login, repository=f"ssh://{ssh.user}@127.0.0.1:{port}/a/b.git"), hosted)
    assert outcome.reason is Reason.NOT_REACHABLE


def test_a_server_that_is_not_of_ssh(hosted, login, https, ssh):
    outcome = refused(asked(hosted, login, repository=f"ssh://{ssh.user}@127.0.0.1:{https.port}/a/b.git"), hosted)
    assert outcome.reason is Reason.NOT_REACHABLE


def test_a_hook_that_rejects(hosted, login):
    hosted.hook("pre-receive", "echo needs a ticket >&2; exit 1\n")
    outcome = refused(asked(hosted, login), hosted)
    assert outcome.reason is Reason.PUSH_REJECTED
    assert "needs a ticket" in outcome.message


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_signed_commit(hosted, login, tmp_path, kind):
    """As Git itself checks it."""
    key = tmp_path / "signing"
    run("ssh-keygen", "-q", "-t", kind, "-N", "", "-f", key)
    propose(asked(hosted, login))
    signing = login | {"signing_key_file": key}
    assert propose(asked(hosted, signing)).reason is Reason.PROPOSED
    assert propose(asked(hosted, signing)).reason is Reason.UNCHANGED
    (tmp_path / "signers").write_text(f"sloguard@example.com {Path(f'{key}.pub').read_text()}")
    checked = subprocess.run(
        ["git", "-C", hosted.path, "-c", f"gpg.ssh.allowedSignersFile={tmp_path}/signers", "verify-commit", OURS],
        check=True,
        capture_output=True,
        text=True,
    )
    assert "Good " in checked.stderr
    assert hosted.ahead(OURS) == 1


def key_of(public):
    return public.read_text().split()[1]


def test_from_the_command_line(hosted, ssh, tmp_path, monkeypatch):
    results(tmp_path)
    monkeypatch.chdir(tmp_path)
    options = ["--repository", hosted.url, "--git", OURS, "--manifest", FILE, "--ssh-key", ssh.key]
    done = sloguard(*options, "--known-hosts", ssh.known_hosts)
    assert done.returncode == 0, done.stderr
    assert hosted.ahead(OURS) == 1
    missing = sloguard(*options)
    assert missing.returncode == 2
    assert "--known-hosts" in missing.stderr
