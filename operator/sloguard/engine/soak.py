"""The soak: what is to be recommended, or promoted, first outlives its worst-case load (`measure/worst_case.py`). Pure.

A trial's load seldom fills a server's memory, and high use of it dies late. So a winner is started once more and given
the longest requests, a full batch, for `promotion.soakSeconds`. Nobody looks at its latencies: it has to live. Where it
dies, that is a crash of its configuration like any other, the gate takes the next one, and a soak costs none of the
budget's trials. So there are never more soaks than configurations that may win.
"""

from collections.abc import Iterable

from sloguard.api.v1alpha1 import Crash, CrashClass, Fault, KnobName, LoadResult, Outcome, Purpose, StudySpec, Trial
from sloguard.domain.arguments import tuned
from sloguard.domain.knobs import parse_values
from sloguard.domain.rules import Context, effective


def soaks_of(soaked: Trial, trials: Iterable[Trial]) -> list[Trial]:
    """Of a trial's configuration, finished or not."""
    soaks = (t for t in trials if t.spec.purpose is Purpose.SOAK)
    return [t for t in soaks if t.spec.parameters == soaked.spec.parameters]


def death_of(soaked: Trial, trials: Iterable[Trial]) -> Trial | None:
    """The soak that its configuration did not outlive; that it may have outlived another one is no excuse."""
    return next((t for t in soaks_of(soaked, trials) if t.status.outcome is Outcome.CRASHED), None)


def outlived_seconds(soaked: Trial, trials: Iterable[Trial]) -> int:
    """The longest soak that its configuration has outlived; 0 where there is none."""
    lived = (t for t in soaks_of(soaked, trials) if t.status.outcome is Outcome.FEASIBLE)
    return max((t.spec.soak_seconds or 0 for t in lived), default=0)


def is_owed(spec: StudySpec, soaked: Trial, trials: Iterable[Trial]) -> bool:
    """Whether the study wants to see more of it."""
    return outlived_seconds(soaked, trials) < spec.promotion.soak_seconds


def full_batch(trial: Trial) -> int | None:
    """The max_num_seqs that the trial's server runs with; None where arguments and GPU do not tell."""
    status = trial.status
    memory = status.margins.device_memory_bytes if status.margins is not None else None
    platform = status.platform
    context = Context(
        vram_bytes=(platform.gpu_memory_bytes if platform is not None else None) or memory,
        gpu_name=platform.gpu_name if platform is not None else "",
    )
    found = effective(parse_values(tuned(status.arguments)), context).get(KnobName.MAX_NUM_SEQS)
    return found if isinstance(found, int) else None


def fault_in(result: LoadResult) -> Crash | None:
    """What a soak that the server's process has outlived says against it all the same.

    Requests that it was too slow for are no fault; errors are, and so is a load that never came about, though not the
    candidate's.
    """
    rate = result.rates[0] if result.rates else None
    if rate is None:
        return _no_load("the worst-case load left no figures")
    failed = rate.violations.server_error + rate.violations.cut_off
    if failed:
        cause = f"{failed} of {rate.sent} requests of its worst-case load ended in an error of the server"
        return Crash(class_=CrashClass.UNKNOWN, fault=Fault.CONFIGURATION, cause=cause, confidence_percent=60)
    generated = rate.server.generation_tokens if rate.server is not None else None
    if rate.completed or generated:
        return None
    return _no_load(
        f"none of {rate.sent} requests of the worst-case load was answered ({rate.violations.client_error} were turned "
        "down), so that it says nothing; a longer promotion.soakSeconds may do where requests take long"
    )


def _no_load(cause: str) -> Crash:
    return Crash(class_=CrashClass.LOAD_GENERATOR, fault=Fault.INFRASTRUCTURE, cause=cause, confidence_percent=70)


def outlived_in_words(trial: Trial, result: LoadResult) -> str:
    """What a server has outlived."""
    rate = result.rates[0]
    load = result.worst_case or "its worst-case load"
    return f"outlived {trial.spec.soak_seconds} s of {load}: {rate.completed} of {rate.sent} were answered"
