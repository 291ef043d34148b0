"""`tight`, measured for too short a time: goodput and latencies with a noise of 10 %.

The best of many noisy figures is a lucky one (the winner's curse), and an SLO that holds may only seem to.
"""

from tests.bench.lands.land import Land
from tests.bench.lands.tight import LOAD, PRODUCTION, SEARCH_SPACE, truth

LAND = Land("noisy", SEARCH_SPACE, PRODUCTION, truth, LOAD.context, noise=0.1)
