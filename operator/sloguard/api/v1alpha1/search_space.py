"""Which settings may vary, and how."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

from pydantic import Field

from .base import Model, Rule
from .knobs import KnobName


class Scale(StrEnum):
    """How a number is searched: in equal steps or in equal ratios."""

    LINEAR = "Linear"
    LOG = "Log"


class Preset(StrEnum):
    """A named set of parameters; Core is the eight knobs that matter on every server, Extended has more."""

    CORE = "Core"
    EXTENDED = "Extended"
    NONE = "None"


def _int_ordered(domain: "IntDomain") -> str | None:
    if domain.min <= domain.max:
        return None
    return f"min {domain.min} is above max {domain.max}; swap them or widen the range"


class IntDomain(Model):
    """Whole numbers from min to max, both included."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.min <= self.max",
            message=(
                "'min ' + string(self.min) + ' is above max ' + string(self.max) + '; swap them or widen the range'"
            ),
            check=_int_ordered,
        ),
    )

    min: int = Field(ge=1, le=10_000_000)
    max: int = Field(ge=1, le=10_000_000)
    scale: Scale = Scale.LINEAR


DecimalText = Annotated[str, Field(pattern=r"^[0-9]{1,4}(\.[0-9]{1,4})?$", max_length=9)]
Text = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$", max_length=64)]


def _decimal_ordered(domain: "DecimalDomain") -> str | None:
    if Decimal(domain.min) <= Decimal(domain.max):
        return None
    return f"min {domain.min} is above max {domain.max}; swap them or widen the range"


class DecimalDomain(Model):
    """Decimal fractions from min to max, both included, as text because the API holds no floats."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="double(self.min) <= double(self.max)",
            message="'min ' + self.min + ' is above max ' + self.max + '; swap them or widen the range'",
            check=_decimal_ordered,
        ),
    )

    min: DecimalText
    max: DecimalText


def _choice_distinct(domain: "ChoiceDomain") -> str | None:
    if len(set(domain.values)) == len(domain.values):
        return None
    return f"values {', '.join(domain.values)} hold a value twice; name each once"


class ChoiceDomain(Model):
    """One of these values, written as on vLLM's command line; "true" and "false" for switches."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.values.all(v, self.values.exists_one(w, w == v))",
            message="'values ' + self.values.join(', ') + ' hold a value twice; name each once'",
            check=_choice_distinct,
        ),
    )

    values: list[Text] = Field(min_length=1, max_length=32)


class Condition(Model):
    """The parameter is active only where another has this value; elsewhere vLLM's default holds."""

    name: KnobName
    equals: Text


DOMAINS = ("int", "decimal", "choice")


def _one_domain(parameter: "Parameter") -> str | None:
    given = [
        name
        for name, domain in zip(DOMAINS, (parameter.int_, parameter.decimal, parameter.choice), strict=True)
        if domain is not None
    ]
    if len(given) == 1:
        return None
    return f"{parameter.name.value} has {len(given)} domains; give exactly one of int, decimal, choice"


def _not_its_own_condition(parameter: "Parameter") -> str | None:
    if parameter.when is None or parameter.when.name != parameter.name:
        return None
    return f"{parameter.name.value} cannot depend on itself; name another parameter in when.name"


class Parameter(Model):
    """A setting and the values that it may take."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="[has(self.int), has(self.decimal), has(self.choice)].exists_one(given, given)",
            message=(
                "self.name + ' has ' + string([has(self.int), has(self.decimal), has(self.choice)]"
                ".filter(given, given).size()) + ' domains; give exactly one of int, decimal, choice'"
            ),
            check=_one_domain,
        ),
        Rule(
            cel="!has(self.when) || self.when.name != self.name",
            message="self.name + ' cannot depend on itself; name another parameter in when.name'",
            check=_not_its_own_condition,
        ),
    )

    name: KnobName
    int_: IntDomain | None = Field(default=None, alias="int")
    decimal: DecimalDomain | None = None
    choice: ChoiceDomain | None = None
    when: Condition | None = None


def _parameters_distinct(space: "SearchSpace") -> str | None:
    names = [parameter.name.value for parameter in space.parameters]
    twice = sorted({name for name in names if names.count(name) > 1})
    return f"parameter {', '.join(twice)} is given twice; name each once" if twice else None


def _space_not_empty(space: "SearchSpace") -> str | None:
    if space.preset is not Preset.NONE or space.parameters:
        return None
    return "preset None leaves nothing to tune; add parameters or choose preset Core"


class SearchSpace(Model):
    """The preset's parameters, with those named here added or put in their place."""

    rules: ClassVar[tuple[Rule, ...]] = (
        Rule(
            cel="self.parameters.all(p, self.parameters.exists_one(q, q.name == p.name))",
            message=(
                "'parameter ' + self.parameters.filter(p, !self.parameters.exists_one(q, q.name == p.name))[0].name + "
                "' is given twice; name each once'"
            ),
            check=_parameters_distinct,
        ),
        Rule(
            cel="self.preset != 'None' || self.parameters.size() > 0",
            message="'preset None leaves nothing to tune; add parameters or choose preset Core'",
            check=_space_not_empty,
        ),
    )

    preset: Preset = Preset.CORE
    parameters: list[Parameter] = Field(default=[], max_length=32)
    allow_quality_change: bool = Field(
        default=False,
        description="Also settings that change what the model answers: quantization, kv_cache_dtype, "
        "and a max_model_len below production's.",
    )
