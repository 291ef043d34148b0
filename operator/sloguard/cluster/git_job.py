"""The Job that brings arguments to a repository: this program in the study's namespace, and what it came to. Pure.

The Job mounts the Secret that the study names; the operator never reads it, and has no right to. Which repositories
the Secret may be used for stands in the Secret, and the Job looks there before it says anything to anybody.
"""

import hashlib
import json

from sloguard.api.v1alpha1 import Study
from sloguard.cluster.evidence import container_of, ended_without, job_failure
from sloguard.cluster.labels import GIT, GIT_CONTAINER, MANAGED_BY, ROLE, STUDY, git_job_name
from sloguard.cluster.objects import Object, owned_by
from sloguard.cluster.records import kept_for_good, owner_of
from sloguard.domain.text import readable
from sloguard.engine.snapshot import GitJobEnd, GitJobState, SeenGitJob
from sloguard.gitops.remote.proposal import Outcome, Reason, Request
from sloguard.gitops.remote.secret import KEYS

REQUEST_FOLDER = "/etc/sloguard/request"
REQUEST_FILE = "request.json"
SECRET_FOLDER = "/etc/sloguard/secret"  # noqa: S105 - where it is mounted

LIMIT_SECONDS = 600
"""To pull the image, to fetch the repository's last commits, and to push."""

KEPT_SECONDS = 3600
"""For people to look at; what it came to is in the study's status then."""

RESOURCES = {"requests": {"cpu": "50m", "memory": "96Mi"}, "limits": {"memory": "512Mi"}}
ROOM = "256Mi"
"""For the last commits of two branches."""

JOB_FAILED = "GitJobFailed"


def request_map(study: Study, request: Request) -> Object:
    """The ConfigMap with the request. Its name says what is in it, so that another request is another object."""
    text = _text(request)
    name = f"{study.name}-git-{_digest(text)[:12]}"
    return kept_for_good(study, name, {REQUEST_FILE: text})


def git_job(study: Study, request: Request, number: int, image: str, pull_policy: str) -> Object:
    """`sloguard propose` without any right in the cluster; what it came to stays in the termination message."""
    git = study.spec.promotion.git
    assert git is not None, "without them nothing is asked for"
    own = {MANAGED_BY: "sloguard", STUDY: study.name, ROLE: GIT}
    command = ["sloguard", "propose", f"{REQUEST_FOLDER}/{REQUEST_FILE}", "--sha256", _digest(_text(request))]
    container = {
        "name": GIT_CONTAINER,
        "image": image,
        "imagePullPolicy": pull_policy,
        "command": [*command, "--secret", SECRET_FOLDER, "--output", "/dev/termination-log"],
        "env": [{"name": "TMPDIR", "value": "/tmp"}],  # noqa: S108 - a volume of its own
        "resources": RESOURCES,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [
            {"name": "request", "mountPath": REQUEST_FOLDER, "readOnly": True},
            {"name": "secret", "mountPath": SECRET_FOLDER, "readOnly": True},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - as above
        ],
    }
    # Of the Secret what is known and no more; where it lacks something, or is not there, the program says so.
    keys = [{"key": key, "path": key} for key in KEYS]
    request_name = request_map(study, request)["metadata"]["name"]
    pod: Object = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
        "volumes": [
            {"name": "request", "configMap": {"name": request_name}},
            {"name": "secret", "secret": {"secretName": git.secret_ref.name, "items": keys, "optional": True}},
            {"name": "tmp", "emptyDir": {"sizeLimit": ROOM}},
        ],
    }
    metadata = {
        "name": git_job_name(study.name, number),
        "namespace": study.metadata.namespace,
        "labels": own,
        "ownerReferences": [owner_of(study)],
    }
    spec = {
        "backoffLimit": 0,
        "activeDeadlineSeconds": LIMIT_SECONDS,
        "ttlSecondsAfterFinished": KEPT_SECONDS,
        "template": {"metadata": {"labels": own}, "spec": pod},
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def seen_git_job(study: Study, job: Object | None, pods: list[Object]) -> SeenGitJob:
    """By the termination message of the Job's pod."""
    if job is None or not owned_by(job, study.metadata.uid or ""):
        return SeenGitJob()
    own = [pod for pod in pods if owned_by(pod, job["metadata"].get("uid", ""))]
    ends = (container_of(pod, GIT_CONTAINER).terminated for pod in own)
    ended = next((end for end in ends if end is not None), None)
    if ended is not None:
        return SeenGitJob(GitJobState.ENDED, _end_of(ended))
    why = job_failure(job, own)
    return SeenGitJob(GitJobState.ENDED, _failed(why)) if why else SeenGitJob(GitJobState.RUNNING)


def _end_of(ended: Object) -> GitJobEnd:
    try:
        outcome = Outcome.model_validate_json(ended.get("message") or "")
    except ValueError:
        return _failed(ended_without(ended, "outcome"))
    notes = "".join(f" ({readable(note)})" for note in outcome.notes)
    return GitJobEnd(
        succeeded=outcome.reason.succeeded,
        reason=outcome.reason.value,
        message=readable(outcome.message) + notes,
        may_pass=outcome.reason.may_pass,
        on_base=outcome.reason in {Reason.COMMITTED, Reason.NOTHING_TO_DO},
        declined=outcome.reason is Reason.PULL_REQUEST_CLOSED,
        branch=readable(outcome.branch),
        commit=readable(outcome.commit),
        pull_request=readable(outcome.pull_request.url) if outcome.pull_request is not None else "",
    )


def _failed(said: str) -> GitJobEnd:
    """It was ended, or could not begin: the next one may fare better."""
    return GitJobEnd(succeeded=False, reason=JOB_FAILED, message=said, may_pass=True)


def _text(request: Request) -> str:
    """The same for the same request, whatever order its sets are in."""
    dumped = request.dump() | {"settings": request.settings.dump() | {"names": sorted(request.settings.names)}}
    return json.dumps(dumped, sort_keys=True, ensure_ascii=False)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
