"""Mode Git: what a study recommends reaches production by its repository, and goes back the same way.

The operator is the real one with the rights that are shipped, the API server is real, and so is the server of Git (git
http-backend behind nginx, with a login and a private authority). Played here: the kubelet, which runs the Job's very
command, people who merge, and what syncs the repository to the cluster.
"""

import base64
import itertools
import json

import pytest
import yaml

from tests.apiserver.operator import git_pods
from tests.apiserver.operator.objects import study
from tests.apiserver.operator.test_promotion import assert_remembered
from tests.apiserver.operator.world import OOM, max_num_seqs
from tests.clusters import processes
from tests.gitserver import forges, servers

FILE = "apps/llama.yaml"
MANIFEST = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: llama
  labels: {app: llama}
  annotations: {argocd.argoproj.io/tracking-id: "shop:apps/Deployment:serving/llama"}
spec:
  replicas: 1
  selector:
    matchLabels: {app: llama}
  template:
    metadata:
      labels: {app: llama}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: vllm
        image: vllm/vllm-openai:v0.33.0
        args: [org/model, --port=8000, "--max-num-seqs=2"]  # of the team
"""
BRANCH = "sloguard/llama"


@pytest.fixture(scope="module")
def https(tmp_path_factory):
    folder, root = tmp_path_factory.mktemp("https"), tmp_path_factory.mktemp("repositories")
    with servers.nobodys_settings(tmp_path_factory.mktemp("home")):
        try:
            yield servers.start_https(folder, root)
        finally:
            processes.stop_all(folder)


@pytest.fixture
def hosted(https):
    https.let_in(servers.TOKEN)
    return servers.create(https.root, https.url, {FILE: MANIFEST})


@pytest.fixture
def forge(hosted, https):
    fake = forges.FakeGitHub(hosted, hosted.url.removeprefix(f"{https.url}/").removesuffix(".git"))
    serving = forges.Serving(fake, https)
    yield fake
    serving.close()
    assert fake.broken == []


@pytest.fixture
def shop(world, hosted, installed, https, tmp_path):
    """A namespace whose production is made from that repository."""
    world.git = ran_by(world, tmp_path)
    one = Shop(world, hosted, installed, https)
    one.sync()
    yield one
    one.holds()


def ran_by(world, tmp_path):
    """The pods of Jobs, each in a folder of its own."""
    folders = (tmp_path / f"pod-{number}" for number in itertools.count())

    def ran(pod):
        folder = next(folders)
        folder.mkdir()
        return git_pods.run(world, pod, folder)

    return ran


class Shop:
    def __init__(self, world, hosted, installed, https, *, syncs=True):
        self.world, self.hosted, self.installed, self.https = world, hosted, installed, https
        self.syncs, self.synced = syncs, ""

    def sync(self):
        """As a GitOps controller does it, whenever production's branch has moved."""
        tip = self.hosted.tip("main")
        if self.syncs and tip != self.synced:
            there = yaml.safe_load(self.hosted.text(FILE))
            there["metadata"]["namespace"] = self.world.namespace
            self.installed.apply(there)
            self.synced = tip

    def secret(self, **changes):
        content = {
            "repositories": f"{self.https.url}/team",
            "token": self.https.token_file.read_text(),
            "ca.crt": self.https.ca_file.read_text(),
        } | changes
        data = {name: base64.b64encode(text.encode()).decode() for name, text in content.items()}
        self.installed.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": "llama-git", "namespace": self.world.namespace},
                "data": data,
            }
        )

    def study(self, mode="Git", **git):
        """One candidate, not confirmed: as short as can be."""
        asked = {
            "repository": self.hosted.url,
            "file": {"path": FILE, "name": "llama", "container": "vllm"},
            "secretRef": {"name": "llama-git"},
        } | git
        promotion = {"mode": mode, "confirmations": 0, "git": asked}
        space = {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 10, "max": 10}}]}
        self.world.create("sloguardstudies", study(promotion=promotion, searchSpace=space, budget={"trials": 3}))

    def until(self, what, seconds=60):
        """Time goes on; what is on production's branch is synced."""

        def so():
            self.sync()
            return what()

        self.world.play(so, seconds, poke=True)

    @property
    def promotion(self):
        return self.world.status().get("promotion", {})

    def state(self):
        return self.promotion.get("state")

    def merged(self, branch=BRANCH):
        self.hosted.git("update-ref", "refs/heads/main", self.hosted.tip(branch))

    def jobs(self):
        return [job for job in self.world.items("jobs") if job["metadata"]["labels"].get("sloguard.dev/role") == "git"]

    def holds(self):
        """Whatever happened: production is nobody's but the repository's."""
        managers = {entry["manager"] for entry in self.world.get("deployments", "llama")["metadata"]["managedFields"]}
        assert "sloguard" not in managers
        assert "finalizers" not in self.world.study()["metadata"]


def test_a_direct_commit_is_synced_and_verified(shop, hosted):
    shop.secret()
    shop.study(base="main")
    shop.until(lambda: shop.state() == "Promoted")
    assert hosted.text(FILE) == MANIFEST.replace("--max-num-seqs=2", "--max-num-seqs=10")
    assert shop.promotion["git"]["commit"] == hosted.tip("main")
    assert hosted.ahead("main", hosted.tip("main") + "~1") == 1
    assert "Found by study s, trial s-2-1" in hosted.git("log", "-1", "--format=%B", "main").replace("\n", " ")
    assert shop.world.phase() == "Completed"
    assert shop.promotion["previousArguments"] == ["org/model", "--port=8000", "--max-num-seqs=2"]
    assert len(shop.jobs()) == 1


def test_a_request_is_merged_by_people_and_the_operator_may_die_meanwhile(shop, https, forge, operator):
    shop.secret(repositories=f"{https.url}/team\nhttps://127.0.0.1:{forge.port}/api\n")
    api = f"https://127.0.0.1:{forge.port}/api/v3"
    shop.study(branch=BRANCH, pullRequest={"forge": "GitHub", "api": api})
    shop.until(lambda: shop.state() == "Proposed")
    (request,) = forge.open_ones()
    assert "| `max_num_seqs` | `2` | `10` |" in request["body"]
    assert shop.promotion["git"]["pullRequest"].endswith(f"/pull/{request['number']}")
    shown = shop.installed.kubectl("get", "slostudy", "s", "-n", shop.world.namespace, "-o", "wide")
    assert shop.promotion["git"]["pullRequest"] in shown
    assert shop.world.condition("Ready")["reason"] == "AwaitingMerge"
    assert shop.world.container()["args"][-1] == "--max-num-seqs=2"
    operator.kill()
    shop.merged()
    request["open"], request["merged"] = False, "2026-03-02T12:00:00Z"
    shop.sync()
    operator.start()
    shop.until(lambda: shop.state() == "Promoted")
    assert len(forge.requests) == 1
    assert len(shop.jobs()) == 1


def test_what_fails_in_production_is_reverted_where_it_came_from(shop, hosted):
    shop.world.production = lambda arguments: OOM if max_num_seqs(arguments) != 2 else None
    shop.secret()
    shop.study(base="main")
    shop.until(lambda: shop.state() == "RolledBack")
    assert hosted.text(FILE) == MANIFEST
    assert shop.world.stalled("PromotionRolledBack")
    git = shop.promotion["git"]
    assert [git["commit"], git["revertCommit"]] == hosted.git("rev-parse", "main~1", "main").split()
    said = hosted.git("log", "-1", "--format=%B", "main")
    assert "Revert: tune vLLM in llama.yaml" in said
    assert "OOMKilled" in said
    assert_remembered(shop.world)


def test_a_secret_is_shown_nowhere_but_where_it_says(shop, hosted, https):
    """Whoever may write a study names any server, and no token goes there."""
    shop.secret(repositories="https://git.example.com/team")
    asked = https.log()
    shop.study(base="main")
    shop.until(lambda: shop.world.stalled("RepositoryNotAllowed"))
    assert https.log() == asked, "nothing was asked of the server"
    assert "repositories" in shop.world.condition("Stalled")["message"]
    shop.secret()
    shop.world.patch("sloguardstudies", "s", {"spec": {"historyLimit": 50}})
    shop.until(lambda: shop.state() == "Promoted")
    assert shop.world.condition("Stalled")["status"] != "True"
    assert hosted.ahead("main", hosted.tip("main") + "~1") == 1


def test_a_secret_that_is_not_there_is_told(shop):
    shop.study(base="main")
    shop.until(lambda: shop.world.stalled("RepositoryNotAllowed"))
    assert "the Secret is not there" in shop.world.condition("Stalled")["message"]


def test_a_token_that_is_refused_is_told_and_stands_nowhere(shop, operator):
    shop.secret(token="wrong-t0ken")
    shop.study(base="main")
    shop.until(lambda: shop.world.stalled("AuthenticationFailed"))
    for shown in (json.dumps(shop.world.study()), operator.tail(), json.dumps(shop.world.items("events"))):
        assert "wrong-t0ken" not in shown


def test_the_operator_cannot_read_a_secret(access, namespace):
    rights = access.kubectl("auth", "can-i", "--list", "-n", namespace)
    assert "configmaps" in rights
    assert "secrets" not in rights


def test_its_job_is_admitted_where_pod_security_is_strictest(shop):
    label = "pod-security.kubernetes.io/enforce=restricted"
    shop.secret()
    shop.world.git = None
    shop.study(base="main")
    shop.until(lambda: shop.state() == "Proposing" and shop.jobs())
    (job,) = shop.jobs()
    shop.installed.kubectl("label", "namespace", shop.world.namespace, label)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "admitted", "namespace": shop.world.namespace},
        "spec": job["spec"]["template"]["spec"],
    }
    assert shop.installed.create(pod)["status"]["phase"] == "Pending"


def test_production_without_a_tracking_mark_is_promoted_all_the_same(world, shop, hosted):
    """Who syncs it need not be known."""
    world.patch("deployments", "llama", {"metadata": {"annotations": {"argocd.argoproj.io/tracking-id": None}}})
    shop.secret()
    shop.study(base="main")
    shop.until(lambda: shop.state() == "Promoted")
    assert "--max-num-seqs=10" in hosted.text(FILE)
