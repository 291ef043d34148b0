"""The specification of each kind of trial: baseline, another attempt, search, repeat. Pure."""

import hashlib
from collections.abc import Iterable, Sequence

from sloguard.api.v1alpha1 import KnobName, Outcome, Prediction, Purpose, Study, Trial, TrialSpec
from sloguard.domain.arguments import tuned, with_parameters
from sloguard.domain.knobs import parse_values, text_of
from sloguard.domain.ledger import LedgerRecord, failed_with
from sloguard.domain.repeat_noise import relative_noise
from sloguard.domain.result import Result, Values
from sloguard.domain.score import result_of, was_measured
from sloguard.engine.gate import Gate, Wanted
from sloguard.engine.known import Ground
from sloguard.optimizer import Suggestion, make_optimizer

PRODUCTION_NUMBER, DEFAULT_NUMBER = 0, 1


def trial_name(study: str, number: int, attempt: int) -> str:
    """Deterministic, so that a trial can be recorded once only."""
    return f"{study}-{number}-{attempt}"


def study_seed(study: Study) -> int:
    """The study's own seed, or one of its UID: a restart of the operator changes nothing."""
    text = str(study.spec.optimizer.seed) if study.spec.optimizer.seed is not None else study.metadata.uid
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1


def baseline(study: Study, number: int, ground: Ground) -> TrialSpec:
    """Trial 0 is production as it is, trial 1 the same with vLLM's default for every tuned setting."""
    if number == PRODUCTION_NUMBER:
        names = set(ground.space.names)
        today = {name: value for name, value in tuned(ground.target.arguments).items() if name in names}
        reason = "Production as it runs today: what has to be beaten."
        return _spec(study, ground, number, Purpose.PRODUCTION, today, reason)
    return _spec(study, ground, number, Purpose.DEFAULT, {}, "vLLM's own defaults for every tuned setting.")


def another_attempt(trials: Iterable[Trial], last: Trial, ground: Ground) -> TrialSpec:
    """The same trial again, after an attempt that said nothing about its configuration."""
    first = min((t for t in trials if t.spec.number == last.spec.number), key=lambda t: t.spec.attempt)
    attempt = last.spec.attempt + 1
    reason = f"Attempt {attempt}, after {last.status.message or 'nothing was measured'}. {first.spec.reason}"
    changes = {"attempt": attempt, "reason": reason[:1024], "target_hash": ground.target.template_hash}
    return last.spec.model_copy(update=changes)


def search(study: Study, latest: Sequence[Trial], ground: Ground, percent: int) -> TrialSpec | None:
    """What the optimizer asks for, given everything that is known; None when nothing is left to try."""
    assert ground.ledger is not None, "nothing is searched before the ledger was read"
    optimizer = make_optimizer(study.spec.optimizer.name, ground.space, study_seed(study), ground.ledger)
    pending: list[Values] = [parse_values(t.spec.parameters) for t in latest if not t.finished]
    known, refused = history(study, latest, percent), ""
    suggestion = optimizer.ask(known, pending)
    # What is pending is not suggested again, so there is an end to it.
    while suggestion is not None and (failed := failed_with(ground.ledger, _settings(ground, suggestion))) is not None:
        trial = f"trial {failed.number} of study {failed.study} ({_end_of(failed)})"
        refused = f" The first choice was passed over: it was {trial}."
        pending.append(suggestion.parameters)
        suggestion = optimizer.ask(known, pending)
    if suggestion is None:
        return None
    parameters = text_of(suggestion.parameters)
    spec = _spec(study, ground, _next_number(latest), Purpose.SEARCH, parameters, f"{suggestion.reason}{refused}")
    return spec.model_copy(update={"predicted": prediction_of(suggestion)})


def _end_of(failed: LedgerRecord) -> str:
    if failed.refused:
        return "production served worse with it"
    return failed.crash.class_.value if failed.crash is not None else "crashed"


def _settings(ground: Ground, suggestion: Suggestion) -> Values:
    """All that is set then, production's own settings among them."""
    arguments = with_parameters(ground.target.arguments, ground.space.names, text_of(suggestion.parameters))
    return parse_values(tuned(arguments))


def prediction_of(suggestion: Suggestion) -> Prediction | None:
    """For the record; None where the optimizer expects nothing."""
    told = suggestion.predicted
    best, objective, spread = (told.get(name) for name in ("best_objective", "objective", "objective_stddev"))
    ratio, doubt = (None if figure is None or not best else figure / best for figure in (objective, spread))
    figures = {
        "objective": _between(0, objective, MOST),
        "gain_permille": _between(-1, None if ratio is None else ratio - 1, MOST_GAIN, unit=1000),
        "gain_stddev_permille": _between(0, doubt, MOST_GAIN, unit=1000),
        "crash_permille": _between(0, told.get("crash_probability"), 1, unit=1000),
        "feasible_permille": _between(0, told.get("feasible_probability"), 1, unit=1000),
        "gpu_seconds": _between(0, told.get("expected_minutes"), MOST / 60, unit=60),
    }
    known = {name: figure for name, figure in figures.items() if figure is not None}
    vetoes = len(suggestion.vetoes)
    return Prediction.model_validate({**known, "vetoes": vetoes}) if known or vetoes else None


MOST, MOST_GAIN = 1_000_000_000, 1000
"""What a record holds; a gain beyond a thousand times the best has no meaning."""


def _between(least: float, figure: float | None, most: float, unit: int = 1) -> int | None:
    return None if figure is None else round(unit * min(max(figure, least), most))


def history(study: Study, latest: Iterable[Trial], percent: int) -> list[Result]:
    """Finished trials that have figures of their configuration, or crashed: in a soak as well as anywhere."""
    spec, trials = study.spec, list(latest)
    noise = relative_noise(trials, percent)
    telling = [trial for trial in trials if was_measured(trial) or trial.status.outcome is Outcome.CRASHED]
    return [result_of(trial, spec.slos, spec.objective, percent, noise) for trial in telling]


def repeat(study: Study, latest: Sequence[Trial], gate: Gate, ground: Ground) -> TrialSpec:
    """One of those that the gate's block still lacks; their order within it is left to chance, which the seed fixes."""
    assert gate.candidate is not None, "the gate wants repeats for a candidate"
    one = min(gate.wanted, key=lambda wanted: _lot(study, wanted))
    most = study.spec.promotion.confirmations
    if one.purpose is Purpose.CONFIRM:
        reason = f"Confirms {one.of.name}: repeat {one.block} of at most {most}."
    else:
        named = "Production" if one.purpose is Purpose.PRODUCTION else "vLLM's defaults"
        reason = f"{named} once more, beside repeat {one.block} of {gate.candidate.name}: what it is held against."
    return _spec(study, ground, _next_number(latest), one.purpose, dict(one.of.spec.parameters), reason)


def soak(study: Study, latest: Sequence[Trial], soaked: Trial, ground: Ground, what_follows: str) -> TrialSpec:
    """The same configuration under its worst-case load. `what_follows` if it lives: "recommended", say."""
    seconds = study.spec.promotion.soak_seconds
    reason = f"{soaked.name} has to outlive its worst-case load for {seconds} s before it is {what_follows}."
    spec = _spec(study, ground, _next_number(latest), Purpose.SOAK, dict(soaked.spec.parameters), reason)
    return spec.model_copy(update={"soak_seconds": seconds})


def _lot(study: Study, wanted: Wanted) -> bytes:
    return hashlib.sha256(f"{study_seed(study)} {wanted.block} {wanted.of.spec.number}".encode()).digest()


def _next_number(latest: Sequence[Trial]) -> int:
    return latest[-1].spec.number + 1


def _spec(
    study: Study, ground: Ground, number: int, purpose: Purpose, parameters: dict[KnobName, str], reason: str
) -> TrialSpec:
    return TrialSpec(
        study=study.name,
        number=number,
        purpose=purpose,
        parameters=parameters,
        seed=study_seed(study),
        target_hash=ground.target.template_hash,
        reason=reason[:1024],
    )
