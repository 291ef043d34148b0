"""What a branch of the repository holds afterwards, whatever it held before."""

import threading

import pytest

from sloguard.api.v1alpha1 import FileChange, Shape
from sloguard.gitops.remote.proposal import Reason
from sloguard.gitops.remote.propose import propose
from tests.gitserver.asked import FILE, FILES, OURS, asked, seqs
from tests.gitserver.servers import create
from tests.unit.gitops.test_commit import changed_lines
from tests.unit.gitops.test_promote import MANIFEST, WANTED


def at_once(_seconds):
    """No pause between attempts."""


def proposed(request):
    return propose(request, pause=at_once)


def test_a_branch_with_one_commit_that_holds_the_change_and_nothing_else(hosted, login):
    outcome = proposed(asked(hosted, login))
    assert outcome.reason is Reason.PROPOSED
    assert hosted.branches() == ["main", OURS]
    assert outcome.commit == hosted.tip(OURS)
    assert (hosted.ahead(OURS), hosted.behind(OURS)) == (1, 0)
    assert hosted.git("diff", "--name-only", "main", OURS).split() == [FILE]
    assert changed_lines(hosted.git("diff", "main", OURS)) == changed_lines(WANTED)
    assert hosted.git("log", "-1", "--format=%an|%ce|%s", OURS).strip() == (
        "SLO-Guard|sloguard@example.com|Tune vLLM in llama.yaml"
    )
    hosted.git("fsck", "--strict")


def test_the_same_again_changes_nothing(hosted, login):
    once = proposed(asked(hosted, login))
    again = proposed(asked(hosted, login))
    assert again.reason is Reason.UNCHANGED
    assert again.commit == once.commit == hosted.tip(OURS)


@pytest.mark.parametrize("base", ["", "main"])
def test_a_direct_commit(hosted, login, base):
    before = hosted.tip("main")
    outcome = proposed(asked(hosted, login, branch="main", base=base))
    assert outcome.reason is Reason.COMMITTED
    assert hosted.git("rev-parse", "main^").strip() == before
    again = proposed(asked(hosted, login, branch="main", base=base))
    assert again.reason is Reason.NOTHING_TO_DO
    assert again.commit == hosted.tip("main") == outcome.commit


def test_what_the_base_has_already_needs_no_branch(hosted, login):
    proposed(asked(hosted, login, branch="main"))
    outcome = proposed(asked(hosted, login))
    assert outcome.reason is Reason.NOTHING_TO_DO
    assert hosted.branches() == ["main"]


def test_a_base_that_moved_under_the_open_branch(hosted, login):
    proposed(asked(hosted, login))
    hosted.commit({FILE: MANIFEST.replace("--port=8000", "--port=8001"), "new.yaml": "b: 2\n"})
    outcome = proposed(asked(hosted, login))
    assert outcome.reason is Reason.PROPOSED
    assert (hosted.ahead(OURS), hosted.behind(OURS)) == (1, 0)
    assert "--port=8001" in hosted.text(FILE, OURS)
    assert '"192"' in hosted.text(FILE, OURS)


def test_new_settings_take_the_place_of_the_old(hosted, login):
    proposed(asked(hosted, login))
    assert proposed(asked(hosted, login, parameters=seqs(224))).reason is Reason.PROPOSED
    assert (hosted.ahead(OURS), hosted.behind(OURS)) == (1, 0)
    assert '"224"' in hosted.text(FILE, OURS)


def test_what_somebody_added_to_the_branch_stays(hosted, login):
    proposed(asked(hosted, login))
    theirs = hosted.commit({"apps/other.yaml": "a: 2\n"}, branch=OURS)
    hosted.commit({"new.yaml": "b: 2\n"})
    assert proposed(asked(hosted, login)).reason is Reason.UNCHANGED
    assert hosted.tip(OURS) == theirs
    assert proposed(asked(hosted, login, parameters=seqs(224))).reason is Reason.PROPOSED
    assert hosted.git("rev-parse", f"{OURS}^").strip() == theirs
    assert '"224"' in hosted.text(FILE, OURS)
    assert hosted.text("apps/other.yaml", OURS) == "a: 2\n"
    assert proposed(asked(hosted, login, parameters=seqs(224))).reason is Reason.UNCHANGED


def test_what_somebody_amended_stays(hosted, login):
    proposed(asked(hosted, login))
    tree = hosted.git("rev-parse", "main^{tree}").strip()
    message = hosted.git("log", "-1", "--format=%B", OURS)
    amended = hosted.git("commit-tree", tree, "-p", "main", "-m", message).strip()
    hosted.git("update-ref", f"refs/heads/{OURS}", amended)
    proposed(asked(hosted, login))
    assert hosted.git("rev-parse", f"{OURS}^").strip() == amended


def test_a_change_that_the_moved_base_has_no_place_for(hosted, login):
    before = proposed(asked(hosted, login)).commit
    hosted.commit({FILE: None})
    outcome = proposed(asked(hosted, login))
    assert outcome.reason is Reason.BASE_CONFLICT
    assert FILE in outcome.message
    assert hosted.tip(OURS) == before


def test_the_branch_of_another_study_is_left_alone(hosted, login):
    before = proposed(asked(hosted, login)).commit
    outcome = proposed(asked(hosted, login, proposer="serving/other", parameters=seqs(8)))
    assert outcome.reason is Reason.BRANCH_TAKEN
    assert "serving/llama" in outcome.message
    assert hosted.tip(OURS) == before


@pytest.mark.parametrize("branch", [OURS, "main"])
def test_somebody_who_is_faster_once(hosted, login, branch, tmp_path):
    """The server itself moves the branch between look and push, as a push of somebody else would."""
    theirs = hosted.commit({"new.yaml": "b: 2\n"}, branch="theirs", start="main")
    hosted.hook("pre-receive", MOVES.format(once=tmp_path / "once", branch=branch, sha=theirs))
    outcome = proposed(asked(hosted, login, branch=branch))
    assert outcome.reason in {Reason.PROPOSED, Reason.COMMITTED}
    assert hosted.git("rev-parse", f"{branch}^").strip() == theirs
    assert hosted.text("new.yaml", branch) == "b: 2\n"


MOVES = """\
test -e {once} && exit 0
touch {once}
unset GIT_QUARANTINE_PATH
git update-ref refs/heads/{branch} {sha}
"""


def test_somebody_who_is_always_faster(hosted, login):
    hosted.hook("pre-receive", FASTER)
    outcome = proposed(asked(hosted, login, branch="main"))
    assert outcome.reason is Reason.PUSH_RACED
    assert outcome.reason.may_pass
    assert "try again later" in outcome.message
    assert hosted.text(FILE) == MANIFEST


FASTER = """\
unset GIT_QUARANTINE_PATH GIT_ALTERNATE_OBJECT_DIRECTORIES GIT_OBJECT_DIRECTORY
next=$(git -c user.name=a -c user.email=a@b commit-tree main^{tree} -p main -m faster)
git update-ref refs/heads/main $next
"""


def test_many_at_once_lose_nothing(https, login):
    """Six direct commits at the same time, each of another file."""
    files = {f"apps/{number}.yaml": MANIFEST for number in range(6)}
    hosted = create(https.root, https.url, files)
    outcomes = {}

    def commit(path):
        outcomes[path] = propose(asked(hosted, login, branch="main", changes=(FileChange(path=path),)))

    threads = [threading.Thread(target=commit, args=(path,)) for path in files]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path: outcome.reason for path, outcome in outcomes.items()} == dict.fromkeys(files, Reason.COMMITTED)
    assert hosted.git("rev-list", "--count", "main").strip() == "7"
    assert all('"192"' in hosted.text(path) for path in files)


def test_several_files_in_one_commit(https, login):
    values = "engine:\n  extraArgs: [--max-num-seqs=64]   # the team's\n"
    kustomization = (
        "patches:\n- patch: |\n    - op: replace\n      path: /spec/template/spec/containers/0/args\n"
        "      value: [--max-num-seqs=64]\n"
    )
    hosted = create(https.root, https.url, FILES | {"values.yaml": values, "over/kustomization.yaml": kustomization})
    changes = (
        FileChange(path=FILE),
        FileChange(path="values.yaml", shape=Shape.HELM_VALUES, values_path="engine.extraArgs"),
        FileChange(path="./over/", shape=Shape.KUSTOMIZE),
    )
    outcome = proposed(asked(hosted, login, changes=changes))
    assert outcome.reason is Reason.PROPOSED, outcome
    assert hosted.ahead(OURS) == 1
    assert hosted.git("diff", "--name-only", "main", OURS).split() == [FILE, "over/kustomization.yaml", "values.yaml"]
    hosted.git("fsck", "--strict")


def test_a_request_survives_its_way_to_a_job(hosted, login):
    request = asked(hosted, login)
    assert type(request).model_validate_json(request.model_dump_json()) == request
