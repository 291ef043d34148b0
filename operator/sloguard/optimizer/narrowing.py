"""From what a study asks for to what may be searched: bounds of vLLM, quality, the workload, conditions.

Whatever is taken away is told in a note, a sentence for the user; what leaves nothing is a SpaceError.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from sloguard.api.v1alpha1 import ChoiceDomain, DecimalDomain, IntDomain, KnobName, Parameter, SearchSpace
from sloguard.domain.knobs import KNOBS, Kind, Knob, KnobError, parse_value, value_text
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
        result.domains[parameter.name] = _domain(parameter, result.notes)
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


def _domain(parameter: Parameter, notes: list[str]) -> Domain:
    knob = KNOBS[parameter.name]
    if parameter.choice is not None:
        return _choice(knob, parameter.choice)
    if parameter.int_ is not None and knob.kind is Kind.INT:
        return _int_range(knob, parameter.int_, notes)
    if parameter.decimal is not None and knob.kind is Kind.DECIMAL:
        return _decimal_range(knob, parameter.decimal, notes)
    given = "int" if parameter.int_ is not None else "decimal"
    remedy = knob.kind.value if knob.kind in {Kind.INT, Kind.DECIMAL} else "choice"
    raise SpaceError(f"{_field(knob.name)} has an {given} range, but its values are of kind {knob.kind}; use {remedy}")


def _choice(knob: Knob, domain: ChoiceDomain) -> Domain:
    try:
        values = [parse_value(knob.name, text) for text in domain.values]
    except KnobError as error:
        raise SpaceError(f"{_field(knob.name)}: {error}") from error
    distinct = {value_text(value): value for value in values}
    return choice(knob.name, tuple(distinct.values()))


def _int_range(knob: Knob, domain: IntDomain, notes: list[str]) -> Domain:
    low = max(domain.min, int(knob.minimum or 0))
    high = domain.max if knob.maximum is None else min(domain.max, int(knob.maximum))
    _tell_bounds(knob, (str(domain.min), str(domain.max)), (str(low), str(high)), notes, empty=low > high)
    return integers(knob.name, low, high, domain.scale)


def _decimal_range(knob: Knob, domain: DecimalDomain, notes: list[str]) -> Domain:
    asked = Decimal(domain.min), Decimal(domain.max)
    least = max(asked[0], Decimal(str(knob.minimum or 0)))
    most = asked[1] if knob.maximum is None else min(asked[1], Decimal(str(knob.maximum)))
    low, high = (value_text(float(end)) for end in (least, most))
    _tell_bounds(
        knob, (value_text(float(asked[0])), value_text(float(asked[1]))), (low, high), notes, empty=least > most
    )
    return decimals(knob.name, least, most)


def _tell_bounds(knob: Knob, asked: tuple[str, str], left: tuple[str, str], notes: list[str], *, empty: bool) -> None:
    if empty:
        accepted = (
            f"{knob.minimum or 0:g} to {knob.maximum:g}" if knob.maximum is not None else f"{knob.minimum or 0:g}"
        )
        raise SpaceError(
            f"{_field(knob.name)} from {asked[0]} to {asked[1]} lies outside what vLLM accepts ({accepted}); "
            "give a range within it"
        )
    if asked != left:
        notes.append(f"{knob.name.value} is searched from {left[0]} to {left[1]}, which is what vLLM accepts")


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
    """Resolve conditions on knobs that are not searched, until none is left; refuse circles."""
    changed = True
    while changed:
        changed = False
        for name, (parent, value) in list(result.conditions.items()):
            if parent in result.domains:
                if not result.domains[parent].contains(value):
                    _never_active(result, name, f"{parent.value} {value_text(value)} is not among what is searched")
                    changed = True
                continue
            today = outside.get(parent, KNOBS[parent].default)
            if today == value:
                del result.conditions[name]
            else:
                known = "unset" if today is None else value_text(today)
                _never_active(result, name, f"it needs {parent.value} {value_text(value)}, which stays {known}")
            changed = True
    _refuse_circles(result.conditions)


def _never_active(result: Narrowed, name: KnobName, why: str) -> None:
    del result.domains[name]
    del result.conditions[name]
    result.notes.append(f"{name.value} is not searched: {why}")


def _refuse_circles(conditions: Mapping[KnobName, Requirement]) -> None:
    for start in conditions:
        met, name = [start], start
        while name in conditions:
            name = conditions[name][0]
            if name in met:
                circle = " -> ".join(knob.value for knob in [*met, name])
                raise SpaceError(f"{_field(start)}.when goes in a circle ({circle}); remove one of these conditions")
            met.append(name)
