"""`sloguard measure`: goodput and SLOs of live traffic, from Prometheus alone."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click

from sloguard.api.loading import StudyFileError, load_study
from sloguard.api.v1alpha1 import SLO, ServerSource, ServerView, SLOBounds
from sloguard.domain.server_view import view
from sloguard.domain.timeline import Covered, NotCoveredError, observed

from .command import WrongInput
from .prometheus import Prometheus, PrometheusError, PrometheusSettings
from .prometheus_options import prometheus_options


@click.command()
@prometheus_options
@click.option("--selector", required=True, help='PromQL\'s, of the servers: \'namespace="prod", pod=~"llama-.*"\'.')
@click.option("--study", type=click.Path(exists=True, dir_okay=False, path_type=Path), required=True)
@click.option("--window-seconds", type=click.IntRange(1, 86_400), default=600, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of sentences.")
def measure(
    *, prometheus: PrometheusSettings | None, selector: str, study: Path, window_seconds: int, as_json: bool
) -> None:
    """Hold the traffic that servers have now against a study's SLOs, without a load, by what Prometheus scraped.

    All figures are bounds, since the servers' histograms say no more: on requests that ended between the first scrape
    of the window and the last. Requests that failed are in no histogram of vLLM's.
    """
    if prometheus is None:
        raise WrongInput("no Prometheus is given; add --prometheus-url or set SLOGUARD_PROMETHEUS_URL")
    try:
        slos = load_study(study).spec.slos
        covered = asyncio.run(_covered(prometheus, selector, window_seconds))
    except (StudyFileError, PrometheusError, NotCoveredError) as error:
        raise WrongInput(str(error)) from error
    seen = view(covered.window, slos)
    if seen is None:
        raise WrongInput("Prometheus has no request histograms of vLLM's for this selector")
    seen = seen.model_copy(update={"source": ServerSource.PROMETHEUS})
    click.echo(seen.model_dump_json(by_alias=True, exclude_none=True) if as_json else _told(seen, covered, slos))


async def _covered(settings: PrometheusSettings, selector: str, seconds: int) -> Covered:
    until = datetime.now(UTC)
    since = until - timedelta(seconds=seconds)
    async with Prometheus(settings) as prometheus:
        return observed(await prometheus.samples(selector, since, until), since, until)


def _told(seen: ServerView, covered: Covered, slos: list[SLO]) -> str:
    lines = [f"{seen.requests} requests ended on {covered.servers} servers within {covered.seconds:.0f} s"]
    if covered.gaps:
        lines.append(f"{covered.gaps} scrapes were missed; a restart within such a gap goes unseen")
    if seen.restarts:
        return "\n".join([*lines, f"counters began anew {seen.restarts} times: no bounds can be given"])
    lines.append(f"good: {seen.good_low} to {seen.good_high} requests")
    if seen.good_tokens_low is not None and seen.good_tokens_high is not None:
        low, high = (tokens / covered.seconds for tokens in (seen.good_tokens_low, seen.good_tokens_high))
        lines.append(f"goodput: {low:.1f} to {high:.1f} tokens/s")
    limits = {(slo.metric, slo.percentile): slo.milliseconds for slo in slos}
    lines += [_held(bounds, limits[bounds.metric, bounds.percentile]) for bounds in seen.slos]
    return "\n".join(lines)


def _held(bounds: SLOBounds, milliseconds: int) -> str:
    name = f"{bounds.metric} p{bounds.percentile} within {milliseconds} ms"
    if not bounds.count:
        return f"{name}: nothing was measured"
    needed = bounds.percentile * bounds.count
    possible = 100 * bounds.within_high >= needed
    verdict = "met" if 100 * bounds.within_low >= needed else "undecided" if possible else "broken"
    low, high = (100 * number / bounds.count for number in (bounds.within_low, bounds.within_high))
    return f"{name}: {verdict}, {low:.1f} to {high:.1f} %"
