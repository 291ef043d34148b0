"""What is expected before anything is measured, and how soon figures overrule it."""

import numpy as np
import pytest

from sloguard.api.v1alpha1 import KnobName, Outcome, SearchSpace
from sloguard.domain.result import Result
from sloguard.domain.rules import Context
from sloguard.optimizer import make_space
from sloguard.optimizer.margin_bo.encoding import Encoding
from sloguard.optimizer.margin_bo.memory import learn
from sloguard.optimizer.margin_bo.outlook import foresee, live_of
from sloguard.optimizer.margin_bo.usual import usual_log_objective

SWITCHES = ["enforce_eager", "enable_chunked_prefill", "enable_prefix_caching"]
FORMATS = ["none", "fp8", "awq", "gptq"]
PARAMETERS = [{"name": name, "choice": {"values": ["false", "true"]}} for name in SWITCHES]
PARAMETERS += [
    {"name": "max_num_seqs", "int": {"min": 1, "max": 256}},
    {"name": "quantization", "choice": {"values": FORMATS}},
]
SEARCH_SPACE = {"preset": "None", "allowQualityChange": True, "parameters": PARAMETERS}
SPACE = make_space(SearchSpace.model_validate(SEARCH_SPACE), {}, Context(vram_bytes=24 * 2**30))
ENCODING = Encoding(SPACE, SPACE.context)

GRAPHS = {
    KnobName.MAX_NUM_SEQS: 64,
    KnobName.ENFORCE_EAGER: False,
    KnobName.ENABLE_CHUNKED_PREFILL: True,
    KnobName.ENABLE_PREFIX_CACHING: True,
    KnobName.QUANTIZATION: "none",
}
EAGER = GRAPHS | {KnobName.ENFORCE_EAGER: True}


def usual(values):
    return float(usual_log_objective(ENCODING.configurations([values]), np.zeros(1))[0])


def expected(results, values):
    points = ENCODING.configurations([result.parameters for result in results])
    model = foresee(live_of(results, points, 0), learn(ENCODING, results, points))
    return float(model.log_objective(model.view(ENCODING.configurations([values])))[0][0])


def served(number, values, objective):
    return Result(number, values, Outcome.FEASIBLE, objective, (0.5,))


@pytest.mark.parametrize("name", [KnobName(name) for name in SWITCHES])
def test_no_switch_is_expected_to_serve_more_against_vllms_default(name):
    assert usual(GRAPHS | {name: not GRAPHS[name]}) < usual(GRAPHS)


def test_a_switch_that_is_left_out_counts_as_vllms_default():
    assert usual({KnobName.MAX_NUM_SEQS: 64}) == pytest.approx(usual(GRAPHS))


def test_of_weight_formats_only_fp8_is_expected_to_be_faster():
    gains = {text: usual(GRAPHS | {KnobName.QUANTIZATION: text}) - usual(GRAPHS) for text in FORMATS}
    assert gains["fp8"] > 0
    assert gains["awq"] == gains["gptq"] == gains["none"]


def test_what_nobody_tried_is_expected_to_be_as_usual():
    known = [served(i, GRAPHS | {KnobName.MAX_NUM_SEQS: 40 + 8 * i}, 1000.0) for i in range(4)]
    assert expected(known, EAGER) < expected(known, GRAPHS) - 0.05


def test_a_server_that_is_faster_without_graphs_is_believed():
    known = [served(i, GRAPHS | {KnobName.MAX_NUM_SEQS: 40 + 8 * i}, 1000.0) for i in range(4)]
    known += [served(4, EAGER, 1150.0), served(5, EAGER | {KnobName.MAX_NUM_SEQS: 50}, 1150.0)]
    assert expected(known, EAGER | {KnobName.MAX_NUM_SEQS: 70}) > expected(known, GRAPHS) + 0.08
