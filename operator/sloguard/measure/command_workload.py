"""A load told by options alone, for a quick look at a server without a study's file."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from sloguard.api.v1alpha1 import ArrivalPattern, Metric, PromptFormat

from .request import LoadInputError

Fields = dict[str, Any]
Command = TypeVar("Command", bound=Callable[..., Any])

_PATTERNS: Final = ("Constant", "Poisson", "Gamma", "Trace", "ClosedLoop")
"""Others have settings that a study tells better."""

_FORMATS: Final = tuple(each.value for each in PromptFormat)
_FILE: Final = click.Path(exists=True, dir_okay=False)
_MINUTE_SECONDS: Final = 60
WARMUP_SECONDS: Final = 5
DURATION_SECONDS: Final = 30

_OPTIONS: Final = (
    click.option(
        "--pattern",
        type=click.Choice(_PATTERNS, case_sensitive=False),
        metavar="|".join(_PATTERNS),
        help="How requests arrive. Default: Gamma with --burstiness, Trace with --trace, ClosedLoop with --users, else "
        "Poisson.",
    ),
    click.option("--requests-per-second", type=click.FloatRange(min=1 / _MINUTE_SECONDS), metavar="RATE"),
    click.option("--requests-per-minute", type=click.IntRange(min=1), metavar="RATE"),
    click.option(
        "--burstiness",
        type=click.FloatRange(min=0.01),
        metavar="SHAPE",
        help="As of vllm bench serve: 1 is as Poisson, less comes in bursts, more is steadier.",
    ),
    click.option("--users", type=click.IntRange(min=1), help="Closed loop: so many wait for their answers."),
    click.option("--think-milliseconds", type=click.IntRange(min=0), help="Pause of a user between two requests."),
    click.option("--trace", type=_FILE, help="Replay recorded requests: JSONL or CSV, also Azure's and Mooncake's."),
    click.option("--replay-from-seconds", type=click.IntRange(min=0), help="Begin the trace here."),
    click.option("--replay-time-percent", type=click.IntRange(min=1), help="Recorded times take this share."),
    click.option("--replay-rate-percent", type=click.IntRange(min=1), help="So many requests for 100 recorded ones."),
    click.option("--prompt-tokens", metavar="LENGTH", help="1024, or 1024:256 (mean:stddev), or 100-2000 (uniform)."),
    click.option("--output-tokens", metavar="LENGTH", help="Likewise."),
    click.option("--prompts", type=click.Choice(_FORMATS, case_sensitive=False), metavar="|".join(_FORMATS)),
    click.option("--tokenizer", type=_FILE, help="The model's tokenizer.json, for --prompts Text or Chat."),
    click.option("--sweep-percent", metavar="50,100,150", help="Several rates, in % of the given one; 100 among them."),
    click.option("--warmup-seconds", type=click.IntRange(min=0), help=f"Default: {WARMUP_SECONDS}."),
    click.option("--duration-seconds", type=click.IntRange(min=1), help=f"Of each rate. Default: {DURATION_SECONDS}."),
    click.option("--seed", type=click.IntRange(min=0)),
    click.option(
        "--slo",
        multiple=True,
        metavar="METRIC-PERCENTILE=MILLISECONDS",
        help="Such as TTFT-p99=500, or TTFT=500 for p99; may be given several times.",
    ),
)


def workload_options(command: Command) -> Command:
    """Adds the options; their values reach the command by name."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def given_options(options: Mapping[str, Any]) -> list[str]:
    """The flags of those that were used."""
    return [f"--{name.replace('_', '-')}" for name, value in options.items() if value not in (None, ())]


def fields_of_options(options: Mapping[str, Any]) -> Fields:
    """The fields of a LoadRequest. Raises LoadInputError."""
    workload: Fields = {
        "arrival": _arrival(options),
        "promptTokens": _lengths(options, "prompt_tokens"),
        "outputTokens": _lengths(options, "output_tokens"),
        "prompts": _without_absent({"format": options["prompts"], "tokenizerFile": _absolute(options["tokenizer"])}),
        "sweepPercent": _sweep(options["sweep_percent"]),
        "warmupSeconds": _or(options["warmup_seconds"], WARMUP_SECONDS),
        "durationSeconds": _or(options["duration_seconds"], DURATION_SECONDS),
        "seed": options["seed"],
    }
    if not options["slo"]:
        raise LoadInputError("no SLO is given, so nothing could be called good; give --slo, such as --slo TTFT-p99=500")
    return {"workload": _without_absent(workload), "slos": [_slo(text) for text in options["slo"]]}


def _arrival(options: Mapping[str, Any]) -> Fields:
    pattern = options["pattern"] or _implied(options)
    rate = _requests_per_minute(options)
    if pattern == ArrivalPattern.FROM_PRODUCTION.value:
        raise LoadInputError("pattern FromProduction is resolved by the operator in a cluster; choose another pattern")
    if pattern == ArrivalPattern.LIVE.value:
        raise LoadInputError("pattern Live sends nothing, and a load has to; choose another pattern")
    if rate is None and pattern not in {ArrivalPattern.TRACE.value, ArrivalPattern.CLOSED_LOOP.value}:
        raise LoadInputError(f"pattern {pattern} needs a rate; give --requests-per-second or --requests-per-minute")
    burstiness = options["burstiness"]
    loop = {"users": options["users"], "thinkMilliseconds": options["think_milliseconds"]}
    replay = {
        "fromSeconds": options["replay_from_seconds"],
        "timePercent": options["replay_time_percent"],
        "ratePercent": options["replay_rate_percent"],
    }
    return _without_absent(
        {
            "pattern": pattern,
            "requestsPerMinute": rate,
            "burstinessPercent": None if burstiness is None else round(100 * burstiness),
            "closedLoop": _without_absent(loop) or None,
            "traceFile": _absolute(options["trace"]),
            "replay": _without_absent(replay) or None,
        }
    )


def _implied(options: Mapping[str, Any]) -> str:
    if options["trace"] is not None:
        return ArrivalPattern.TRACE.value
    if options["users"] is not None:
        return ArrivalPattern.CLOSED_LOOP.value
    return (ArrivalPattern.POISSON if options["burstiness"] is None else ArrivalPattern.GAMMA).value


def _requests_per_minute(options: Mapping[str, Any]) -> int | None:
    per_second, per_minute = options["requests_per_second"], options["requests_per_minute"]
    if per_second is not None and per_minute is not None:
        raise LoadInputError("--requests-per-second and --requests-per-minute are both given; keep one")
    return per_minute if per_second is None else round(per_second * _MINUTE_SECONDS)


def _lengths(options: Mapping[str, Any], name: str) -> Fields | None:
    text = options[name]
    if text is None:
        return None
    if found := re.fullmatch(r"(\d{1,7})-(\d{1,7})", text):
        return {"distribution": "Uniform", "min": int(found[1]), "max": int(found[2])}
    if found := re.fullmatch(r"(\d{1,7})(?::(\d{1,7}))?", text):
        return {"mean": int(found[1]), "stddev": int(found[2] or 0)}
    flag = f"--{name.replace('_', '-')}"
    raise LoadInputError(
        f"{flag} {text} is no length; write 1024, or 1024:256 for mean:stddev, or 100-2000 for both ends"
    )


def _sweep(text: str | None) -> list[int] | None:
    if text is None:
        return None
    if not re.fullmatch(r"\d{1,5}(,\d{1,5})*", text):
        raise LoadInputError(f"--sweep-percent {text} is no list of rates; write whole numbers, such as 50,100,150")
    return [int(percent) for percent in text.split(",")]


def _slo(text: str) -> Fields:
    found = re.fullmatch(r"([A-Za-z0-9]+)(?:-p(\d{1,3}))?=(\d{1,8})", text)
    metrics = {metric.value.casefold(): metric.value for metric in Metric}
    if found is None or found[1].casefold() not in metrics:
        known = ", ".join(metric.value for metric in Metric)
        raise LoadInputError(
            f"--slo {text} is no SLO; write METRIC-PERCENTILE=MILLISECONDS, such as TTFT-p99=500, of {known}"
        )
    return {
        "metric": metrics[found[1].casefold()],
        "percentile": int(found[2] or 99),
        "milliseconds": int(found[3]),
    }


def _absolute(path: str | None) -> str | None:
    return None if path is None else str(Path(path).absolute())


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def _without_absent(fields: Fields) -> Fields:
    return {name: value for name, value in fields.items() if value is not None}
