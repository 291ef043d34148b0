"""Prometheus' API, from a server that may be broken, hostile or guarded. tests/prometheus has the real one."""

import json
from datetime import UTC, datetime, timedelta

import click
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from click.testing import CliRunner

from sloguard.domain.increments import Series
from sloguard.measure import prometheus as module
from sloguard.measure.prometheus import Prometheus, PrometheusError, PrometheusSettings, quoted
from sloguard.measure.prometheus_options import prometheus_options

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class Stub:
    def __init__(self):
        self.answer = {"status": "success", "data": {"resultType": "vector", "result": []}}
        self.status = 200
        self.asked = []

    async def reply(self, request):
        self.asked.append((request.path, dict(await request.post()), request.headers.get("Authorization")))
        body = self.answer if isinstance(self.answer, bytes) else json.dumps(self.answer).encode()
        return web.Response(status=self.status, body=body, headers={"Location": "/elsewhere"})


@pytest.fixture
async def stub():
    one = Stub()
    app = web.Application()
    app.router.add_post("/{path:.*}", one.reply)
    async with TestServer(app) as server:
        one.url = str(server.make_url("/prefix/"))
        yield one


async def ask(stub, **settings):
    async with Prometheus(PrometheusSettings(stub.url, **settings)) as client:
        return await client.instant("up", NOW)


def vector(*results, kind="vector"):
    return {"status": "success", "data": {"resultType": kind, "result": [*results]}}


async def test_a_vector(stub):
    stub.answer = vector({"metric": {"__name__": "up", "pod": "a", "job": "j"}, "value": [1.5, "1"]})
    assert await ask(stub) == {Series("up", (("job", "j"), ("pod", "a"))): 1.0}
    assert stub.asked == [("/prefix/api/v1/query", {"query": "up", "time": f"{NOW.timestamp():.3f}"}, None)]


async def test_samples_that_are_no_number_are_left_out(stub):
    values = [[1, "1"], [2, "NaN"], [3, "+Inf"], [4, "7"]]
    stub.answer = vector({"metric": {"__name__": "vllm:prompt_tokens_total"}, "values": values}, kind="matrix")
    async with Prometheus(PrometheusSettings(stub.url)) as client:
        told = await client.samples('pod="a"', NOW - timedelta(seconds=60), NOW)
    assert told == {Series("vllm:prompt_tokens_total"): [(1.0, 1.0), (4.0, 7.0)]}
    (_, fields, _) = stub.asked[0]
    assert fields["query"].endswith(', pod="a"}[60001ms]')
    assert "vllm:time_to_first_token_seconds_bucket" in fields["query"]


async def test_the_token_is_read_at_each_request(stub, tmp_path):
    file = tmp_path / "token"
    file.write_text("first\n")
    async with Prometheus(PrometheusSettings(stub.url, token_file=file)) as client:
        await client.instant("up", NOW)
        file.write_text("second")
        await client.instant("up", NOW)
    assert [authorization for _, _, authorization in stub.asked] == ["Bearer first", "Bearer second"]
    file.unlink()
    with pytest.raises(PrometheusError, match=r"needs the token in .*, which cannot be read: No such file"):
        await ask(stub, token_file=file)


async def test_certificates_that_are_none(stub, tmp_path):
    (tmp_path / "ca").write_text("nonsense")
    with pytest.raises(PrometheusError, match=r"needs the certificates in .*, which cannot be used"):
        await ask(stub, ca_file=tmp_path / "ca")


@pytest.mark.parametrize(
    ("status", "answer", "said"),
    [
        (401, b"who are you", "answered HTTP 401: who are you; give a token that it takes"),
        (302, b"", "answered HTTP 302"),
        (200, b"<html>", "answered HTTP 200: <html>"),
        (200, b"[" * 100_000, "answered HTTP 200: "),
        (503, {"status": "error", "errorType": "timeout", "error": "query timed out"}, "HTTP 503: query timed out"),
        (200, {"status": "success"}, "answered what is no result of a query"),
        (200, vector({"metric": 7, "value": [1, "1"]}), "answered what is no result of a query"),
        (200, vector({"metric": {}, "value": ["x"]}), "answered what is no result of a query"),
        (200, vector(kind="scalar"), "a scalar where a vector was asked for"),
    ],
)
async def test_what_is_no_answer_is_told_in_a_sentence(stub, status, answer, said):
    stub.status, stub.answer = status, answer
    with pytest.raises(PrometheusError) as raised:
        await ask(stub)
    assert said in str(raised.value)
    assert str(raised.value).startswith(f"Prometheus at {stub.url.rstrip('/')} ")
    assert len(str(raised.value)) < 600


async def test_an_answer_without_end_is_given_up(stub, monkeypatch):
    monkeypatch.setattr(module, "ANSWER_LIMIT_BYTES", 2 * 1024 * 1024)
    stub.answer = b" " * 3 * 1024 * 1024
    with pytest.raises(PrometheusError, match="more than 2 MiB; choose a shorter window or fewer pods"):
        await ask(stub)


def test_text_cannot_leave_its_quotes():
    assert quoted('a"} or up{x="\\') == '"a\\"} or up{x=\\"\\\\"'


def settings_of(*arguments, **environment):
    told = []

    @click.command()
    @prometheus_options
    def command(prometheus):
        told.append(prometheus)

    result = CliRunner().invoke(command, arguments, env=environment)
    return told[0] if not result.exit_code else result.output


def test_settings_come_from_options_or_the_environment(tmp_path):
    assert settings_of() is None
    assert settings_of(SLOGUARD_PROMETHEUS_URL="") is None, "as the manifest has it"
    assert settings_of(SLOGUARD_PROMETHEUS_URL="http://p:9090").url == "http://p:9090"
    (tmp_path / "token").touch()
    given = settings_of("--prometheus-url=https://p/x", f"--prometheus-token-file={tmp_path / 'token'}")
    assert given == PrometheusSettings("https://p/x", token_file=tmp_path / "token")
    assert (
        settings_of("--prometheus-url=http://p", "--prometheus-pod-label=kubernetes_pod").pod_label == "kubernetes_pod"
    )


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        (
            "--prometheus-url=prometheus:9090",
            "is no address of a Prometheus; give one such as http://prometheus.monitoring:9090",
        ),
        ("--prometheus-url=http://p?x=1", "is no address"),
        ("--prometheus-pod-label=a-b", "cannot be the name of a label; use letters, digits and _"),
        ("--prometheus-token-file=/nowhere", "does not exist"),
    ],
)
def test_settings_that_make_no_sense(argument, said):
    assert said in " ".join(settings_of(argument).split())
