"""From what a study asks for to what may be searched: quality, the workload, conditions.

Whatever is taken away is told in a note, a sentence for the user; what leaves nothing is a SpaceError.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from sloguard.api.v1alpha1 import KnobName, Parameter, SearchSpace
from sloguard.domain.knobs import KNOBS, KnobError, parse_value, value_text
from sloguard.domain.result import Value, Values
from sloguard.domain.rules import Context

from .domains import Domain, choice, decimals, integers
from .errors import SpaceError
from .presets import preset_domains, quality_changing_names

Requirement = tuple[KnobName, Value]
"""A condition: the parameter is active only where the other knob has this value."""


@dataclass
class Narrowed:
    """What is left to search; `notes` say what was taken away and why."""

    domains: dict[KnobName, Domain] = field(default_factory=dict[KnobName, Domain])
    conditions: dict[KnobName, Requirement] = field(default_factory=dict[KnobName, Requirement])
    notes: list[str] = field(default_factory=list[str])


def narrow(search_space: SearchSpace, production: Values, context: Context) -> Narrowed:
    """The domains of preset and parameters, with all that may not be tried left out."""
    result = Narrowed(domains=preset_domains(search_space.preset, production, context))
    given = {parameter.name for parameter in search_space.parameters}
    for parameter in search_space.parameters:
        result.domains[parameter.name] = _domain(parameter)
        if parameter.when is not None:
            result.conditions[parameter.name] = _requirement(parameter)
    if not search_space.allow_quality_change:
        _keep_quality(result, search_space, given, production)
    _fit_workload(result, context)
    _settle_conditions(result, {**context.fixed, **production})
    if False in _values(result, KnobName.ENABLE_CHUNKED_PREFILL):
        result.notes.append(
            "enable_chunked_prefill false is among the candidates although vLLM warns that some models then crash or "
            "answer wrongly; give it the single value true to rule that out"
        )
    result.domains = {name: result.domains[name] for name in KNOBS if name in result.domains}
    return result


def _values(result: Narrowed, name: KnobName) -> tuple[Value, ...]:
    return result.domains[name].values if name in result.domains else ()


def _field(name: KnobName) -> str:
    return f"searchSpace.parameters {name.value}"


def _domain(parameter: Parameter) -> Domain:
    """The study's own values; the API has seen to it that their kind is the knob's."""
    name = parameter.name
    if parameter.int_ is not None:
        return integers(name, parameter.int_.min, parameter.int_.max, parameter.int_.scale)
    if parameter.decimal is not None:
        return decimals(name, Decimal(parameter.decimal.min), Decimal(parameter.decimal.max))
    assert parameter.choice is not None
    try:
        values = [parse_value(name, text) for text in parameter.choice.values]
    except KnobError as error:
        raise SpaceError(f"{_field(name)}: {error}") from error
    return choice(name, tuple({value_text(value): value for value in values}.values()))


def _keep_quality(result: Narrowed, search_space: SearchSpace, given: set[KnobName], production: Values) -> None:
    """Take out whatever changes the model's answers: the study did not allow it."""
    implied = [name for name in quality_changing_names(search_space.preset) if name not in given]
    for name in implied:
        del result.domains[name]
    if implied:
        result.notes.append(
            f"{' and '.join(name.value for name in implied)} {'stay' if len(implied) > 1 else 'stays'} as in "
            "production, because other values change what the model answers; allowQualityChange true would search them"
        )
    for name in given:
        if KNOBS[name].quality_changing:
            _drop(result, name, "other values change what the model answers; allowQualityChange true would search them")
    if KnobName.MAX_MODEL_LEN in given:
        _keep_length(result, production.get(KnobName.MAX_MODEL_LEN))


def _drop(result: Narrowed, name: KnobName, why: str) -> None:
    del result.domains[name]
    result.conditions.pop(name, None)
    result.notes.append(f"{name.value} stays as in production: {why}")


def _keep_length(result: Narrowed, today: Value | None) -> None:
    """A shorter max_model_len refuses requests that production answers."""
    if not isinstance(today, int):
        _drop(
            result,
            KnobName.MAX_MODEL_LEN,
            "it is not set there, so that no value can be known to be long enough; "
            "set --max-model-len in production, or allowQualityChange true",
        )
        return
    _raise_low_end(
        result, today, f"production serves requests of {today} tokens; allowQualityChange true would search below"
    )


def _fit_workload(result: Narrowed, context: Context) -> None:
    if KnobName.MAX_MODEL_LEN in result.domains and context.min_model_len_tokens:
        floor = context.min_model_len_tokens
        _raise_low_end(
            result,
            floor,
            f"the workload's longest prompt and answer are {floor} tokens together (promptTokens.max and "
            "outputTokens.max)",
        )


def _raise_low_end(result: Narrowed, floor: int, why: str) -> None:
    name = KnobName.MAX_MODEL_LEN
    domain = result.domains[name]
    lengths = [value for value in domain.values if isinstance(value, int)]
    if all(length >= floor for length in lengths):
        return
    if not any(length >= floor for length in lengths):
        raise SpaceError(
            f"{_field(name)} {_extent(domain)} lies below {floor}: {why}; raise its values to {floor} or more"
        )
    if domain.scale is None:
        kept = tuple(value for value in domain.values if isinstance(value, str) or value >= floor)
        result.domains[name] = choice(name, kept)
    else:
        result.domains[name] = integers(name, floor, max(lengths), domain.scale)
    result.notes.append(f"{name.value} is searched from {floor}: {why}")


def _extent(domain: Domain) -> str:
    if domain.scale is None:
        return ", ".join(value_text(value) for value in domain.values)
    return f"from {value_text(domain.values[0])} to {value_text(domain.values[-1])}"


def _requirement(parameter: Parameter) -> Requirement:
    assert parameter.when is not None
    try:
        return parameter.when.name, parse_value(parameter.when.name, parameter.when.equals)
    except KnobError as error:
        raise SpaceError(f"{_field(parameter.name)}.when: {error}") from error


def _settle_conditions(result: Narrowed, outside: Mapping[KnobName, Value]) -> None:
    """Resolve the conditions on knobs that are not searched: they hold for good or never."""
    result.conditions = {name: wanted for name, wanted in result.conditions.items() if name in result.domains}
    for name, (parent, value) in list(result.conditions.items()):
        if parent in result.domains:
            if not result.domains[parent].contains(value):
                _never_active(result, name, f"{parent.value} {value_text(value)} is not among what is searched")
            continue
        today = outside.get(parent, KNOBS[parent].default)
        if today == value:
            del result.conditions[name]
        else:
            known = "unset" if today is None else value_text(today)
            _never_active(result, name, f"it needs {parent.value} {value_text(value)}, which stays {known}")


def _never_active(result: Narrowed, name: KnobName, why: str) -> None:
    del result.domains[name]
    del result.conditions[name]
    result.notes.append(f"{name.value} is not searched: {why}")
