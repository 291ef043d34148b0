"""Which objects are this study's trials. Pure.

Anyone who may create trials can write one that names a study as its owner. So a record counts only if the operator
could have written it itself; else somebody could have candidates started, and GPUs used, without the right to do so.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import ValidationError

from sloguard.api.v1alpha1 import API_VERSION, Purpose, Study, Trial
from sloguard.api.wording import problems
from sloguard.cluster.labels import MANAGED_BY, STUDY
from sloguard.cluster.objects import Object, listing, section
from sloguard.cluster.parsed import Parsed
from sloguard.domain.arguments import ArgumentsError, tuned, untuned
from sloguard.domain.knobs import KnobError, parse_values
from sloguard.domain.text import readable
from sloguard.engine.arms import taught
from sloguard.engine.candidates import DEFAULT_NUMBER, PRODUCTION_NUMBER, trial_name
from sloguard.engine.known import make_target_space
from sloguard.engine.snapshot import TargetProblem, TargetState
from sloguard.engine.target_change import first_trial
from sloguard.optimizer import Space, SpaceError


class ForeignTrialError(Exception):
    """A record that the operator did not write; the message says how that is known."""


@dataclass(frozen=True, slots=True)
class Records:
    """The study's trials in their order, and why other records are passed over, by their names.

    `unreadable` are among these: trials that the operator began, and that this version cannot read.
    """

    trials: tuple[Trial, ...] = ()
    passed_over: Mapping[str, str] = field(default_factory=dict[str, str])
    unreadable: frozenset[str] = frozenset()


def records_of(
    study: Study, stored: Iterable[Object], target: TargetState | TargetProblem, parsed: Parsed | None = None
) -> Records:
    """Tell the study's own records from others that are labelled as such."""
    parsed = parsed or Parsed()
    passed_over: dict[str, str] = {}
    unreadable: set[str] = set()
    named: list[Trial] = []
    for obj in stored:
        name = obj["metadata"]["name"]
        try:
            named.append(identified(study, obj, parsed))
        except (ValidationError, KnobError) as error:
            passed_over[name] = _told(error)
            # Only the operator can write down that a trial has begun; others are of nobody's making.
            if owned_by_study(study, obj) and section(obj, "status").get("startedAt"):
                unreadable.add(name)
        except ForeignTrialError as error:
            passed_over[name] = readable(str(error))
    named.sort(key=lambda t: (t.spec.number, t.spec.attempt))
    accepted: list[Trial] = []
    begun = [t for t in named if t.status.started_at]
    space = None if len(begun) == len(named) else _space(study, target)
    for trial in named:
        objection = "" if trial.status.started_at else _objection(study, trial, accepted, begun, space)
        if objection:
            passed_over[trial.name] = objection
        else:
            accepted.append(trial)
    return Records(tuple(accepted), passed_over, frozenset(unreadable))


def _told(error: ValidationError | KnobError) -> str:
    if isinstance(error, KnobError):
        return readable(str(error))
    return readable("; ".join(str(problem) for e in error.errors() for problem in problems(e, Trial)))


def owner_of(study: Study) -> Object:
    """The reference that makes an object the study's own."""
    return {
        "apiVersion": API_VERSION,
        "kind": study.kind,
        "name": study.name,
        "uid": study.metadata.uid,
        "controller": True,
    }


def kept_for_good(study: Study, name: str, data: Mapping[str, str], labels: Mapping[str, str] | None = None) -> Object:
    """A ConfigMap of the study's own, which nobody can change and which goes with it."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name,
            "namespace": study.metadata.namespace,
            "labels": {MANAGED_BY: "sloguard", STUDY: study.name, **(labels or {})},
            "ownerReferences": [owner_of(study)],
        },
        "immutable": True,
        "data": dict(data),
    }


def owned_by_study(study: Study, stored: Object) -> bool:
    return owner_of(study) in [_essential(owner) for owner in listing(stored, "metadata", "ownerReferences")]


def identified(study: Study, stored: Object, parsed: Parsed) -> Trial:
    """The record, with what stays true of one for ever.

    Raises:
        ValidationError, KnobError: it makes no sense to this version.
        ForeignTrialError: it is not of this study.

    """
    trial = parsed.trials.of(stored, stored["metadata"].get("resourceVersion"), lambda: _read(stored))
    if not owned_by_study(study, stored):
        raise ForeignTrialError("the study is not its controller")
    spec = trial.spec
    if spec.study != study.name or trial.name != trial_name(study.name, spec.number, spec.attempt):
        raise ForeignTrialError("study, number and attempt do not make its name")
    first = first_trial(study)
    fixed = {
        number + begin: purpose
        for begin in (0, first)
        for number, purpose in ((PRODUCTION_NUMBER, Purpose.PRODUCTION), (DEFAULT_NUMBER, Purpose.DEFAULT))
    }
    if fixed.get(spec.number, spec.purpose) is not spec.purpose:
        raise ForeignTrialError(f"trial {spec.number} cannot be for {spec.purpose.value}")
    return trial


def _read(stored: Object) -> Trial:
    trial = Trial.model_validate({key: stored[key] for key in _FIELDS if stored.get(key)})
    parse_values(trial.spec.parameters)
    return trial


_FIELDS = ("apiVersion", "kind", "metadata", "spec", "status")


def _essential(owner: Object) -> Object:
    return {key: owner.get(key) for key in ("apiVersion", "kind", "name", "uid", "controller")}


def _objection(study: Study, trial: Trial, before: list[Trial], begun: list[Trial], space: Space | None) -> str:
    """Why the operator would not have recorded this trial after those before it, or nothing.

    Only the operator can write down that a trial has begun, so this is asked of the others.
    """
    spec = trial.spec
    if spec.number < first_trial(study) and trial.finished:
        return ""
    numbers = {t.spec.number for t in before}
    if spec.attempt > 1:
        last = next((t for t in before if (t.spec.number, t.spec.attempt) == (spec.number, spec.attempt - 1)), None)
        owed = last is not None and last.finished and not taught(last) and last.spec.parameters == spec.parameters
        objection = "" if owed else "it repeats no attempt that has to be repeated"
    elif spec.costs_a_trial and _costly(before) >= study.spec.budget.trials:
        objection = "the budget has no room for it"
    elif spec.number > 0 and spec.number - 1 not in numbers:
        objection = "the number before it is missing"
    else:
        known = [t for t in before if t.spec.number >= first_trial(study)]
        objection = _parameters_objection(study, trial, known, space)
    unfinished = {t.name for t in (*before, *begun) if not t.finished}
    if not objection and not trial.finished and len(unfinished) >= study.spec.trial.parallelism:
        return "as many trials as may run at once are under way"
    return objection


def _costly(trials: Iterable[Trial]) -> int:
    """So many of the budget's trials they take."""
    return len({t.spec.number for t in trials if t.spec.costs_a_trial})


def _parameters_objection(study: Study, trial: Trial, before: list[Trial], space: Space | None) -> str:
    parameters = trial.spec.parameters
    match trial.spec.purpose:
        case Purpose.PRODUCTION:
            first = next((t for t in before if t.spec.purpose is Purpose.PRODUCTION), trial)
            return "" if parameters == first.spec.parameters else "production has other parameters"
        case Purpose.DEFAULT:
            return "the defaults set nothing" if parameters else ""
        case Purpose.CONFIRM:
            repeated = any(t.spec.parameters == parameters and t.spec.purpose is not Purpose.CONFIRM for t in before)
            return "" if repeated else "it confirms no trial that came before it"
        case Purpose.SEARCH:
            inside = space is None or space.contains(parse_values(parameters))
            return "" if inside else "its parameters are not of the study's search space"
        case Purpose.SOAK:
            measured = any(t.spec.parameters == parameters and t.spec.purpose is not Purpose.SOAK for t in before)
            return "" if measured and trial.spec.soak_seconds else "it soaks no trial that came before it"
        case Purpose.CANARY:
            promotion = study.status.promotion
            promoted = promotion is not None and parameters == promotion.parameters
            return "" if promoted else "it is a canary of no promotion"


def _space(study: Study, target: TargetState | TargetProblem) -> Space | None:
    """None where it cannot be told now, and then no trial begins either."""
    if isinstance(target, TargetProblem):
        return None
    try:
        return make_target_space(study, target)
    except (SpaceError, ArgumentsError, KnobError):
        return None


class ForeignArgumentsError(Exception):
    """Arguments that differ from production's in more than settings that may be tuned."""


def check_arguments(production: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    """Nothing but known settings with plausible values may differ from production, whatever a record says.

    Raises:
        ForeignArgumentsError: something else does.

    """
    try:
        foreign = untuned(arguments) != untuned(production)
        parse_values(tuned(arguments))
    except (ArgumentsError, KnobError) as error:
        raise ForeignArgumentsError(readable(str(error))) from error
    if foreign:
        raise ForeignArgumentsError("other words than the tuned settings differ from production's arguments")
