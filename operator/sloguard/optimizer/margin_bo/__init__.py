"""The margin-aware optimizer: it reads how near a server was to failing, not only whether it failed.

- `encoding`: configurations as numbers
- `pool`: the configurations that are looked at in one ask
- `memory`: how much KV cache a start will find, and how much memory serving will leave
- `blame`: crashes that memory does not explain: which values, ranges or pairs of them are guilty
- `demand`: what could serve the offered load, for the first trials
- `usual`: what goodput gains or loses by on any server
- `outlook`: goodput and latencies, as Gaussian processes (surrogate), and what a trial costs
- `acquisition`: what a configuration promises for each minute of a GPU
- `search`: one ask: all of the above, and the sentence that explains it
"""

from .search import MarginBO

__all__ = ["MarginBO"]
