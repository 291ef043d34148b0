"""A study's trials and its winner as tables for a terminal."""

import shlex
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from sloguard.api.v1alpha1 import Outcome, Purpose, Study, Trial
from sloguard.domain.score import at_rate, goodput_tokens_per_second

COLOURS = {
    Outcome.FEASIBLE: "green",
    Outcome.INFEASIBLE: "yellow",
    Outcome.CRASHED: "red",
    Outcome.INFRASTRUCTURE: "blue",
    Outcome.CANCELLED: "dim",
}


def print_report(console: Console, study: Study, trials: Sequence[Trial]) -> None:
    """Everything that was tried, what won against what, and the arguments to use."""
    percent = study.status.comparison_rate_percent or 100
    console.print(f"Goodput (tokens/s of requests within every SLO) at {percent} % of the workload's rate.")
    console.print(trial_table(trials, percent))
    console.print(comparison_table(study, trials, percent))
    _print_winner(console, study)


def trial_table(trials: Sequence[Trial], percent: int) -> Table:
    """One line a trial, in the order in which they were made."""
    table = Table(title="Trials", title_justify="left", show_edge=False)
    table.add_column("trial", no_wrap=True)
    table.add_column("purpose", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column("tokens/s", justify="right", no_wrap=True)
    table.add_column("TTFT p99", justify="right", no_wrap=True)
    table.add_column("settings, and what happened", overflow="fold")
    for trial in trials:
        table.add_row(
            trial.name,
            trial.spec.purpose.value,
            _outcome(trial),
            _figure(trial, percent),
            _ttft(trial, percent),
            _story(trial),
        )
    return table


def _outcome(trial: Trial) -> str:
    outcome = trial.status.outcome
    return f"[{COLOURS[outcome]}]{outcome.value}[/]" if outcome else trial.status.phase.value


def _story(trial: Trial) -> str:
    settings = escape(parameters_text(trial))
    told = trial.status.outcome is not Outcome.FEASIBLE and trial.status.message
    return f"{settings}\n[dim]{escape(trial.status.message)}[/]" if told else settings


def comparison_table(study: Study, trials: Sequence[Trial], percent: int) -> Table:
    """Production, defaults and winner side by side."""
    table = Table(title="Against what runs today", title_justify="left", show_edge=False)
    table.add_column("configuration")
    table.add_column("tokens/s", justify="right")
    table.add_column("SLOs")
    for name, purpose in (("production today", Purpose.PRODUCTION), ("vLLM's defaults", Purpose.DEFAULT)):
        trial = next((t for t in reversed(trials) if t.spec.purpose is purpose), None)
        if trial is not None:
            table.add_row(name, _figure(trial, percent), _slos(trial, percent))
    recommendation = study.status.recommendation
    if recommendation is not None:
        figure = str(recommendation.goodput_tokens_per_second)
        met = "met" if recommendation.slos_met else "broken"
        table.add_row(f"[bold]winner, {recommendation.trial}[/]", f"[bold]{figure}[/]", met)
    return table


def _print_winner(console: Console, study: Study) -> None:
    recommendation = study.status.recommendation
    if recommendation is None:
        reason = next((c.message for c in study.status.conditions if c.type == "Ready"), "the study is not done")
        console.print(f"No recommendation: {escape(reason)}", highlight=False)
        return
    better = recommendation.improvement_percent
    gain = f", {better:+d} % against the better of production and defaults" if better is not None else ""
    console.print(f"Winner: {recommendation.trial}{gain}. {escape(recommendation.reason)}", highlight=False)
    console.print("Arguments to use:")
    console.print(f"  {shlex.join(recommendation.arguments)}", soft_wrap=True, highlight=False, markup=False)


def parameters_text(trial: Trial) -> str:
    return " ".join(f"{k.value}={v}" for k, v in sorted(trial.spec.parameters.items())) or "(defaults)"


def _figure(trial: Trial, percent: int) -> str:
    goodput = goodput_tokens_per_second(trial, percent)
    return "-" if goodput is None else f"{goodput:.0f}"


def _ttft(trial: Trial, percent: int) -> str:
    measurement = at_rate(trial, percent)
    found = [s.p99_microseconds for s in measurement.latencies if s.metric.value == "TTFT"] if measurement else []
    return f"{found[0] / 1000:.0f} ms" if found and found[0] is not None else "-"


def _slos(trial: Trial, percent: int) -> str:
    measurement = at_rate(trial, percent)
    if measurement is None:
        return trial.status.outcome.value if trial.status.outcome else "-"
    broken = [f"{s.metric.value} p{s.percentile}" for s in measurement.slos if not s.met]
    return f"broken: {', '.join(broken)}" if broken else "met"
