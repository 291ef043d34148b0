"""Requests as they leave for the API server, and what comes of its answers."""

import json
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web
from kubernetes.aio import client

from sloguard.cluster.api import DEPLOYMENTS, EVENTS, PODS, STUDIES, TRIALS, Api, RefusedError, UnreachableNodeError
from sloguard.cluster.workloads.leader_worker_set import LEADER_WORKER_SETS

STATUS = {"kind": "Status", "status": "Failure"}


def test_paths():
    assert STUDIES.path("prod", "s", "status") == "/apis/sloguard.dev/v1alpha1/namespaces/prod/sloguardstudies/s/status"
    assert PODS.path("prod") == "/api/v1/namespaces/prod/pods"
    assert TRIALS.path("") == "/apis/sloguard.dev/v1alpha1/sloguardtrials"


@pytest.mark.parametrize("name", ["../secrets/token", "a/b", "a?b=c", "a#b", "a%2fb", "ä"])
def test_a_name_stays_one_segment(name):
    path = DEPLOYMENTS.path("prod", name)
    assert path.startswith("/apis/apps/v1/namespaces/prod/deployments/")
    assert path.count("/") == 7
    assert not set("?#") & set(path)


@pytest.mark.parametrize("name", [".", ".."])
def test_a_name_is_no_way_up(name):
    with pytest.raises(ValueError, match="cannot be the name"):
        DEPLOYMENTS.path("prod", name)
    with pytest.raises(ValueError, match="cannot be the name"):
        DEPLOYMENTS.path(name, "d")


class Server:
    """Answers every request with the next of `answers` and keeps what it was asked."""

    def __init__(self):
        self.answers = []
        self.asked = []

    async def answer(self, request):
        body = await request.read()
        self.asked.append((request.method, request.raw_path, request.headers, body))
        status, answer = self.answers.pop(0)
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return web.Response(status=status, text=text, content_type="application/json")


@pytest.fixture
async def server(unused_tcp_port, monkeypatch):
    one = Server()
    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", one.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", unused_tcp_port).start()

    async def config():
        client.Configuration.set_default(client.Configuration(host=f"http://127.0.0.1:{unused_tcp_port}"))

    monkeypatch.setattr("sloguard.cluster.api._load_config", config)
    yield one
    await runner.cleanup()


@pytest.fixture
async def api(server):  # noqa: ARG001 - it has to listen first
    async with Api() as one:
        yield one


async def test_an_object_that_is_not_there_is_none(api, server):
    server.answers = [(404, STATUS | {"reason": "NotFound", "message": "gone"})]
    assert await api.get(STUDIES, "prod", "s") is None


async def test_a_refusal_says_what_the_server_said(api, server):
    server.answers = [(403, STATUS | {"reason": "Forbidden", "message": "deployments is forbidden: no"})]
    with pytest.raises(RefusedError, match=r"^403: deployments is forbidden: no$") as caught:
        await api.items(DEPLOYMENTS, "prod")
    assert (caught.value.status, caught.value.reason) == (403, "Forbidden")


@pytest.mark.parametrize("body", ["<html>Bad gateway</html>", "", "[]", '"text"', "null", '{"message": null}'])
async def test_a_refusal_in_other_words_is_still_one(body, api, server):
    server.answers = [(502, body)]
    with pytest.raises(RefusedError) as caught:
        await api.items(DEPLOYMENTS, "prod")
    assert caught.value.status == 502
    assert not caught.value.missing


async def test_created_already_is_told_from_other_conflicts(api, server):
    server.answers = [
        (201, {}),
        (409, STATUS | {"reason": "AlreadyExists", "message": 'deployments "d" already exists'}),
        (409, STATUS | {"reason": "Conflict", "message": "resourcequotas: the object has been modified"}),
    ]
    assert await api.create(DEPLOYMENTS, "prod", {}) == {}
    assert await api.create(DEPLOYMENTS, "prod", {}) is None
    with pytest.raises(RefusedError) as caught:
        await api.create(DEPLOYMENTS, "prod", {})
    assert caught.value.conflict


async def test_selectors_are_sent_as_they_are_meant(api, server):
    server.answers = [(200, {"items": []})]
    wanted = {"labels": "a=b,c in (d)", "fields": "involvedObject.uid=x y&z"}
    await api.items(EVENTS, "prod", **wanted)
    method, path, _, _ = server.asked[0]
    assert method == "GET"
    assert parse_qs(urlsplit(path).query) == {
        "labelSelector": [wanted["labels"]],
        "fieldSelector": [wanted["fields"]],
    }


async def test_an_apply_names_its_manager_and_its_kind(api, server):
    server.answers = [(200, {})]
    await api.apply(DEPLOYMENTS, "prod", "d", {"spec": {}})
    method, path, headers, body = server.asked[0]
    assert (method, path) == (
        "PATCH",
        "/apis/apps/v1/namespaces/prod/deployments/d?fieldManager=sloguard&force=true",
    )
    assert headers["Content-Type"] == "application/apply-patch+yaml"
    assert json.loads(body) == {"spec": {}}


async def test_a_status_is_written_at_the_version_that_was_read(api, server):
    server.answers = [(200, {"metadata": {"resourceVersion": "8"}})]
    stored = {"metadata": {"name": "s", "namespace": "prod", "resourceVersion": "7"}, "status": {"phase": "Pending"}}
    assert await api.replace_status(STUDIES, stored) == {"metadata": {"resourceVersion": "8"}}
    method, path, _, body = server.asked[0]
    assert (method, path.partition("?")[0]) == ("PUT", STUDIES.path("prod", "s", "status"))
    assert json.loads(body) == stored


async def test_deletion_takes_children_along_and_may_come_too_late(api, server):
    server.answers = [(404, STATUS)]
    await api.delete(DEPLOYMENTS, "prod", "d")
    assert json.loads(server.asked[0][3]) == {"propagationPolicy": "Background"}


async def test_what_took_the_name_of_another_is_not_deleted_for_it(api, server):
    server.answers = [(409, STATUS | {"reason": "Conflict", "message": "the UID in the precondition is another"})]
    with pytest.raises(RefusedError) as caught:
        await api.delete(PODS, "prod", "p", uid="uid-1")
    assert caught.value.conflict
    assert json.loads(server.asked[0][3]) == {"propagationPolicy": "Background", "preconditions": {"uid": "uid-1"}}


async def test_a_kind_may_not_be_installed(api, server):
    kinds = {"kind": "APIResourceList", "resources": [{"name": "leaderworkersets/status"}]}
    own = {"name": "leaderworkersets"}
    whole = kinds | {"resources": [own, *kinds["resources"]]}
    server.answers = [(404, "404 page not found"), (200, kinds), (200, whole), (500, STATUS)]
    assert [await api.serves(LEADER_WORKER_SETS) for _ in range(3)] == [False, False, True]
    assert server.asked[0][1] == "/apis/leaderworkerset.x-k8s.io/v1"
    with pytest.raises(RefusedError):
        await api.serves(LEADER_WORKER_SETS)


async def test_a_log_is_bounded_and_any_bytes_are_text(api, server):
    server.answers = [(200, "one\ntwo"), (400, STATUS)]
    assert await api.log("prod", "p", "vllm", previous=True, most_bytes=99) == "one\ntwo"
    path = server.asked[0][1]
    assert path.endswith("/pods/p/log?container=vllm&previous=true&tailLines=20000&limitBytes=99")
    assert await api.log("prod", "p", "vllm", previous=False, most_bytes=99) == ""
    assert api.requests == 2


async def test_a_kubelet_that_cannot_be_asked_is_told_from_a_log_that_is_gone(api, server):
    down = STATUS | {"message": "Get https://10.0.0.7:10250/containerLogs/prod/p/vllm: dial tcp: i/o timeout"}
    server.answers = [(404, STATUS | {"message": 'pods "p" not found'}), (500, down)]
    assert await api.log("prod", "p", "vllm", previous=False, most_bytes=99) == ""
    with pytest.raises(UnreachableNodeError, match="i/o timeout"):
        await api.log("prod", "p", "vllm", previous=False, most_bytes=99)


async def test_versions_are_read_page_by_page_and_without_contents(api, server):
    def page(more, *named):
        items = [{"metadata": {"namespace": "prod", "name": n, "resourceVersion": v}} for n, v in named]
        return 200, {"metadata": {"continue": more}, "items": items}

    server.answers = [page("next", ("a", "1"), ("b", "2")), page("", ("c", "3"))]
    assert await api.versions(STUDIES, "") == {("prod", "a"): "1", ("prod", "b"): "2", ("prod", "c"): "3"}
    assert [parse_qs(urlsplit(path).query).get("continue") for _, path, _, _ in server.asked] == [None, ["next"]]
    assert all("as=PartialObjectMetadataList" in headers["Accept"] for _, _, headers, _ in server.asked)
