"""Which configurations could serve what is offered, before anything was measured of them."""

import numpy as np

from sloguard.domain.rules import Context

from .encoding import Floats, Points
from .memory import Memory

FASTER = 4.0
"""Times faster than its limit a server may well give its tokens: so many times fewer requests then run at once."""


def plausible(context: Context, memory: Memory, points: Points) -> Floats:
    """1 where as many requests can run at once as the load keeps running, less the further it is below that.

    What lets 4 requests run where 400 would at the limit had to be a hundred times faster than it must be. It is worth
    less of a trial to learn from, but never forbidden: how fast the server is, nobody knows yet.
    """
    if not context.concurrency:
        return np.ones(len(points))
    at_once = np.exp2(3 * memory.concurrency_place(points))
    return np.minimum(FASTER * at_once / context.concurrency, 1.0)
