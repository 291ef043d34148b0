"""A candidate is production's pod template with other vLLM arguments, and nothing of the study's besides."""

import copy
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sloguard.cluster import labels, render
from sloguard.cluster.target import command_line, find_container
from sloguard.engine.candidates import trial_name
from sloguard.measure.request import LoadRequest
from tests.unit.cluster.objects import VLLM, deployment, study, trial
from tests.unit.cluster.templates import templates

NEW = ("m", "--max-num-seqs=64", "--port=8000")
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LONGEST_NAME = 63
LONGEST_ARGUMENT = 128 * 1024
"""Linux' MAX_ARG_STRLEN, for one variable of the environment too."""


def candidate(production, arguments=NEW, one=None):
    return render.deployment(one or trial(), production, "vllm", arguments)


@settings(max_examples=150, deadline=None)
@given(templates())
def test_only_arguments_labels_and_probes_differ(template):
    production = deployment(template=template)
    before = copy.deepcopy(production)
    made = candidate(production)
    assert production == before, "the original was changed"
    new = made["spec"]["template"]
    old_pod, new_pod = production["spec"]["template"]["spec"], new["spec"]
    changing = {"containers", "terminationGracePeriodSeconds"}
    assert {k: v for k, v in new_pod.items() if k not in changing} == {
        k: v for k, v in old_pod.items() if k not in changing
    }
    grace = old_pod.get("terminationGracePeriodSeconds")
    assert new_pod.get("terminationGracePeriodSeconds") == (None if grace is None else min(grace, 30))
    assert [c["name"] for c in new_pod["containers"]] == [c["name"] for c in old_pod["containers"]]
    for old, other in zip(old_pod["containers"], new_pod["containers"], strict=True):
        if old["name"] == "vllm":
            check_serving(old, other)
        else:
            assert other == old
    kept = dict(production["spec"]["template"]["metadata"]["annotations"])
    kept.pop("kubectl.kubernetes.io/restartedAt", None)
    assert new["metadata"].get("annotations", {}) == kept
    assert new["metadata"].keys() <= {"labels", "annotations"}


OURS = {"command", "args", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle"}


def check_serving(old, new):
    assert {k: v for k, v in new.items() if k not in OURS} == {k: v for k, v in old.items() if k not in OURS}
    assert command_line(new).arguments == NEW
    assert command_line(new).command == command_line(old).command
    assert list(new["livenessProbe"]) == ["tcpSocket", *render.PATIENT], "what the kernel answers for a busy process"
    asked = {"httpGet", "exec", "grpc", "tcpSocket"}
    assert {k: new["startupProbe"][k] for k in asked & new["startupProbe"].keys()} == {
        k: new["readinessProbe"][k] for k in asked & new["readinessProbe"].keys()
    }
    probe = old.get("readinessProbe") or {"httpGet": {"path": "/health", "port": 8000}}
    assert {k: v for k, v in new["readinessProbe"].items() if k in asked} == {
        k: v for k, v in probe.items() if k in asked
    }
    hooks = {k: v for k, v in old.get("lifecycle", {}).items() if k != "preStop"}
    assert new.get("lifecycle", {}) == hooks


def test_no_probe_ends_a_start_or_a_load_before_the_study_does():
    longest = study(trial={"startupTimeoutSeconds": 7200}).spec.trial.startup_timeout_seconds
    (serving,) = candidate(deployment())["spec"]["template"]["spec"]["containers"]
    startup, liveness = serving["startupProbe"], serving["livenessProbe"]
    assert startup["periodSeconds"] * startup["failureThreshold"] > longest
    assert liveness["periodSeconds"] * liveness["failureThreshold"] >= 3600
    assert liveness["timeoutSeconds"] <= liveness["periodSeconds"]


@settings(max_examples=60, deadline=None)
@given(templates(), st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=3))
def test_nothing_of_production_selects_a_candidate(template, selector):
    """Its pods have none of the labels of production's, whatever these are; and so selectors find neither."""
    production = deployment(template=template)
    own = candidate(production)["spec"]["template"]["metadata"]["labels"]
    assert set(own) == {labels.MANAGED_BY, labels.STUDY, labels.TRIAL, labels.ROLE}
    theirs = template["metadata"]["labels"]
    assert not matches(theirs, own)
    assert not selector or not matches(selector, own)


def matches(selector, carried):
    return all(carried.get(key) == value for key, value in selector.items())


MARK = "evil"


@settings(max_examples=40, deadline=None)
@given(templates())
def test_nothing_of_the_studys_and_trials_texts_is_rendered(template):
    """Whatever a person can write into a study or a trial, besides numbers and the trial's own name, ends there."""
    marked = trial(
        reason=MARK,
        targetHash=MARK,
        metadata={
            "annotations": {MARK: MARK},
            "labels": {"sloguard.dev/study": "s", MARK: MARK},
            "finalizers": [MARK],
        },
        status={"message": MARK, "arguments": ["--port=8000"]},
    )
    one = study()
    meta = one.metadata.model_copy(
        update={"annotations": {MARK: MARK}, "labels": {MARK: MARK}, "finalizers": [f"{MARK}/x"]}
    )
    one = one.model_copy(update={"metadata": meta})
    production = deployment(template=template)
    rendered = [
        candidate(production, one=marked),
        render.service(marked, production, "vllm", NEW),
        render.load_job(marked, one, production, "image", "Never", starts_at=NOW),
    ]
    assert MARK not in json.dumps(rendered)


def test_the_server_is_selected_and_the_load_is_not():
    """Both are of the same trial."""
    one, production = trial(status={"arguments": list(NEW)}), deployment()
    server = candidate(production, one=one)
    load = render.load_job(one, study(), production, "image", "Never", starts_at=NOW)["spec"]["template"]["metadata"][
        "labels"
    ]
    pods = server["spec"]["template"]["metadata"]["labels"]
    for selector in (
        server["spec"]["selector"]["matchLabels"],
        render.service(one, production, "vllm", NEW)["spec"]["selector"],
    ):
        assert matches(selector, pods)
        assert not matches(selector, load)
        other = trial(number=3)
        assert not matches(selector, labels.labels("s", other.name, labels.SERVER))


def longest():
    study_name = "s" * 40
    one = trial(status={"arguments": list(NEW)})
    spec = one.spec.model_copy(update={"study": study_name, "number": 100_000, "attempt": 100})
    metadata = one.metadata.model_copy(update={"name": trial_name(study_name, spec.number, spec.attempt)})
    named = study().metadata.model_copy(update={"name": study_name})
    return one.model_copy(update={"spec": spec, "metadata": metadata}), study().model_copy(update={"metadata": named})


def test_names_and_labels_of_the_longest_legal_study_fit():
    one, its_study = longest()
    made = [
        candidate(deployment(), one=one),
        render.service(one, deployment(), "vllm", NEW),
        render.load_job(one, its_study, deployment(), "image", "Never", starts_at=NOW),
    ]
    for each in made:
        assert len(each["metadata"]["name"]) <= LONGEST_NAME
        assert all(len(v) <= LONGEST_NAME for v in each["metadata"]["labels"].values())


def test_children_belong_to_their_trial():
    one = trial()
    for each in (
        candidate(deployment()),
        render.service(one, deployment(), "vllm", NEW),
        render.load_job(one, study(), deployment(), "image", "Never", starts_at=NOW),
    ):
        (owner,) = each["metadata"]["ownerReferences"]
        assert owner == {
            "apiVersion": "sloguard.dev/v1alpha1",
            "kind": "SLOGuardTrial",
            "name": "s-2-1",
            "uid": "uid-s-2-1",
            "controller": True,
        }
        assert each["metadata"]["namespace"] == "prod"


def test_one_candidate_at_a_time_holds_the_gpu():
    spec = candidate(deployment(replicas=8))["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("container", "arguments", "port"),
    [
        ({}, ("m", "--port", "9000"), 9000),
        ({}, ("m", "--port=9001"), 9001),
        ({"ports": [{"containerPort": 8080}]}, ("m", "--port=$(PORT)"), 8080),
        ({"ports": [{"containerPort": 8080}]}, ("m",), 8080),
        ({}, ("m",), 8000),
    ],
)
def test_where_the_server_listens(container, arguments, port):
    assert render.port_of(container, arguments) == port


def load_job(one=None):
    stored = trial(status={"arguments": ["m", "--port=8000"]})
    return render.load_job(stored, one or study(), deployment(), "image:1", "Never", starts_at=NOW)["spec"]


def load_pod(one=None):
    return load_job(one)["template"]["spec"]


def request_of(pod):
    (variable,) = pod["containers"][0]["env"]
    return variable["value"]


def test_the_load_goes_to_the_candidates_own_service():
    request = LoadRequest.model_validate_json(request_of(load_pod()))
    assert request.url == "http://s-2-1.prod.svc:8000"
    assert request.workload == study().spec.workload
    assert request.slos == study().spec.slos


def test_one_generator_starts_when_it_can():
    assert "completions" not in load_job()
    assert "--generator" not in load_pod()["containers"][0]["command"]
    assert LoadRequest.model_validate_json(request_of(load_pod())).starts_at is None


def test_several_generators_are_one_indexed_job_and_begin_together():
    three = study(workload={"generators": 3})
    job, pod = load_job(three), load_pod(three)
    assert (job["completionMode"], job["completions"], job["parallelism"], job["backoffLimit"]) == ("Indexed", 3, 3, 0)
    assert pod["containers"][0]["command"][-2:] == ["--generator", "$(JOB_COMPLETION_INDEX)"]
    assert LoadRequest.model_validate_json(request_of(pod)).starts_at == NOW
    (apart,) = pod["topologySpreadConstraints"]
    assert apart["labelSelector"]["matchLabels"] == job["template"]["metadata"]["labels"]


def test_the_load_has_no_rights():
    pod = load_pod()
    assert pod["automountServiceAccountToken"] is False
    assert "serviceAccountName" not in pod
    assert pod["containers"][0]["securityContext"]["capabilities"] == {"drop": ["ALL"]}


def test_the_longest_trace_fits_a_variable_and_is_not_expanded_by_the_kubelet():
    entry = {"atMilliseconds": 9_999, "promptTokens": 1_000_000, "outputTokens": 1_000_000}
    arrival = {"pattern": "Trace", "trace": [entry] * 1000}
    workload = {"arrival": arrival}
    value = request_of(load_pod(study(workload=workload)))
    assert len(value) + 1000 * len("86390001") < LONGEST_ARGUMENT
    assert "$(" not in value


def test_production_of_the_tests_is_what_it_says():
    assert find_container(deployment(), "vllm") == VLLM


QUEUE = {"kueue.x-k8s.io/queue-name": "team", "kueue.x-k8s.io/priority-class": "low"}


@pytest.mark.parametrize("where", ["deployment", "template"])
def test_a_candidate_waits_in_the_queue_of_production(where):
    production = deployment()
    place = production if where == "deployment" else production["spec"]["template"]
    place["metadata"]["labels"] = {"app": "llama"} | QUEUE
    made = candidate(production)
    for given_labels in (made["metadata"]["labels"], made["spec"]["template"]["metadata"]["labels"]):
        assert QUEUE.items() <= given_labels.items()
        assert "app" not in given_labels
    assert not QUEUE.keys() & made["spec"]["selector"]["matchLabels"].keys()


def test_without_a_queue_no_label_of_productions_is_taken_over():
    production = deployment(metadata={"labels": {"kueue.x-k8s.io/priority-class": "low"}})
    assert "kueue" not in str(candidate(production))
