"""Where production's vLLM arguments stand, and how its rollout goes."""

import copy

import pytest

from sloguard.api.v1alpha1 import Target
from sloguard.cluster.target import command_line, gpus, rollout, target_state, template_hash, with_arguments
from sloguard.domain.arguments import ArgumentsError, split_command
from sloguard.engine.snapshot import Rollout, TargetProblem
from tests.unit.cluster.objects import LATER, T0, VLLM, deployment, pod, running, terminated

SHAPES = {
    "entrypoint with nothing": ({}, None, []),
    "entrypoint with flags": ({"args": ["--model", "org/m", "--x", "1"]}, None, ["--model", "org/m", "--x", "1"]),
    "entrypoint with a model": ({"args": ["org/m", "--x", "1"]}, None, ["org/m", "--x", "1"]),
    "entrypoint with a path": ({"args": ["/models/m", "--x=1"]}, None, ["/models/m", "--x=1"]),
    "entrypoint that is the command line": ({"args": ["serve", "org/m", "--x"]}, None, ["serve", "org/m", "--x"]),
    "all in args": ({"args": ["vllm", "serve", "m", "--x"]}, ["vllm", "serve"], ["m", "--x"]),
    "interpreter in args": (
        {"args": ["python3", "-m", "vllm.entrypoints.openai.api_server", "--model", "m"]},
        ["python3", "-m", "vllm.entrypoints.openai.api_server"],
        ["--model", "m"],
    ),
    "all in command": ({"command": ["vllm", "serve", "m", "--x", "2"]}, ["vllm", "serve"], ["m", "--x", "2"]),
    "command and args": ({"command": ["vllm", "serve"], "args": ["m", "--x"]}, ["vllm", "serve"], ["m", "--x"]),
    "model in command": ({"command": ["vllm", "serve", "m"], "args": ["--x"]}, ["vllm", "serve"], ["m", "--x"]),
    "split in the middle": ({"command": ["vllm"], "args": ["serve", "m", "--x"]}, ["vllm", "serve"], ["m", "--x"]),
    "by its path": ({"command": ["/usr/bin/vllm", "serve"], "args": ["m"]}, ["/usr/bin/vllm", "serve"], ["m"]),
    "under a supervisor": (
        {"command": ["tini", "--"], "args": ["vllm", "serve", "m", "--x"]},
        ["tini", "--", "vllm", "serve"],
        ["m", "--x"],
    ),
    "a module": (
        {"command": ["python3", "-m", "vllm.entrypoints.openai.api_server"], "args": ["--model", "m"]},
        ["python3", "-m", "vllm.entrypoints.openai.api_server"],
        ["--model", "m"],
    ),
    "a shell": ({"command": ["sh", "-c", "vllm serve m --x"]}, ["sh", "-c"], ["m", "--x"]),
    "a shell and its script": (
        {"command": ["/bin/bash", "-ec"], "args": ["exec vllm serve m"]},
        ["/bin/bash", "-ec"],
        ["m"],
    ),
    "a shell's path in args": (
        {"args": ["/bin/sh", "-c", "ulimit -n 65535\nvllm serve m --x '1' | tee log\n"]},
        ["/bin/sh", "-c"],
        ["m", "--x", "1"],
    ),
    "the simulator": ({"command": ["sloguard", "simulate", "m"]}, ["sloguard", "simulate"], ["m"]),
}
REFUSED = {
    "a shell and a file": {"command": ["/bin/bash", "/start.sh"]},
    "a shell in args": {"args": ["sh", "-c", "eval 'vllm serve m'"]},
    "a script": {"command": ["/start.sh"], "args": ["--max-num-seqs", "2"]},
    "another program": {"command": ["python3", "app.py"]},
    "another program in args": {"args": ["python3", "app.py"]},
    "the operator itself": {"command": ["sloguard", "operator"]},
}


def container(**fields):
    return {"name": "vllm", "image": "i"} | fields


@pytest.mark.parametrize("shape", SHAPES)
def test_arguments_are_found(shape):
    fields, command, arguments = SHAPES[shape]
    line = command_line(container(**fields))
    assert line.arguments == tuple(arguments)
    assert line.command == (None if command is None else tuple(command))


@pytest.mark.parametrize("shape", REFUSED)
def test_what_is_not_plainly_vllm_is_refused_with_a_reason(shape):
    with pytest.raises(ArgumentsError, match=r"through a shell|no vLLM server"):
        command_line(container(**REFUSED[shape]))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("change", ["same", "added", "last changed", "first changed", "none"])
def test_changed_arguments_are_read_back_and_start_the_same_program(shape, change):
    fields, _, _ = SHAPES[shape]
    before = container(**fields)
    old = command_line(before)
    first, *rest = old.arguments or ("m",)
    new = {
        "same": old.arguments,
        "added": (*old.arguments, "--max-num-seqs", "8"),
        "last changed": (*old.arguments[:-1], "changed"),
        "first changed": ("--flag", first, *rest),
        "none": (),
    }[change]
    after = with_arguments(before, new)
    assert command_line(after).arguments == new
    assert started(after) == started(before)
    assert after.keys() - {"args", "command"} == before.keys() - {"args", "command"}
    assert command_line(with_arguments(after, old.arguments)) == old


def started(one):
    """What starts the server, as the container runtime sees it: command before args."""
    words = [*(one.get("command") or ()), *(one.get("args") or ())]
    try:
        return split_command(words)[0]
    except ArgumentsError:
        return words[:2] if "-c" in words or "-ec" in words else []


def test_equal_arguments_leave_the_container_as_it_is():
    for fields, _, arguments in SHAPES.values():
        assert with_arguments(container(**fields), tuple(arguments)) == container(**fields)


@pytest.mark.parametrize("shape", ["model in command", "command and args", "split in the middle"])
def test_a_command_without_tuned_settings_stays(shape):
    fields, _, arguments = SHAPES[shape]
    after = with_arguments(container(**fields), (*arguments, "--max-num-seqs=8"))
    assert after["command"] == fields["command"]


def test_a_command_line_that_is_all_command_stays_so():
    after = with_arguments(container(command=["vllm", "serve", "m", "--x=1"]), ("m", "--x=2"))
    assert after == container(command=["vllm", "serve", "m", "--x=2"])


TARGET = Target(name="llama", container="vllm")
PROBLEMS = {
    "TargetNotFound": (None, "no Deployment llama"),
    "ContainerNotFound": (deployment(VLLM | {"name": "web"}), "can be one of: web"),
    "ArgumentsNotUnderstood": (deployment(VLLM | {"command": ["sh", "-c", "./go"], "args": []}), "through a shell"),
    "ArgumentsNotUnderstood ": (deployment(VLLM | {"args": ["m", "--config=/x.yaml"]}), "settings from /x.yaml"),
    "TargetIsCandidate": (deployment(metadata={"labels": {"sloguard.dev/study": "other"}}), "candidate of a study"),
}


@pytest.mark.parametrize("reason", PROBLEMS)
def test_a_target_that_cannot_be_tuned_says_why(reason):
    stored, says = PROBLEMS[reason]
    problem = target_state(stored, TARGET, [])
    assert isinstance(problem, TargetProblem)
    assert problem.reason == reason.strip()
    assert says in problem.message


def test_production_as_a_target():
    target = target_state(deployment(), TARGET, [])
    assert target.arguments == tuple(VLLM["args"])
    assert target.replicas == 2
    assert target.rollout == Rollout(complete=True)
    assert target.template_hash == template_hash(deployment(status={"replicas": 9}))
    assert target.template_hash != template_hash(deployment(VLLM | {"image": "other"}))


INCOMPLETE = {
    "not seen by the controller": deployment(metadata={"generation": 4}),
    "surge pods": deployment(status={"replicas": 3}),
    "old pods still there": deployment(status={"replicas": 3, "updatedReplicas": 2, "availableReplicas": 3}),
    "not all updated": deployment(status={"updatedReplicas": 1}),
    "not all available": deployment(status={"availableReplicas": 1}),
    "nothing said yet": deployment() | {"status": {}},
}
PAUSED = deployment(paused=True, status={"updatedReplicas": 0})
STUCK = {
    "conditions": [
        {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "has timed out"}
    ]
}
ARGUMENTS = tuple(VLLM["args"])


@pytest.mark.parametrize("why", INCOMPLETE)
def test_a_rollout_is_complete_only_when_every_replica_has_todays_template(why):
    assert rollout(INCOMPLETE[why], "vllm", ARGUMENTS, []) == Rollout(complete=False)


def test_a_deployment_without_replicas_field_has_one():
    whole = deployment(status={"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1})
    del whole["spec"]["replicas"]
    assert rollout(whole, "vllm", ARGUMENTS, []).complete


def test_a_paused_deployment_never_gets_there():
    state = rollout(PAUSED, "vllm", ARGUMENTS, [])
    assert not state.complete
    assert "kubectl rollout resume deployment/llama" in state.failure


def test_a_rollout_past_its_deadline_has_failed():
    assert rollout(deployment(status=STUCK), "vllm", ARGUMENTS, []).failure == "has timed out"


def test_a_deadline_of_an_earlier_template_says_nothing():
    stale = deployment(metadata={"generation": 4}, status=STUCK)
    assert rollout(stale, "vllm", ARGUMENTS, []).failure == ""


ENDED = terminated(1, "Error")
FAILED = {
    "ended": pod(ENDED, args=list(ARGUMENTS)),
    "restarted once": pod(running(LATER), last=ENDED, restarts=1, ready=True, args=list(ARGUMENTS)),
}
UNCONCERNED = {
    "ready": pod(running(), ready=True, args=list(ARGUMENTS)),
    "without statuses": pod(args=list(ARGUMENTS)),
    "of other arguments": pod(ENDED, args=["org/model"]),
    "being deleted": pod(ENDED, args=list(ARGUMENTS), deleted=LATER),
    "sidecar restarted": pod(ENDED, container="sidecar", args=list(ARGUMENTS)),
}


@pytest.mark.parametrize("how", FAILED)
def test_a_new_pod_that_does_not_stay_up_fails_the_rollout(how):
    assert rollout(deployment(), "vllm", ARGUMENTS, [FAILED[how]]).failure == (
        "pod p did not stay up: Error, exit code 1"
    )


def test_the_way_back_is_complete_though_a_pod_restarted_long_ago():
    """Production's own pods, which the rollback keeps, may have a past."""
    old = pod(running(T0), last=terminated(137, "OOMKilled"), restarts=3, ready=True, args=list(ARGUMENTS))
    assert rollout(deployment(), "vllm", ARGUMENTS, [old]).complete


@pytest.mark.parametrize("which", UNCONCERNED)
def test_other_pods_do_not_fail_it(which):
    assert rollout(deployment(), "vllm", ARGUMENTS, [UNCONCERNED[which]]) == Rollout(complete=True)


@pytest.mark.parametrize(
    ("resources", "number"),
    [
        ({}, 1),
        ({"limits": {"nvidia.com/gpu": "4"}}, 4),
        ({"limits": {"nvidia.com/gpu": 2}}, 2),
        ({"requests": {"nvidia.com/gpu": "2"}}, 2),
        ({"requests": {"nvidia.com/gpu": "0"}}, 1),
        ({"limits": {"nvidia.com/gpu": "1k"}}, 1000),
        ({"limits": {"nvidia.com/gpu": "many"}}, 1),
        ({"limits": {"amd.com/gpu": "8", "nvidia.com/mig-1g.5gb": "2", "rdma/hca": "4"}}, 10),
        ({"limits": {"memory": "1Gi"}, "requests": None}, 1),
    ],
)
def test_gpus_of_a_container(resources, number):
    assert gpus({"name": "vllm", "resources": resources}) == number
    assert gpus(None) == 1


def serving(changes=None, **fields):
    changed = copy.deepcopy(VLLM) | (changes or {})
    return target_state(deployment(changed, **fields), TARGET, []).serving_hash


SAME = {
    "scaled": deployment(replicas=9),
    "labelled": deployment(metadata={"labels": {"a": "b"}}),
    "restarted": deployment(
        template={
            "metadata": {"labels": {"app": "llama"}, "annotations": {"kubectl.kubernetes.io/restartedAt": "now"}},
            "spec": {"containers": [VLLM]},
        }
    ),
    "beside another": deployment(template={"spec": {"containers": [VLLM, {"name": "sidecar", "image": "x"}]}}),
    "with a probe": deployment(VLLM | {"livenessProbe": {"httpGet": {"path": "/health"}}}),
}


@pytest.mark.parametrize("name", SAME)
def test_what_leaves_the_server_as_it_is(name):
    assert target_state(SAME[name], TARGET, []).serving_hash == serving()


@pytest.mark.parametrize(
    "changes",
    [
        {"image": "vllm/vllm-openai:v0.34.0"},
        {"env": [{"name": "VLLM_ATTENTION_BACKEND", "value": "FLASHINFER"}]},
        {"resources": {"limits": {"nvidia.com/gpu": "2"}}},
    ],
)
def test_what_makes_another_server_of_it(changes):
    assert serving(changes) != serving()


def test_arguments_are_compared_by_themselves():
    assert serving({"args": ["org/other"]}) == serving()
