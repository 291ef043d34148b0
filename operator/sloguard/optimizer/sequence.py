"""A scrambled Halton sequence: points that fill a unit cube more evenly than random ones.

Our own thirty lines instead of scipy.stats.qmc, whose import alone takes a second of each start. Digits are permuted at
random, position by position (Owen 2017, "A randomized Halton algorithm in R"), which removes the correlation that plain
Halton sequences have in higher dimensions. A point depends on (index, dimensions, seed) only.
"""

from functools import lru_cache
from random import Random

_PRIMES = (
    2,
    3,
    5,
    7,
    11,
    13,
    17,
    19,
    23,
    29,
    31,
    37,
    41,
    43,
    47,
    53,
    59,
    61,
    67,
    71,
    73,
    79,
    83,
    89,
    97,
    101,
    103,
    107,
)
_RESOLUTION = 2.0**-32


def point(index: int, dimensions: int, seed: int) -> tuple[float, ...]:
    """The point number `index` (from 0) in [0, 1) to the power of `dimensions`, of which at most 28 are possible."""
    return tuple(_coordinate(index, dimension, seed) for dimension in range(dimensions))


def _coordinate(index: int, dimension: int, seed: int) -> float:
    base = _PRIMES[dimension]
    value, weight = 0.0, 1.0 / base
    for permutation in _permutations(dimension, seed):
        index, digit = divmod(index, base)
        value += permutation[digit] * weight
        weight /= base
    return min(value, 1.0 - _RESOLUTION)


@lru_cache(maxsize=256)
def _permutations(dimension: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """One permutation of the digits for each position down to the resolution."""
    base = _PRIMES[dimension]
    rng = Random(f"halton {seed} {dimension}")
    permutations: list[tuple[int, ...]] = []
    weight = 1.0
    while weight > _RESOLUTION:
        digits = list(range(base))
        rng.shuffle(digits)
        permutations.append(tuple(digits))
        weight /= base
    return tuple(permutations)
