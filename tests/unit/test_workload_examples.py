"""What examples/workloads.md shows is taken as it stands."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner

from sloguard.api.v1alpha1 import (
    Arrival,
    ArrivalPattern,
    LengthDistribution,
    Measurement,
    PromptFormat,
    Study,
    Workload,
)
from sloguard.cluster.labels import live_name
from sloguard.measure import command
from sloguard.measure.requests import RequestFactory
from sloguard.measure.trace import RecordedRequest
from tests.unit.api.studies import changed

PAGE = (Path(__file__).resolve().parents[2] / "examples" / "workloads.md").read_text()
BASE = {
    "arrival": {"pattern": "Poisson", "requestsPerMinute": 600},
    "promptTokens": {"mean": 512},
    "outputTokens": {"mean": 8},
}


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.MULTILINE | re.DOTALL)


PARTS = [yaml.safe_load(text) for text in blocks("yaml")]
LIVE = [part for part in PARTS if "measurement" in part]
ROUTES = [part for part in PARTS if "apiVersion" in part]


@pytest.mark.parametrize("part", [part for part in PARTS if part not in [*LIVE, *ROUTES]])
def test_each_workload_makes_requests(part):
    workload = Workload.model_validate(BASE | part)
    if workload.arrival.pattern is ArrivalPattern.FROM_PRODUCTION:
        workload = workload.model_copy(update={"arrival": Arrival(requests_per_minute=60)})  # as a Prometheus may say
    trace = [RecordedRequest(at, 10, 10) for at in range(600, 700)] if workload.arrival.trace_file else None
    stream = RequestFactory(workload, model="m", trace=trace).stream("100", percent=100, duration_seconds=60)
    assert next(stream).body()


def test_live_traffic_is_led_to_the_studys_service():
    (spec,), (route,) = LIVE, ROUTES
    study = Study.model_validate(changed({f"spec.{name}": value for name, value in spec.items()}))
    assert study.spec.measurement is Measurement.PROMETHEUS
    (mirror,) = route["spec"]["rules"][0]["filters"]
    assert mirror["requestMirror"]["backendRef"]["name"] == live_name(study.name)


@pytest.mark.parametrize("line", [line for text in blocks("sh") for line in text.replace("\\\n", " ").splitlines()])
def test_each_command_is_understood(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("AzureLLMInferenceTrace_conv.csv").touch()

    def understood(*_):
        raise command.WrongInput("understood")

    monkeypatch.setattr(command, "_run", understood)
    program, name, *arguments = shlex.split(line)
    result = CliRunner().invoke(command.load, arguments)
    assert (program, name) == ("sloguard", "load")
    assert "understood" in result.output


def test_every_pattern_and_distribution_is_shown():
    for shown in (ArrivalPattern, LengthDistribution, PromptFormat):
        assert [each.value for each in shown if each.value not in PAGE] == []
