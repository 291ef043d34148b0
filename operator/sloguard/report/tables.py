"""A study's trials and its winner as tables for a terminal, from 80 columns."""

import shlex
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from sloguard.api.v1alpha1 import SLO, KnobName, Objective, Outcome, Purpose, Study, Trial
from sloguard.domain.arguments import ArgumentsError, split_command
from sloguard.domain.score import UNITS, at_rate, figure_of, highest_figure_of, margin_of, was_measured
from sloguard.report.expectations import expectations

COLOURS = {
    Outcome.FEASIBLE: "green",
    Outcome.INFEASIBLE: "yellow",
    Outcome.CRASHED: "red",
    Outcome.INFRASTRUCTURE: "blue",
    Outcome.CANCELLED: "dim",
}

WIDE_COLUMNS = 120
"""From here on there is room for the settings on one line."""


def print_report(console: Console, study: Study, trials: Sequence[Trial]) -> None:
    """Everything that was tried, what won against what, and the arguments to use."""
    percent = study.status.comparison_rate_percent or 100
    limits = ", ".join(f"{_named(slo)} within {slo.milliseconds} ms" for slo in study.spec.slos)
    console.print()
    console.print(trial_table(study, trials, percent, wide=console.width >= WIDE_COLUMNS))
    console.print()
    console.print(comparison_table(study, trials, percent))
    _say(console, _explained(study, limits, percent))
    _print_noise(console, study)
    _print_front(console, study)
    _print_search(console, study, trials, percent)
    _print_winner(console, study)


def _explained(study: Study, limits: str, percent: int) -> str:
    mark = study.spec.workload.closed_loop_mark
    loop = f"; {mark}, so no figure compares with those of an open loop" if mark else ""
    return _unit_explained(study, limits, percent) + loop


def _unit_explained(study: Study, limits: str, percent: int) -> str:
    unit = UNITS[study.spec.objective]
    if study.spec.objective is Objective.CAPACITY:
        return f"{unit}: the highest rate with {limits}, interpolated; latencies at {percent} % of the workload's rate"
    of = f"{unit}: of requests that met every SLO ({limits}), at {percent} % of the workload's rate"
    return of if _repeated(study, percent) else f"{of}; \u00b1 at 95 % confidence within a run, not between starts"


def _print_noise(console: Console, study: Study) -> None:
    """What identical runs were apart, for those who wonder what a difference is worth."""
    if study.status.noise:
        rates = ", ".join(f"{noise.permille / 10:g} % at {noise.rate_percent} %" for noise in study.status.noise)
        _say(console, f"identical runs differed by (standard deviation): {rates} of the workload's rate")


def _print_front(console: Console, study: Study) -> None:
    """Where there is something to choose between."""
    if len(study.status.front) > 1:
        console.print()
        console.print(front_table(study))


def front_table(study: Study) -> Table:
    """What goodput costs in latency: configurations that no other beats in everything."""
    table = _table("Goodput against latency")
    table.add_column("trial", no_wrap=True)
    table.add_column(UNITS[study.spec.objective], justify="right")
    for slo in study.spec.slos:
        table.add_column(f"of {_named(slo)}", justify="right", no_wrap=True)
    recommendation = study.status.recommendation
    for point in study.status.front:
        used = [f"{percent} %" for percent in point.limit_used_percent]
        chosen = recommendation is not None and point.trial == recommendation.trial
        cells = [point.trial, str(point.objective_value), *used]
        table.add_row(*(f"[bold]{cell}[/]" if chosen else cell for cell in cells))
    return table


def _print_search(console: Console, study: Study, trials: Sequence[Trial], percent: int) -> None:
    """Why the search ended, and what its expectations were worth."""
    ended = next((c.message for c in study.status.conditions if c.type == "SearchEnded"), "")
    if ended:
        _say(console, f"the search: {escape(ended)}")
    expected = expectations(trials, study.spec.objective, percent)
    if expected:
        _say(console, f"expected against measured: {expected}")


def trial_table(study: Study, trials: Sequence[Trial], percent: int, *, wide: bool) -> Table:
    """One entry a trial, in the order in which they were made."""
    table = _table("Trials")
    table.add_column("trial", no_wrap=True, justify="right")
    table.add_column("purpose", no_wrap=True)
    table.add_column("outcome", no_wrap=True)
    table.add_column(UNITS[study.spec.objective], justify="right", no_wrap=True)
    for slo in study.spec.slos if wide else ():
        table.add_column(_named(slo), justify="right", no_wrap=True)
    table.add_column("settings, and what happened", overflow="fold", ratio=1)
    for trial in trials:
        slos = [_measured(trial, percent, slo) for slo in study.spec.slos] if wide else []
        figures = [_outcome(trial), _figure(study, trial, percent), *slos]
        table.add_row(_numbered(trial), trial.spec.purpose.value, *figures, _story(trial, " " if wide else "\n"))
    return table


def _table(title: str) -> Table:
    return Table(
        title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD, show_edge=False, pad_edge=False
    )


def _named(slo: SLO) -> str:
    return f"{slo.metric.value} p{slo.percentile}"


def _numbered(trial: Trial) -> str:
    """With the attempt where it is not the first."""
    return f"{trial.spec.number}" if trial.spec.attempt == 1 else f"{trial.spec.number}.{trial.spec.attempt}"


def _outcome(trial: Trial) -> str:
    outcome = trial.status.outcome
    return f"[{COLOURS[outcome]}]{outcome.value}[/]" if outcome else trial.status.phase.value


def _story(trial: Trial, between: str) -> str:
    settings = escape(between.join(_settings(trial)))
    told = not was_measured(trial) and trial.status.message
    return f"{settings}\n[dim]{escape(trial.status.message)}[/]" if told else settings


def _settings(trial: Trial) -> list[str]:
    return [f"{name.value}={value}" for name, value in sorted(trial.spec.parameters.items())] or ["(defaults)"]


def comparison_table(study: Study, trials: Sequence[Trial], percent: int) -> Table:
    """Production, defaults and winner side by side."""
    table = _table("Against what runs today")
    table.add_column("configuration")
    table.add_column(UNITS[study.spec.objective], justify="right")
    for slo in study.spec.slos:
        table.add_column(_named(slo), justify="right", no_wrap=True)
    table.add_column("SLOs")
    for name, purpose in (("production today", Purpose.PRODUCTION), ("vLLM's defaults", Purpose.DEFAULT)):
        firsts = [t for t in trials if t.spec.purpose is purpose and not t.spec.is_repeat]
        trial = firsts[-1] if firsts else None
        if trial is not None:
            _add_contender(table, study, name, trial, _figure(study, trial, percent), percent)
    recommendation = study.status.recommendation
    winner = next((t for t in trials if recommendation and t.name == recommendation.trial), None)
    if recommendation is not None and winner is not None:
        name = f"[bold]winner, trial {_numbered(winner)}[/]"
        figure = f"[bold]{recommendation.objective_value}[/]"
        _add_contender(table, study, name, winner, figure, percent)
    return table


def _add_contender(table: Table, study: Study, name: str, trial: Trial, figure: str, percent: int) -> None:
    measured = [_measured(trial, percent, slo) for slo in study.spec.slos]
    table.add_row(name, figure, *measured, _verdict(trial, percent))


def _verdict(trial: Trial, percent: int) -> str:
    measurement = at_rate(trial, percent)
    if measurement is None:
        return trial.status.outcome.value if trial.status.outcome else "-"
    return "[green]met[/]" if measurement.slos_met else "[yellow]broken[/]"


def _print_winner(console: Console, study: Study) -> None:
    status = study.status
    recommendation = status.recommendation
    if recommendation is None:
        reason = next((c.message for c in status.conditions if c.type == "Ready"), "the study is not done")
        _say(console, f"\nNo recommendation: {escape(reason)}")
        return
    said = f"{recommendation.trial}: {recommendation.reason}"
    _say(console, f"\n[bold]Recommended[/] {escape(said)}")
    if recommendation.choice:
        _say(console, f"Why this one: {escape(recommendation.choice)}")
    settings = sorted(recommendation.parameters.items())
    _say(console, f"Settings: {escape(_changed(settings))}")
    _say(console, "Command to serve with:")
    console.print(Text(f"  {_command(study, recommendation.arguments)}"), soft_wrap=True)


def _say(console: Console, sentence: str) -> None:
    """Wrapped between words on a terminal, one line in a log."""
    console.print(sentence, highlight=False, soft_wrap=not console.is_terminal)


def _changed(settings: Sequence[tuple[KnobName, str]]) -> str:
    return ", ".join(f"{name.value}={value}" for name, value in settings) or "vLLM's defaults"


def _command(study: Study, arguments: Sequence[str]) -> str:
    """In a form that can be pasted; of a Deployment only the container's arguments are known."""
    try:
        prefix, _ = split_command(study.spec.target.command or [])
    except ArgumentsError:
        prefix = []
    return shlex.join([*prefix, *arguments])


def _figure(study: Study, trial: Trial, percent: int) -> str:
    at_most = highest_figure_of(trial, study.spec.objective, percent)
    if at_most is not None:
        return f"≤{at_most:.0f}"
    figure = figure_of(trial, study.spec.objective, percent)
    if figure is None:
        return "-"
    margin = None if _repeated(study, percent) else margin_of(trial, study.spec.objective, percent)
    return f"{figure:.0f}" if margin is None else f"{figure:.0f} \u00b1 {margin:.0f}"


def _repeated(study: Study, percent: int) -> bool:
    """Then it is known what identical runs are apart, which says more than the spread within one."""
    return any(noise.rate_percent == percent for noise in study.status.noise)


def _measured(trial: Trial, percent: int, slo: SLO) -> str:
    """The SLO's own figure; where so many requests failed that it has none, that is worse than any."""
    measurement = at_rate(trial, percent)
    found = (
        [r for r in measurement.slos if (r.metric, r.percentile) == (slo.metric, slo.percentile)] if measurement else []
    )
    if not found:
        return "-"
    value, colour = found[0].measured_microseconds, "green" if found[0].met else "yellow"
    return f"[{colour}]{'failed' if value is None else f'{value / 1000:.0f} ms'}[/]"
