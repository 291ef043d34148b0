"""The first trials are spent where the offered load could be served, and nothing is forbidden for it."""

from dataclasses import replace

import numpy as np
import pytest

from sloguard.api.v1alpha1 import KnobName, OptimizerName, SearchSpace
from sloguard.domain.rules import Context
from sloguard.optimizer import make_optimizer, make_space
from sloguard.optimizer.margin_bo.demand import plausible
from sloguard.optimizer.margin_bo.encoding import Encoding
from sloguard.optimizer.margin_bo.memory import learn
from tests.bench import optimizers

SEQS = (1, 4, 16, 64, 105, 106, 256, 512)
SEARCH_SPACE = {"preset": "None", "parameters": [{"name": "max_num_seqs", "int": {"min": 1, "max": 512}}]}


def weights(concurrency, vram_gib=80):
    context = Context(vram_bytes=vram_gib << 30, request_tokens=1152, concurrency=concurrency)
    space = make_space(SearchSpace.model_validate(SEARCH_SPACE), {}, context)
    encoding = Encoding(space, space.context)
    memory = learn(encoding, [], encoding.configurations([]))
    return plausible(context, memory, encoding.configurations([{KnobName.MAX_NUM_SEQS: seqs} for seqs in SEQS]))


def test_the_further_below_the_load_the_less_but_never_nothing():
    found = weights(concurrency=422)
    assert (found > 0).all()
    assert (np.diff(found) >= 0).all()
    assert found[1] == pytest.approx(4 * 4 / 422, rel=0.01)


def test_what_is_not_known_weighs_nothing():
    assert weights(concurrency=None).tolist() == [1.0] * len(SEQS)


@pytest.mark.parametrize("seed", range(6))
def test_a_heavy_load_is_not_explored_with_a_few_requests_at_once(seed):
    land = optimizers.land("recorded")
    heavy = replace(land.context, concurrency=55 * 256 * 0.06)
    space = make_space(SearchSpace.model_validate(land.search_space), land.production, heavy)
    search = make_optimizer(OptimizerName.MARGIN_BO, space, seed)
    history = [land.measure(0, land.production, seed), land.measure(1, {}, seed)]
    for number in (2, 3):
        history.append(land.measure(number, search.ask(history, []).parameters, seed))
    assert min(result.parameters[KnobName.MAX_NUM_SEQS] for result in history[2:]) >= 32
