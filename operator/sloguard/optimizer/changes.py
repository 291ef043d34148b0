"""What one configuration changes against another, as text for a reason."""

from sloguard.domain.knobs import value_text
from sloguard.domain.result import Value, Values
from sloguard.domain.rules import effective

from .space import Space

CHANGES_TOLD = 4


def changes(space: Space, old: Values, new: Values) -> str:
    """Settings in effect, old -> new; the first few, in the catalogue's order."""
    before, after = (effective(values, space.context) for values in (old, new))
    told = [
        f"{name.value} {_text(before.get(name))} -> {_text(after.get(name))}"
        for name in space.names
        if _text(before.get(name)) != _text(after.get(name))
    ]
    more = f" and {len(told) - CHANGES_TOLD} more" if len(told) > CHANGES_TOLD else ""
    return ", ".join(told[:CHANGES_TOLD]) + more


def settings(space: Space, values: Values) -> str:
    """The tuned settings of a configuration, all of them."""
    return ", ".join(f"{name.value} {_text(values.get(name))}" for name in space.names if name in values)


def _text(value: Value | None) -> str:
    return "unset" if value is None else value_text(value)
