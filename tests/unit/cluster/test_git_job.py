"""The Job of a promotion through Git: what it is asked, what it may, and what it came to."""

import hashlib
import json

import pytest

from sloguard.api.v1alpha1 import KnobName, PromotionState, ServedTraffic
from sloguard.cluster.git_job import git_job, request_map, seen_git_job
from sloguard.cluster.git_request import request_of
from sloguard.cluster.records import owner_of
from sloguard.engine.snapshot import GitJobState
from sloguard.gitops.remote.proposal import Outcome, PullRequest, Reason, Request
from sloguard.gitops.remote.secret import KEYS
from tests.unit.cluster.objects import pod, running, terminated, trial
from tests.unit.cluster.promotions import GIT, promoting

TRIALS = [
    trial(2, status={"phase": "Finished", "outcome": "Feasible", "goodputTokensPerSecond": 300}),
    trial(3, status={"phase": "Finished", "outcome": "Feasible", "goodputTokensPerSecond": 250}),
]


def made(study=None, number=1, *, back=False):
    study = study or promoting()
    request = request_of(study, TRIALS, back=back)
    return request_map(study, request), git_job(study, request, number, "sloguard:1", "IfNotPresent")


def pod_spec(job):
    return job["spec"]["template"]["spec"]


def test_it_is_asked_for_the_winner_among_what_production_set():
    request = request_of(promoting(), TRIALS, back=False)
    assert request.settings.parameters == {KnobName.MAX_NUM_SEQS: "192", KnobName.GPU_MEMORY_UTILIZATION: "0.93"}
    assert request.settings.names == {KnobName.MAX_NUM_SEQS, KnobName.GPU_MEMORY_UTILIZATION, KnobName.ENFORCE_EAGER}
    assert request.settings.measured == {KnobName.MAX_NUM_SEQS: "64", KnobName.ENFORCE_EAGER: "true"}
    assert not request.settings.may_narrow
    assert (request.base, request.branch, request.proposer) == ("", "sloguard/prod/s", "prod/s")
    assert "| `max_num_seqs` | `64` | `192` |" in request.evidence.body
    assert "`s-2-1`" in request.evidence.body
    assert "kubectl get slostudy s -n prod" in request.evidence.body


def test_the_way_back_puts_there_what_production_had():
    study = promoting(PromotionState.REVERTING, message="pods did not stay up", commit="c0ffee")
    study = study.model_copy(
        update={
            "status": study.status.model_copy(
                update={
                    "promotion": study.status.promotion.model_copy(
                        update={"since": ServedTraffic(requests=7, requests_per_minute=9)}
                    )
                }
            )
        }
    )
    request = request_of(study, TRIALS, back=True)
    assert request.settings.parameters == {KnobName.MAX_NUM_SEQS: "64", KnobName.ENFORCE_EAGER: "true"}
    assert request.settings.names == request_of(study, TRIALS, back=False).settings.names
    assert request.settings.may_narrow
    assert request.branch == "sloguard/prod/s-revert"
    for said in ("pods did not stay up", "c0ffee", "7 requests"):
        assert said in request.evidence.message


@pytest.mark.parametrize(
    ("git", "branch", "back"),
    [
        ({"base": "main"}, "main", "main"),
        ({"branch": "tuned"}, "tuned", "tuned-revert"),
        ({"base": "main", "pullRequest": {"forge": "GitHub"}}, "sloguard/prod/s", "sloguard/prod/s-revert"),
        ({"branch": "tuned", "pullRequest": {"forge": "GitHub"}}, "tuned", "tuned-revert"),
    ],
)
def test_where_it_goes(git, branch, back):
    study = promoting(git={k: v for k, v in GIT.items() if k != "pullRequest"} | git)
    assert request_of(study, TRIALS, back=False).branch == branch
    assert request_of(study, TRIALS, back=True).branch == back


def test_the_request_is_what_the_program_reads_and_checks():
    config, job = made()
    (text,) = config["data"].values()
    assert Request.model_validate_json(text) == request_of(promoting(), TRIALS, back=False)
    command = pod_spec(job)["containers"][0]["command"]
    assert hashlib.sha256(text.encode()).hexdigest() in command
    volumes = {volume["name"]: volume for volume in pod_spec(job)["volumes"]}
    assert volumes["request"]["configMap"]["name"] == config["metadata"]["name"]
    assert config["immutable"] is True


def test_the_same_request_is_the_same_object_and_another_is_another():
    first, again, other = made()[0], made()[0], made(back=True)[0]
    assert first == again
    assert first["metadata"]["name"] != other["metadata"]["name"]


def test_it_may_nothing_but_what_it_has_to():
    _, job = made()
    spec = pod_spec(job)
    (container,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert "serviceAccountName" not in spec
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert job["spec"]["backoffLimit"] == 0
    assert job["spec"]["activeDeadlineSeconds"]
    assert job["metadata"]["ownerReferences"] == [owner_of(promoting())]


def test_of_the_secret_it_sees_what_it_knows_and_no_more():
    volumes = {volume["name"]: volume for volume in pod_spec(made()[1])["volumes"]}
    secret = volumes["secret"]["secret"]
    assert secret["secretName"] == "llama-git"
    assert [item["key"] for item in secret["items"]] == list(KEYS)
    assert secret["optional"] is True


def test_names_stay_short():
    study = promoting()
    longest = study.model_copy(update={"metadata": study.metadata.model_copy(update={"name": "s" * 40})})
    config, job = made(longest, number=99_999)
    assert max(len(config["metadata"]["name"]), len(job["metadata"]["name"])) <= 63


JOB = {"metadata": {"name": "s-git-1", "uid": "j", "ownerReferences": [owner_of(promoting())]}}


def ended(outcome, code=0):
    message = outcome if isinstance(outcome, str) else outcome.model_dump_json(by_alias=True, exclude_none=True)
    state = terminated(code, "Completed" if code == 0 else "Error", message=message)
    return seen_git_job(promoting(), JOB, [pod(state, container="git", owner="j")])


def test_what_it_came_to_is_in_its_last_words():
    url = "https://git.example.com/team/apps/pulls/7"
    request = PullRequest(url=url, number=7)
    done = Outcome(reason=Reason.PROPOSED, message="m", branch="b", commit="c0ffee", pull_request=request)
    seen = ended(done)
    assert seen.state is GitJobState.ENDED
    end = seen.end
    assert (end.succeeded, end.on_base, end.commit, end.branch, end.pull_request) == (True, False, "c0ffee", "b", url)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (Reason.COMMITTED, (True, False, True, False)),
        (Reason.NOTHING_TO_DO, (True, False, True, False)),
        (Reason.UNCHANGED, (True, False, False, False)),
        (Reason.PERMISSION_DENIED, (False, False, False, False)),
        (Reason.NOT_REACHABLE, (False, True, False, False)),
        (Reason.PULL_REQUEST_CLOSED, (False, False, False, True)),
    ],
)
def test_what_follows_from_its_reason(reason, expected):
    end = ended(Outcome(reason=reason, message="m"), 0 if reason.succeeded else 4).end
    assert (end.succeeded, end.may_pass, end.on_base, end.declined) == expected
    assert end.reason == reason.value


def test_one_that_died_without_a_word_may_be_made_again():
    end = ended("", 137).end
    assert not end.succeeded
    assert end.may_pass
    assert "exit code 137" in end.message


def test_one_that_was_ended_may_be_made_again():
    failed = {"type": "Failed", "status": "True", "reason": "DeadlineExceeded", "message": "was active too long"}
    end = seen_git_job(promoting(), JOB | {"status": {"conditions": [failed]}}, []).end
    assert end.may_pass
    assert "DeadlineExceeded" in end.message


def test_words_that_a_terminal_would_obey_are_not_passed_on():
    end = ended(json.dumps({"reason": "PushRejected", "message": "no\x1b[31m\nway", "commit": "\x1b[0m"}), 4).end
    assert "\x1b" not in end.message + end.commit


def test_it_runs_until_it_has_ended_and_another_owner_s_is_none():
    assert seen_git_job(promoting(), JOB, [pod(running(), container="git", owner="j")]).state is GitJobState.RUNNING
    assert seen_git_job(promoting(), JOB, []).state is GitJobState.RUNNING
    assert seen_git_job(promoting(), None, []).state is GitJobState.ABSENT
    foreign = {"metadata": JOB["metadata"] | {"ownerReferences": []}}
    assert seen_git_job(promoting(), foreign, []).state is GitJobState.ABSENT
    stray = pod(terminated(0, "Completed", message="{}"), container="git", owner="another")
    assert seen_git_job(promoting(), JOB, [stray]).state is GitJobState.RUNNING
