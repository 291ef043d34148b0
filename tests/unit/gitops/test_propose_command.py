"""`sloguard propose`, up to where it would speak to a server."""

import hashlib
import json

import pytest
from click.testing import CliRunner

from sloguard.cli import main
from sloguard.gitops.propose_command import LIMIT_BYTES, fitting
from sloguard.gitops.remote.proposal import Outcome, PullRequest, Reason
from tests.unit.gitops.test_secret import asked


@pytest.fixture
def files(tmp_path):
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "repositories").write_text("https://other.example.com/team\n")
    (tmp_path / "secret" / "token").write_text("t0ken")
    text = asked().model_dump_json(by_alias=True)
    (tmp_path / "request.json").write_text(text)
    return tmp_path, hashlib.sha256(text.encode()).hexdigest()


def run(folder, digest):
    options = [str(folder / "request.json"), "--sha256", digest, "--secret", str(folder / "secret")]
    return CliRunner().invoke(main, ["propose", *options, "--output", str(folder / "outcome")])


def outcome(folder):
    return Outcome.model_validate_json((folder / "outcome").read_text())


def test_the_outcome_is_left_for_the_operator(files):
    folder, digest = files
    done = run(folder, digest)
    assert done.exit_code == 4
    assert outcome(folder).reason is Reason.REPOSITORY_NOT_ALLOWED
    assert "RepositoryNotAllowed" in done.stderr
    assert json.loads(done.stdout) == json.loads((folder / "outcome").read_text())


def test_a_request_that_somebody_else_wrote_is_refused(files):
    folder, digest = files
    (folder / "request.json").write_text((folder / "request.json").read_text().replace('"8"', '"9"'))
    run(folder, digest)
    assert outcome(folder).reason is Reason.INVALID_REQUEST
    assert "not the request that this was started for" in outcome(folder).message


@pytest.mark.parametrize("text", ["", "{}", "[1]", "\x00"])
def test_a_request_that_is_none_is_refused(files, text):
    folder, _ = files
    (folder / "request.json").write_text(text)
    run(folder, hashlib.sha256(text.encode()).hexdigest())
    assert outcome(folder).reason is Reason.INVALID_REQUEST


def test_it_fits_into_a_termination_message():
    long = Outcome(
        reason=Reason.PROPOSED,
        message="ü" * 5000,
        branch="b" * 200,
        commit="c" * 40,
        pull_request=PullRequest(url="https://git.example.com/pulls/7", number=7),
        notes=("n" * 3000,),
    )
    text = fitting(long)
    assert len(text.encode()) <= LIMIT_BYTES
    found = Outcome.model_validate_json(text)
    assert (found.commit, found.pull_request) == (long.commit, long.pull_request)
    assert found.message
    short = long.model_copy(update={"message": "ü"})
    assert Outcome.model_validate_json(fitting(short)) == short
