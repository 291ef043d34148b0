"""`tight`, measured for too short a time: goodput and latencies with a noise of 10 %.

The best of many noisy figures is a lucky one (the winner's curse), and an SLO that holds may only seem to.
"""

from sloguard.domain.rules import Context
from tests.bench.lands.land import Land
from tests.bench.lands.tight import PRODUCTION, SEARCH_SPACE, truth

LAND = Land("noisy", SEARCH_SPACE, PRODUCTION, truth, Context(min_model_len_tokens=2048), noise=0.1)
