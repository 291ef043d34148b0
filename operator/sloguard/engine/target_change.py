"""What somebody changed of production while a study ran, and which trials still speak of it. Pure.

Measured figures hold for one image with one command line on one kind of node. Replicas, labels, annotations and other
containers change nothing of that.
"""

from collections.abc import Iterable, Sequence

from sloguard.api.v1alpha1 import Study, TargetStatus, Trial
from sloguard.domain.arguments import ArgumentsError, option, tuned
from sloguard.engine.snapshot import TargetState

MOST_NAMED = 8
"""Arguments that a message names."""


def present_trials(study: Study, trials: Iterable[Trial]) -> tuple[tuple[Trial, ...], tuple[Trial, ...]]:
    """Those of production as it was before its last change, and those since, numbered from 0.

    So production is trial 0 wherever trials are judged; their names keep the numbers that they were recorded with.
    """
    first = first_trial(study)
    if not first:
        return (), tuple(trials)
    earlier: list[Trial] = []
    present: list[Trial] = []
    for trial in trials:
        number = trial.spec.number
        if number < first:
            earlier.append(trial)
        else:
            present.append(trial.model_copy(update={"spec": trial.spec.model_copy(update={"number": number - first})}))
    return tuple(earlier), tuple(present)


def first_trial(study: Study) -> int:
    """The number of production's first trial since its last change."""
    return study.status.target.first_trial if study.status.target is not None else 0


def target_status(target: TargetState, first: int = 0) -> TargetStatus:
    """For the record, when a study begins to measure."""
    return TargetStatus(image=target.image[:1024], serving_hash=target.serving_hash, first_trial=first)


def program_change(recorded: TargetStatus | None, target: TargetState) -> str:
    """What is different of all but the arguments, or nothing."""
    if recorded is None or not target.serving_hash or recorded.serving_hash == target.serving_hash:
        return ""
    if recorded.image != target.image[:1024]:
        return f"its image from {recorded.image} to {target.image}"
    return "its environment, resources or choice of nodes"


def argument_changes(before: Sequence[str], after: Sequence[str]) -> str:
    """Values only of the model and of settings that are tuned: others may be secret."""
    if list(before) == list(after):
        return ""
    told: list[str] = []
    old_model, new_model = option(before, "model"), option(after, "model")
    if old_model != new_model:
        told.append(f"model from {old_model or 'none'} to {new_model or 'none'}")
    old, new = _tuned(before), _tuned(after)
    told += [
        f"{n} from {old.get(n, 'none')} to {new.get(n, 'none')}" for n in sorted({*old, *new}) if _differ(n, old, new)
    ]
    given, wanted = _flags(before), _flags(after)
    told += [f"--{name}" for name in sorted({*given, *wanted} - {"model"}) if _differ(name, given, wanted)]
    more = [f"{len(told) - MOST_NAMED} more"] if len(told) > MOST_NAMED else []
    return f"its arguments: {', '.join([*told[:MOST_NAMED], *more]) or 'their order'}"


def _differ(name: str, before: dict[str, str], after: dict[str, str]) -> bool:
    return before.get(name) != after.get(name)


def _tuned(arguments: Sequence[str]) -> dict[str, str]:
    try:
        return {name.value: value for name, value in tuned(arguments).items()}
    except ArgumentsError:
        return {}


def _flags(arguments: Sequence[str]) -> dict[str, str]:
    """Other flags by their names, with all that follows them."""
    settings = _tuned(arguments)
    found: dict[str, str] = {}
    name = ""
    for word in arguments:
        if word.startswith("--"):
            name, _, value = word[2:].partition("=")
            found[name] = value
        elif name:
            found[name] += f" {word}"
    return {name: value for name, value in found.items() if name.replace("-", "_") not in settings}
