"""`sloguard load`: measures one running server."""

import asyncio
import gc
import json
import os
import resource
import sys
from asyncio import AbstractEventLoop
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, TextIO, cast

import click
from pydantic import ValidationError

from sloguard.api.v1alpha1 import LoadResult, RateMeasurement
from sloguard.domain.goodput import RequestRecord

from .command_workload import fields_of_options, given_options, workload_options
from .encode import READABLE_SCALE, as_json, at_scale, encode
from .load import OnRate, run_load
from .request import LoadInputError, LoadRequest
from .vllm_bench import as_vllm_bench

ENVIRONMENT = "SLOGUARD_LOAD_REQUEST"
WRONG_INPUT = 2


class WrongInput(click.ClickException):
    """Exit code 2; the message says what to change."""

    exit_code = WRONG_INPUT


@click.command()
@click.option("--url", help="The server, such as http://127.0.0.1:8000; overrides the request's.")
@click.option("--model", help="Its model's name; asked of the server if not given.")
@click.option("--study", type=click.Path(exists=True, dir_okay=False), help="Take workload and SLOs of this study.")
@click.option("--request", type=click.Path(allow_dash=True), help="A LoadRequest as JSON; - is standard input.")
@workload_options
@click.option(
    "--output", type=click.Path(dir_okay=False), help="Write the result here (4 KiB), not to standard output."
)
@click.option(
    "--format",
    "output_format",
    type=click.Choice(["json", "vllm-bench"]),
    default="json",
    show_default=True,
    help="vllm-bench: a line for each rate with the field names of `vllm bench serve`, without the limit of 4 KiB.",
)
@click.option("--requests-output", type=click.Path(dir_okay=False), help="Write every request here, as JSON lines.")
@click.option("--generator", type=click.IntRange(min=0), help="Which of the workload's generators this is, from 0.")
@click.option("--ready-timeout-seconds", type=click.FloatRange(min=0), default=30.0, show_default=True)
def load(
    *,
    url: str | None,
    model: str | None,
    study: str | None,
    request: str | None,
    output: str | None,
    output_format: str,
    requests_output: str | None,
    generator: int | None,
    ready_timeout_seconds: float,
    **workload: Any,  # noqa: ANN401 - see workload_options
) -> None:
    """Send a workload to one server and hold its latencies against the SLOs.

    The workload comes from --study, --request or the environment variable SLOGUARD_LOAD_REQUEST, or is told by options
    such as --requests-per-second 10 --prompt-tokens 1024 --output-tokens 128 --slo TTFT-p99=500. Ends with 0 when there
    is a result, also where the server died: the result then says so. 2 means that the input was wrong.
    """
    overrides = {"url": url, "model": model, "generator": generator}
    what = _read_request(study, request, workload, overrides)
    # Opened first, since a result that cannot be written would be a load for nothing. In place: a termination log is a
    # mounted file that cannot be replaced.
    with _writable(output) as file, _writable(requests_output or os.devnull) as requests_file:
        result = _run(what, ready_timeout_seconds, requests_file)
        if output_format == "json":
            file.write(encode(result) if output else as_json(at_scale(result, READABLE_SCALE)) + "\n")
        else:
            file.writelines(json.dumps(line) + "\n" for line in as_vllm_bench(result, what.model))
    if output:  # for the log; what was written may be packed
        click.echo(as_json(result.model_copy(update={"sketches": [], "blocks": []})))


def _read_request(
    study: str | None, request: str | None, workload: dict[str, Any], overrides: dict[str, str | int | None]
) -> LoadRequest:
    used = given_options(workload)
    if used and (study or request):
        raise WrongInput(f"{used[0]} says what a request or a study says already; leave out the one or the other")
    try:
        told = fields_of_options(workload) if used else None
    except LoadInputError as error:
        raise WrongInput(str(error)) from error
    fields = told or (_fields_of_study(study) if study else _fields_of_request(request))
    fields |= {name: value for name, value in overrides.items() if value is not None}
    if "url" not in fields:
        raise WrongInput("no server is named; give --url")
    try:
        return LoadRequest.model_validate_json(json.dumps(fields))
    except ValidationError as error:
        raise WrongInput(f"the load request is not valid: {_told(error.errors())}") from error


def _fields_of_request(request: str | None) -> dict[str, Any]:
    text = _text_of(request) if request else os.environ.get(ENVIRONMENT)
    if text is None:
        raise WrongInput(
            f"nothing to measure; give --study, --request or the environment variable {ENVIRONMENT}, or tell the load "
            "by options: --requests-per-second 10 --prompt-tokens 1024 --output-tokens 128 --slo TTFT-p99=500"
        )
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WrongInput(f"{request or ENVIRONMENT} is not JSON: {error}") from error
    if not isinstance(fields, dict):
        raise WrongInput(f"{request or ENVIRONMENT} holds no JSON object")
    return cast("dict[str, Any]", fields)


def _text_of(path: str) -> str:
    try:
        return sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WrongInput(f"cannot read {path}: {error}") from error


def _fields_of_study(path: str) -> dict[str, Any]:
    from sloguard.api.loading import StudyFileError, load_study  # noqa: PLC0415 - a pod's load needs no YAML

    try:
        spec = load_study(Path(path)).spec
    except StudyFileError as error:
        raise WrongInput(str(error)) from error
    return {"workload": spec.workload.dump(), "slos": [slo.dump() for slo in spec.slos]}


def _told(errors: Sequence[Any]) -> str:
    return "; ".join(f"{'.'.join(map(str, error['loc'])) or 'request'}: {error['msg']}" for error in errors)


def _run(request: LoadRequest, ready_timeout_seconds: float, requests_file: TextIO) -> LoadResult:

    _allow_many_connections()
    gc.collect()
    # Young objects are looked at less often: requests leave next to no cycles, and a collection makes others late.
    gc.set_threshold(20_000, 50, 50)
    gc.freeze()  # what is loaded by now stays; collections during the load need not look at it
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(
                run_load(request, ready_timeout_seconds=ready_timeout_seconds, on_rate=_reporter(requests_file))
            )
    except LoadInputError as error:
        raise WrongInput(str(error)) from error


def _loop_factory() -> Callable[[], AbstractEventLoop] | None:
    try:
        import uvloop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


def _allow_many_connections() -> None:
    """The usual soft limit of 1,024 files would be a limit on open requests."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _writable(path: str | None) -> AbstractContextManager[TextIO]:
    if path is None:
        return nullcontext(sys.stdout)
    try:
        return Path(path).open("w", encoding="utf-8")
    except OSError as error:
        raise WrongInput(f"cannot write {path}: {error}") from error


def _reporter(file: TextIO) -> OnRate:
    def report(rate: RateMeasurement, records: Sequence[RequestRecord]) -> None:
        loop = "" if rate.users is None else f", closed loop of {rate.users} users"
        click.echo(
            f"{rate.rate_percent} %{loop}: {rate.good} of {rate.sent} requests good, "
            f"{_goodput(rate)} good tokens/s, SLOs {'met' if rate.slos_met else 'not met'}",
            err=True,
        )
        lines = (_line(rate.rate_percent, record) for record in records)
        file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        file.flush()

    return report


def _goodput(rate: RateMeasurement) -> str:
    """With the wider side of its 95 % confidence."""
    value, margin = rate.goodput_tokens_per_second, rate.goodput_margin_tokens_per_second
    return f"{value:.1f}" if margin is None else f"{value:.1f} \u00b1 {margin:.1f}"


def _line(percent: int, record: RequestRecord) -> dict[str, Any]:
    line: dict[str, Any] = {
        "ratePercent": percent,
        "dueMicroseconds": record.due_microseconds,
        "promptTokens": record.prompt_tokens,
        "wantedTokens": record.wanted_tokens,
        "ending": record.ending.value,
        "lagMicroseconds": record.lag_microseconds,
    }
    if not record.completed:
        return line | {"detail": record.detail}
    return line | {
        "ttftMicroseconds": record.ttft_microseconds,
        "e2eMicroseconds": record.e2e_microseconds,
        "gapsMicroseconds": record.gaps_microseconds.tolist(),
    }
