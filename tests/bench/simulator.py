"""The simulator against recordings of real vLLM 0.24.0 on H200s.

    python -m tests.bench.simulator [--quick] [--each]
    python -m tests.bench.simulator --http

Every recorded start is simulated, and every load sent to it again at the recorded times, in simulated time. Constants
were fitted without a random third of the recordings; both parts are printed. `--each` adds a line for every trial.
`--http` checks simulated time: the defaults' first loads once more, to a simulator in a process of its own.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.bench.percentiles import FIGURES, latencies
from tests.bench.recordings.derive import TABLE
from tests.bench.replay import Client, Load, Start, start
from tests.bench.replay_http import play_over_http

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SPLIT_SEED = 24  # of the third that no constant was fitted to
RATES = ("low", "mid", "top")
COMPARED = tuple(figure for figure in FIGURES if figure != "e2e_p50")  # it is TTFT and TPOT over again


@dataclass(frozen=True)
class Recorded:
    """The table: trials, and each land's loads by name."""

    trials: list[dict[str, Any]]
    loads: dict[tuple[str, str], Load]


@dataclass(frozen=True)
class Compared:
    """One trial, recorded and simulated; errors are relative to what was recorded."""

    name: str
    crashed: tuple[bool, bool]
    reason: tuple[str | None, str | None]
    errors: dict[str, float] = field(default_factory=dict)  # by figure, latencies as "mid ttft_p50"
    values: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def agrees(self) -> bool:
        return self.crashed[0] == self.crashed[1]


def recorded() -> Recorded:
    with gzip.open(TABLE, "rt") as file:
        lines = [json.loads(line) for line in file]
    # What a fault did that was injected from outside says nothing about a configuration.
    trials = [line for line in lines if line["kind"] == "trial" and "fault" not in line]
    return Recorded(trials, {(line["land"], line["name"]): Load.of(line) for line in lines if line["kind"] == "load"})


def held_out(trials: Iterable[Mapping[str, Any]]) -> set[str]:
    """Names of a random third of each land's trials."""
    source = random.Random(SPLIT_SEED)
    by_profile: dict[str, list[str]] = {}
    for trial in trials:
        by_profile.setdefault(trial["profile"], []).append(trial["name"])
    # Whatever order the trials come in; the larger model first.
    groups = [sorted(by_profile[profile]) for profile in sorted(by_profile, reverse=True)]
    return {name for names in groups for name in source.sample(names, len(names) // 3)}


def compare(trial: dict[str, Any], loads: dict[tuple[str, str], Load], *, simulate_loads: bool = True) -> Compared:
    """Starts the trial's configuration, sends it the same loads, and holds the figures side by side."""
    begun = start(trial["profile"], trial["config"], compile_cached=bool(trial.get("compile_cached")))
    values: dict[str, tuple[float, float]] = {"startup_s": (trial["startup_s"], begun.seconds)}
    if begun.ready is not None and "kv_tokens" in trial:
        values["kv_tokens"] = (trial["kv_tokens"], begun.ready.cache.tokens)
    reason = begun.cause
    if begun.ready is not None and simulate_loads:
        reason = _serve(trial, begun, loads, values)
    crashed = (trial["outcome"] != "ready", reason is not None)
    errors = {name: abs(simulated - real) / real for name, (real, simulated) in values.items() if real}
    return Compared(trial["name"], crashed, (trial["class"], reason), errors, values)


def _serve(
    trial: dict[str, Any], begun: Start, loads: dict[tuple[str, str], Load], values: dict[str, tuple[float, float]]
) -> str | None:
    """Fills in latencies; the reason when the engine died."""
    assert begun.ready is not None
    client = Client(begun.ready)
    # A start that failed in reality was sent nothing: the ordinary loads then.
    for real in trial["loads"] or [{"name": name} for name in ("warmup", *RATES)]:
        simulated = latencies(client.play(loads[trial["land"], real["name"]]))
        if client.died_in is not None:
            return "oom_under_load"
        if "sent" in real and not real["errors"] > real["sent"] // 10:
            for figure in FIGURES:
                if real[figure] is not None and simulated[figure] is not None:
                    values[f"{real['name']} {figure}"] = (real[figure], simulated[figure])
    return None


@dataclass(frozen=True)
class Summary:
    """Median relative errors of one part, and how often crash or no crash agrees."""

    trials: int
    errors: dict[str, tuple[float, int]]  # by figure: median, number of trials
    agreement: float
    agreement_past_arguments: float  # without those that vLLM refuses for their arguments alone
    same_reason: float

    @classmethod
    def of(cls, compared: Sequence[Compared]) -> Summary:
        errors: dict[str, tuple[float, int]] = {}
        for figure in ("startup_s", "kv_tokens", *(f"{rate} {figure}" for rate in RATES for figure in COMPARED)):
            found = [one.errors[figure] for one in compared if figure in one.errors]
            if found:
                errors[figure] = (statistics.median(found), len(found))
        for rate in RATES:
            found = [one.errors[f"{rate} {f}"] for one in compared for f in COMPARED if f"{rate} {f}" in one.errors]
            if found:
                errors[f"{rate} latency"] = (statistics.median(found), len(found))
        crashes = [one for one in compared if one.crashed == (True, True)]
        past = [one for one in compared if one.reason[0] != "invalid_arguments"]
        return cls(
            len(compared),
            errors,
            sum(one.agrees for one in compared) / len(compared),
            sum(one.agrees for one in past) / max(1, len(past)),
            sum(_same(*one.reason) for one in crashes) / max(1, len(crashes)),
        )


def _same(real: str | None, simulated: str | None) -> bool:
    """Whether the reasons agree; a log that was cut does not say why an engine died under load."""
    return real == simulated or (real, simulated) == ("engine_died_under_load", "oom_under_load")


def run(trials: Sequence[dict[str, Any]], loads: dict[tuple[str, str], Load]) -> tuple[list[Compared], list[Compared]]:
    """(those that constants were fitted to, those held out)."""
    kept_back = held_out(recorded().trials)
    compared = [compare(trial, loads) for trial in trials]
    return (
        [one for one in compared if one.name not in kept_back],
        [one for one in compared if one.name in kept_back],
    )


def report(fitted: Summary, kept_back: Summary) -> str:
    """A table in Markdown."""
    rows = [
        "| median relative error | fitted to | held out |",
        "|---|---|---|",
        f"| trials | {fitted.trials} | {kept_back.trials} |",
    ]
    for figure in dict.fromkeys([*fitted.errors, *kept_back.errors]):
        cells: list[str] = []
        for summary in (fitted, kept_back):
            median, number = summary.errors.get(figure, (None, 0))
            cells.append("-" if median is None else f"{100 * median:.1f} % ({number})")
        rows.append(f"| {figure} | {cells[0]} | {cells[1]} |")
    for title, shares in (
        ("crash or no crash agrees", (fitted.agreement, kept_back.agreement)),
        ("the same, without refused arguments", (fitted.agreement_past_arguments, kept_back.agreement_past_arguments)),
        ("the same reason, where both crash", (fitted.same_reason, kept_back.same_reason)),
    ):
        rows.append(f"| {title} | {100 * shares[0]:.1f} % | {100 * shares[1]:.1f} % |")
    return "\n".join(rows)


def line_of(one: Compared) -> str:
    """One trial: recorded > simulated."""
    figures = " ".join(f"{name}={real:g}>{simulated:.3g}" for name, (real, simulated) in one.values.items())
    return f"{one.name} {'' if one.agrees else 'DISAGREES '}{one.reason[0]}>{one.reason[1]} {figures}"


def cross_check(table: Recorded, names: Sequence[str] = ("warmup", "low", "mid")) -> str:
    """The defaults on 24 GiB, in simulated time and over HTTP in real time."""
    loads = [table.loads["tight24", name] for name in names]
    begun = start("7b-h200-24gb", {}, compile_cached=False)
    assert begun.ready is not None
    client = Client(begun.ready)
    simulated = [latencies(client.play(load)) for load in loads]
    served = [latencies(requests) for requests in play_over_http("7b-h200-24gb", {}, loads)]
    rows = ["| milliseconds | simulated time | over HTTP |", "|---|---|---|"]
    for name, one, other in zip(names, simulated, served, strict=True):
        if name != "warmup":
            rows += [f"| {name} {figure} | {one[figure]} | {other[figure]} |" for figure in COMPARED]
    return "\n".join(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.simulator", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="every tenth trial")
    parser.add_argument("--each", action="store_true", help="a line for every trial")
    parser.add_argument("--http", action="store_true", help="simulated time against a server in real time")
    options = parser.parse_args(arguments)
    table = recorded()
    if options.http:
        print(cross_check(table))
        return
    fitted, kept_back = run(table.trials[:: 10 if options.quick else 1], table.loads)
    if options.each:
        print("\n".join(line_of(one) for one in [*fitted, *kept_back]))
    print(report(Summary.of(fitted), Summary.of(kept_back)))


if __name__ == "__main__":
    main()
