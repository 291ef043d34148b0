"""Which settings may vary, and how."""

from collections.abc import Iterable
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from .base import Model
from .knobs import INTEGERS, SHARES, SWITCHES, KnobName
from .rules import Rule, cel_list, cel_matches, matches, matching


class Scale(StrEnum):
    """How a number is searched: in equal steps or in equal ratios."""

    LINEAR = "Linear"
    LOG = "Log"


class Preset(StrEnum):
    """A named set of parameters; Core is the eight knobs that matter on every server, Extended has more."""

    CORE = "Core"
    EXTENDED = "Extended"
    NONE = "None"


DECIMAL = r"[0-9]{1,4}(\.[0-9]{1,4})?"
WHOLE = r"[0-9]{1,9}[kKmMgG]?"
TEXT = r"[A-Za-z0-9][A-Za-z0-9_.:-]*"

DecimalText = Annotated[
    str,
    Field(max_length=9),
    matching(DECIMAL, '"%s" is not a decimal fraction; write text with at most four decimals, such as "0.95"'),
]
Text = Annotated[
    str,
    Field(max_length=64),
    matching(
        TEXT, '"%s" is not a value for a command line; use letters, digits and _ . : - and begin with one of the former'
    ),
]
"""A setting's value as on vLLM's command line; it can never be read as a flag."""


def _out_of_order(domain: "IntDomain | DecimalDomain") -> tuple[object, ...] | None:
    return None if Decimal(domain.min) <= Decimal(domain.max) else (domain.min, domain.max)


class IntDomain(Model):
    """Whole numbers from min to max, both included."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.min <= self.max",
            message="min %s is above max %s; swap them or widen the range",
            values=("self.min", "self.max"),
            broken=_out_of_order,
            path=".min",
        ),
    )

    min: int = Field(ge=1, le=10_000_000)
    max: int = Field(ge=1, le=10_000_000)
    scale: Scale = Scale.LINEAR


class DecimalDomain(Model):
    """Decimal fractions from min to max, both included, as text because the API holds no floats."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            # What is no number is told by the field's own rule; this one must then not fail.
            cel=f"![self.min, self.max].all(n, {cel_matches('n', DECIMAL)}) || double(self.min) <= double(self.max)",
            message="min %s is above max %s; swap them or widen the range",
            values=("self.min", "self.max"),
            broken=_out_of_order,
            path=".min",
        ),
    )

    min: DecimalText
    max: DecimalText


def _twice(values: Iterable[str]) -> tuple[object, ...] | None:
    """The first value that comes more than once."""
    seen = list(values)
    return next(((value,) for value in seen if seen.count(value) > 1), None)


def _value_twice(domain: "ChoiceDomain") -> tuple[object, ...] | None:
    return _twice(domain.values)


class ChoiceDomain(Model):
    """One of these values, written as on vLLM's command line; "true" and "false" for switches."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.values.all(v, self.values.exists_one(w, w == v))",
            message="value %s is given twice; name each once",
            values=("self.values.filter(v, !self.values.exists_one(w, w == v))[0]",),
            broken=_value_twice,
            path=".values",
        ),
    )

    values: list[Text] = Field(min_length=1, max_length=32)


class Condition(Model):
    """The parameter is active only where another has this value; elsewhere vLLM's default holds."""

    name: KnobName
    equals: Text


def _domains_given(parameter: "Parameter") -> int:
    return sum(domain is not None for domain in (parameter.int_, parameter.decimal, parameter.choice))


def _not_one_domain(parameter: "Parameter") -> tuple[object, ...] | None:
    given = _domains_given(parameter)
    return None if given == 1 else (parameter.name.value, given)


def _depends_on_itself(parameter: "Parameter") -> tuple[object, ...] | None:
    itself = parameter.when is not None and parameter.when.name is parameter.name
    return (parameter.name.value,) if itself else None


def _no_whole_numbers(parameter: "Parameter") -> tuple[object, ...] | None:
    values = parameter.choice.values if parameter.choice else []
    fit = parameter.decimal is None and all(_is_whole(parameter.name, value) for value in values)
    return (parameter.name.value,) if parameter.name in INTEGERS and not fit else None


def _is_whole(name: KnobName, value: str) -> bool:
    return matches(value, WHOLE) or (name is KnobName.MAX_MODEL_LEN and value == "auto")


def _no_shares(parameter: "Parameter") -> tuple[object, ...] | None:
    values = parameter.choice.values if parameter.choice else []
    if parameter.decimal:
        values = [parameter.decimal.min, parameter.decimal.max]
    fit = parameter.int_ is None and all(matches(text, DECIMAL) and 0 < Decimal(text) <= 1 for text in values)
    return (parameter.name.value,) if parameter.name in SHARES and not fit else None


def _no_switch(parameter: "Parameter") -> tuple[object, ...] | None:
    values = parameter.choice.values if parameter.choice else [""]
    fit = all(value in {"true", "false"} for value in values)
    return (parameter.name.value,) if parameter.name in SWITCHES and not fit else None


def _no_choice_of_names(parameter: "Parameter") -> tuple[object, ...] | None:
    is_number = parameter.int_ is not None or parameter.decimal is not None
    takes_names = parameter.name not in {*INTEGERS, *SHARES, *SWITCHES}
    return (parameter.name.value,) if takes_names and is_number else None


_GIVEN = "[has(self.int), has(self.decimal), has(self.choice)].filter(given, given).size()"
_A_SHARE = f"{cel_matches('n', DECIMAL)} && double(n) > 0.0 && double(n) <= 1.0"


class Parameter(Model):
    """A setting and the values that it may take."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel=f"{_GIVEN} == 1",
            message="%s has %s domains; give exactly one of int, decimal, choice",
            values=("self.name", _GIVEN),
            broken=_not_one_domain,
        ),
        Rule(
            cel="!has(self.when) || self.when.name != self.name",
            message="%s cannot depend on itself; name another parameter",
            values=("self.name",),
            broken=_depends_on_itself,
            path=".when.name",
        ),
        Rule(
            cel=f"!(self.name in {cel_list(INTEGERS)}) || (!has(self.decimal) && (!has(self.choice) || "
            f"self.choice.values.all(v, {cel_matches('v', WHOLE)} || (self.name == 'max_model_len' && v == 'auto'))))",
            message='%s takes whole numbers; give int with min and max, or choice with values such as "64"',
            values=("self.name",),
            broken=_no_whole_numbers,
        ),
        Rule(
            cel=f"!(self.name in {cel_list(SHARES)}) || (!has(self.int) && "
            f"(!has(self.decimal) || [self.decimal.min, self.decimal.max].all(n, {_A_SHARE})) && "
            f"(!has(self.choice) || self.choice.values.all(n, {_A_SHARE})))",
            message='%s takes decimal fractions above 0 and up to 1; give decimal, such as min "0.8" and max "0.95"',
            values=("self.name",),
            broken=_no_shares,
        ),
        Rule(
            cel=f"!(self.name in {cel_list(SWITCHES)}) || "
            "(has(self.choice) && self.choice.values.all(v, v in ['true', 'false']))",
            message='%s is a switch; give choice with values ["true", "false"]',
            values=("self.name",),
            broken=_no_switch,
        ),
        Rule(
            cel=f"self.name in {cel_list((*INTEGERS, *SHARES, *SWITCHES))} || (!has(self.int) && !has(self.decimal))",
            message="%s takes no numbers; give choice with the values to try",
            values=("self.name",),
            broken=_no_choice_of_names,
        ),
    )

    name: KnobName
    int_: IntDomain | None = Field(default=None, validation_alias="int", serialization_alias="int")
    decimal: DecimalDomain | None = None
    choice: ChoiceDomain | None = None
    when: Condition | None = None


def _parameter_twice(space: "SearchSpace") -> tuple[object, ...] | None:
    return _twice(parameter.name.value for parameter in space.parameters)


def _nothing_to_tune(space: "SearchSpace") -> tuple[object, ...] | None:
    return () if space.preset is Preset.NONE and not space.parameters else None


def _condition_unknown(space: "SearchSpace") -> tuple[object, ...] | None:
    if space.preset is not Preset.NONE:
        return None
    names = {parameter.name for parameter in space.parameters}
    return next(
        ((p.name.value, p.when.name.value) for p in space.parameters if p.when and p.when.name not in names), None
    )


def _condition_chained(space: "SearchSpace") -> tuple[object, ...] | None:
    conditional = {parameter.name for parameter in space.parameters if parameter.when}
    return next(
        ((p.name.value, p.when.name.value) for p in space.parameters if p.when and p.when.name in conditional), None
    )


def _condition_impossible(space: "SearchSpace") -> tuple[object, ...] | None:
    values = {parameter.name: parameter.choice.values for parameter in space.parameters if parameter.choice}
    for parameter in space.parameters:
        condition = parameter.when
        if condition and condition.equals not in values.get(condition.name, [condition.equals]):
            return (parameter.name.value, condition.name.value, condition.equals)
    return None


_DEPENDS_ON_UNKNOWN = "has(p.when) && !self.parameters.exists(q, q.name == p.when.name)"
_DEPENDS_ON_DEPENDENT = "has(p.when) && self.parameters.exists(q, q.name == p.when.name && has(q.when))"
_NEVER_ACTIVE = (
    "has(p.when) && self.parameters.exists(q, q.name == p.when.name && has(q.choice) && "
    "!(p.when.equals in q.choice.values))"
)


def _first(condition: str, field: str) -> str:
    return f"self.parameters.filter(p, {condition})[0].{field}"


class SearchSpace(Model):
    """The preset's parameters, with those named here added or put in their place."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.parameters.all(p, self.parameters.exists_one(q, q.name == p.name))",
            message="parameter %s is given twice; name each once",
            values=(_first("!self.parameters.exists_one(q, q.name == p.name)", "name"),),
            broken=_parameter_twice,
            path=".parameters",
        ),
        Rule(
            cel="self.preset != 'None' || self.parameters.size() > 0",
            message="preset None leaves nothing to tune; add parameters or choose preset Core",
            broken=_nothing_to_tune,
            path=".preset",
        ),
        Rule(
            cel=f"self.preset != 'None' || !self.parameters.exists(p, {_DEPENDS_ON_UNKNOWN})",
            message="%s depends on %s, which is not tuned here; add that parameter or remove when",
            values=(_first(_DEPENDS_ON_UNKNOWN, "name"), _first(_DEPENDS_ON_UNKNOWN, "when.name")),
            broken=_condition_unknown,
            path=".parameters",
        ),
        Rule(
            cel=f"!self.parameters.exists(p, {_DEPENDS_ON_DEPENDENT})",
            message="%s depends on %s, which depends on another itself; name a parameter without when",
            values=(_first(_DEPENDS_ON_DEPENDENT, "name"), _first(_DEPENDS_ON_DEPENDENT, "when.name")),
            broken=_condition_chained,
            path=".parameters",
        ),
        Rule(
            cel=f"!self.parameters.exists(p, {_NEVER_ACTIVE})",
            message="%s waits for %s to be %s, which is not among its values; add the value or change when.equals",
            values=tuple(_first(_NEVER_ACTIVE, field) for field in ("name", "when.name", "when.equals")),
            broken=_condition_impossible,
            path=".parameters",
        ),
    )

    preset: Preset = Preset.CORE
    parameters: list[Parameter] = Field(default=[], max_length=32)
    allow_quality_change: bool = Field(
        default=False,
        description="Also settings that change what the model answers: quantization, kv_cache_dtype, "
        "and a max_model_len below production's.",
    )
