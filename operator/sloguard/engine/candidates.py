"""Which trial comes next: baselines, retries, search, confirmations. Pure."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sloguard.api.v1alpha1 import KnobName, Outcome, Purpose, Study, Trial, TrialSpec
from sloguard.domain.arguments import tuned
from sloguard.domain.knobs import parse_values, text_of
from sloguard.domain.result import Result
from sloguard.domain.score import result_of
from sloguard.engine.gate import Gate
from sloguard.optimizer import Space, make_optimizer

BACK_OFF_SECONDS = 10
MOST_BACK_OFF_SECONDS = 300

NOT_MEASURED = {Outcome.INFRASTRUCTURE, Outcome.CANCELLED}


@dataclass(frozen=True, slots=True)
class Next:
    """The next trial, or why there is none for now. `exhausted`: there will be none."""

    spec: TrialSpec | None = None
    why: str = ""
    wait_seconds: float | None = None
    exhausted: bool = False


def trial_name(study: str, number: int, attempt: int) -> str:
    """Deterministic, so that a trial can be recorded once only."""
    return f"{study}-{number}-{attempt}"


def study_seed(study: Study) -> int:
    """The study's own seed, or one of its UID: a restart of the operator changes nothing."""
    text = str(study.spec.optimizer.seed) if study.spec.optimizer.seed is not None else study.metadata.uid
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def latest_attempts(trials: Iterable[Trial]) -> list[Trial]:
    """The last attempt of each number, by number."""
    latest: dict[int, Trial] = {}
    for trial in trials:
        number = trial.spec.number
        if number not in latest or latest[number].spec.attempt < trial.spec.attempt:
            latest[number] = trial
    return [latest[number] for number in sorted(latest)]


def retry(latest: list[Trial], now: datetime) -> Next | None:
    """Another attempt where the last one said nothing about its configuration."""
    for trial in latest:
        if trial.status.outcome not in NOT_MEASURED:
            continue
        ready_at = (trial.status.finished_at or now) + back_off(trial)
        if ready_at > now:
            return Next(why=f"{trial.name} is tried again after a pause", wait_seconds=(ready_at - now).total_seconds())
        return Next(
            trial.spec.model_copy(
                update={
                    "attempt": trial.spec.attempt + 1,
                    "reason": f"Attempt {trial.spec.attempt + 1}: {trial.status.message}. {first_reason(trial)}"[:1024],
                }
            )
        )
    return None


def first_reason(trial: Trial) -> str:
    """Why the configuration was chosen, without the story of its earlier attempts."""
    reason = trial.spec.reason
    return reason.split(". ", 1)[1] if reason.startswith("Attempt ") and ". " in reason else reason


def back_off(trial: Trial) -> timedelta:
    """Doubling with each attempt that infrastructure ended; none after a pause that the user wanted."""
    if trial.status.outcome is Outcome.CANCELLED:
        return timedelta(0)
    return timedelta(seconds=min(BACK_OFF_SECONDS * 2 ** (trial.spec.attempt - 1), MOST_BACK_OFF_SECONDS))


def infrastructure_attempts(trials: Iterable[Trial], number: int) -> int:
    """How often infrastructure failed this trial."""
    return sum(t.spec.number == number and t.status.outcome is Outcome.INFRASTRUCTURE for t in trials)


def baseline(study: Study, number: int, arguments: tuple[str, ...], names: Iterable[KnobName]) -> TrialSpec:
    """Trial 0 is production as it is, trial 1 the same with vLLM's default for every tuned setting."""
    if number == 0:
        today = {name: value for name, value in tuned(arguments).items() if name in set(names)}
        return _spec(study, number, Purpose.PRODUCTION, today, "Production as it runs today: what has to be beaten.")
    return _spec(study, number, Purpose.DEFAULT, {}, "vLLM's own defaults for every tuned setting.")


def search(study: Study, latest: list[Trial], space: Space, percent: int) -> Next:
    """What the optimizer asks for, given everything that is known."""
    optimizer = make_optimizer(study.spec.optimizer.name, space, study_seed(study))
    pending = [parse_values(t.spec.parameters) for t in latest if not t.finished]
    suggestion = optimizer.ask(history(study, latest, percent), pending)
    if suggestion is None:
        return Next(why="every configuration of the search space was tried", exhausted=True)
    number = latest[-1].spec.number + 1
    return Next(_spec(study, number, Purpose.SEARCH, text_of(suggestion.parameters), suggestion.reason))


def history(study: Study, latest: list[Trial], percent: int) -> list[Result]:
    """Finished trials that say something about their configuration."""
    return [
        result_of(trial, study.spec.slos, percent)
        for trial in latest
        if trial.finished and trial.status.outcome not in NOT_MEASURED
    ]


def confirmation(study: Study, latest: list[Trial], gate: Gate) -> TrialSpec:
    """The gate's candidate once more."""
    assert gate.candidate is not None, "the gate asked for a confirmation"
    spec = gate.candidate.spec
    reason = f"Confirms {gate.candidate.name}: repeat {gate.repeats_begun + 1} of {study.spec.promotion.confirmations}."
    return _spec(study, latest[-1].spec.number + 1, Purpose.CONFIRM, dict(spec.parameters), reason)


def _spec(study: Study, number: int, purpose: Purpose, parameters: dict[KnobName, str], reason: str) -> TrialSpec:
    return TrialSpec(
        study=study.name,
        number=number,
        purpose=purpose,
        parameters=parameters,
        seed=study_seed(study),
        reason=reason[:1024],
    )
