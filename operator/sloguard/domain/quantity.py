"""Kubernetes' quantities, such as 500m, 2, 1.5Gi and 1e3, as whole thousandths. Pure."""

import math
import re
from fractions import Fraction
from functools import lru_cache
from typing import Final

_FORM: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)")
_UNITS: Final = {
    **{
        unit: Fraction(1000) ** power
        for power, unit in enumerate(("n", "u", "m", "", "k", "M", "G", "T", "P", "E"), -3)
    },
    **{unit: Fraction(1024) ** power for power, unit in enumerate(("Ki", "Mi", "Gi", "Ti", "Pi", "Ei"), 1)},
}


class QuantityError(ValueError):
    """A text that is no quantity."""


def milli(text: object) -> int:
    """In thousandths, rounded up.

    Raises:
        QuantityError: it is none.

    """
    return _milli(str(text))


@lru_cache(maxsize=1024)
def _milli(text: str) -> int:
    """A cluster's nodes and pods say the same few again and again."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise QuantityError(f"{text} is no quantity; write it as 500m, 2 or 16Gi")
    number, exponent, unit = found.groups()
    scale = Fraction(10) ** int(exponent) if exponent else _UNITS[unit or ""]
    return math.ceil(Fraction(number) * scale * 1000)


def shown(thousandths: int) -> str:
    """As a person writes it."""
    whole, rest = divmod(thousandths, 1000)
    if rest:
        return f"{thousandths}m"
    for unit in ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki"):
        if whole >= _UNITS[unit] and whole % _UNITS[unit] == 0:
            return f"{whole // int(_UNITS[unit])}{unit}"
    return str(whole)
