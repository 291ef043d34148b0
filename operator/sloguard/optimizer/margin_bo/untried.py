"""Values that never ran together: nobody knows what becomes of them, for worse and for better.

Nothing announces a pair of choices that a server cannot bear, such as a weight format and a cache format. Of two
configurations that promise alike, the one with fewer new pairs is tried first, and what dies then has fewer suspects.
What they are worth is less certain as well: a search that has found nothing better for long tries what it never had.
"""

from itertools import combinations

import numpy as np

from .encoding import FOREIGN, Floats, Ints, Points

RISK = 0.04
"""That a new pair kills. More than is likely, so that several new things at once are left for later."""

SURPRISE_SD = 0.05
"""Of the log objective, for the root of the number of new pairs: what no neighbour tells."""

MOST_COUNTED = 8
"""More pairs at once count as so many: a space of many choices is not walled off."""


def risk(points: Points, served: Points) -> Floats:
    """How likely each dies of something new."""
    return 1 - (1 - RISK) ** untried_pairs(points, served)


def surprise_sd(points: Points, served: Points) -> Floats:
    """How far the log objective of each may lie from what is believed of it, because it has something new."""
    return SURPRISE_SD * np.sqrt(untried_pairs(points, served))


def untried_pairs(points: Points, served: Points) -> Floats:
    """How many pairs of its choices' values each point holds that no configuration which served did."""
    count = np.zeros(len(points))
    for one, other in combinations(points.codes, 2):
        ours, theirs = points.codes[one], points.codes[other]
        new = np.ones((_size(ours, served.codes[one]), _size(theirs, served.codes[other])))
        new[served.codes[one], served.codes[other]] = 0.0
        # A number has no code, and of a value from outside the space nothing is known; FOREIGN is the last row.
        new[FOREIGN, :] = new[:, FOREIGN] = 0.0
        count += new[ours, theirs]
    return np.minimum(count, MOST_COUNTED)


def _size(*codes: Ints) -> int:
    """Of a table by these codes, FOREIGN among them."""
    return 2 + max(int(column.max(initial=0)) for column in codes)
