from sloguard.api.v1alpha1 import KnobName, OptimizerName, Outcome, SearchSpace
from sloguard.domain.result import Result
from sloguard.domain.rules import Context
from sloguard.optimizer import make_optimizer, make_space
from sloguard.optimizer.blacklist import BAN_TRIALS, blacklist

K = KnobName
SPACE = make_space(
    SearchSpace.model_validate(
        {
            "preset": "None",
            "parameters": [
                {"name": "max_num_seqs", "int": {"min": 4, "max": 512, "scale": "Log"}},
                {"name": "quantization", "choice": {"values": ["none", "fp8", "awq"]}},
                {"name": "kv_cache_dtype", "choice": {"values": ["auto", "fp8"]}},
                {"name": "enforce_eager", "choice": {"values": ["true", "false"]}},
            ],
            "allowQualityChange": True,
        }
    ),
    {},
    Context(),
)


def values(seqs=64, quantization="none", kv="auto", eager=False):
    return {K.MAX_NUM_SEQS: seqs, K.QUANTIZATION: quantization, K.KV_CACHE_DTYPE: kv, K.ENFORCE_EAGER: eager}


def history(*tried):
    """Each a configuration and whether it lived."""
    return [
        Result(number, configuration, Outcome.FEASIBLE if lived else Outcome.CRASHED, objective=1.0 if lived else None)
        for number, (configuration, lived) in enumerate(tried)
    ]


LIVED = [(values(seqs, eager=bool(seqs % 3)), True) for seqs in (8, 30, 70, 100, 200, 300, 400, 12, 16, 20, 24, 28)]
CRASHED = [(values(16 * i, "awq", "fp8" if i % 2 else "auto", bool(i % 3)), False) for i in range(1, 5)]


def test_a_value_that_crashed_three_times_in_a_row_is_banned():
    assert blacklist(SPACE, history(*LIVED, *CRASHED[:2])).ban_on(values(99, "awq")) is None
    bans = blacklist(SPACE, history(*LIVED, *CRASHED[:3]))
    ban = bans.ban_on(values(99, "awq"))
    assert ban.suspect == ((K.QUANTIZATION, 2),)
    assert (ban.crashes, ban.trials_left) == (3, BAN_TRIALS)
    assert bans.sentence(ban) == "quantization awq crashed 3 times in a row and is left alone for 8 more trials"
    assert bans.ban_on(values(99, "fp8")) is None


def test_a_server_that_lived_clears_it():
    cleared = history(*LIVED, *CRASHED[:3], (values(40, "awq"), True))
    assert blacklist(SPACE, cleared).ban_on(values(99, "awq")) is None


def test_one_that_lived_but_was_too_slow_clears_it_too():
    slow = Result(99, values(40, "awq"), Outcome.INFEASIBLE, 1.0, (3.0,))
    assert blacklist(SPACE, [*history(*LIVED, *CRASHED[:3]), slow]).ban_on(values(99, "awq")) is None


def test_it_ends_by_itself_and_comes_back_with_the_next_crash():
    waited = [*LIVED, *CRASHED[:3], *LIVED[:BAN_TRIALS]]
    assert blacklist(SPACE, history(*waited[:-1])).ban_on(values(99, "awq")).trials_left == 1
    assert blacklist(SPACE, history(*waited)).ban_on(values(99, "awq")) is None
    again = blacklist(SPACE, history(*waited, (values(80, "awq"), False)))
    assert again.ban_on(values(99, "awq")).crashes == 4


def test_a_pair_is_banned_where_each_of_its_values_lives_elsewhere():
    pair = [(values(60 + i, "fp8", "fp8", bool(i % 2)), False) for i in range(4)]
    apart = [(values(70, "fp8", "auto"), True), (values(65, "none", "fp8", eager=True), True)]
    tried = [*LIVED, *(step for crash in pair for step in (crash, *apart))]
    bans = blacklist(SPACE, history(*tried))
    assert bans.ban_on(values(8, "fp8", "fp8")).suspect == ((K.QUANTIZATION, 1), (K.KV_CACHE_DTYPE, 1))
    assert bans.ban_on(values(8, "fp8", "auto")) is None
    assert bans.ban_on(values(8, "none", "fp8")) is None


def test_where_everything_crashes_nothing_is_to_blame():
    tried = [(values(8 * i + 4, ("none", "fp8", "awq")[i % 3], eager=bool(i % 2)), False) for i in range(30)]
    assert not blacklist(SPACE, history(*tried)).bans


def test_tba_obeys_it():
    tried = history(*LIVED, *CRASHED)
    for number in range(len(tried), len(tried) + BAN_TRIALS - 1):
        suggestion = make_optimizer(OptimizerName.TBA, SPACE, 3).ask(tried, [])
        assert suggestion.parameters[K.QUANTIZATION] != "awq"
        assert "left alone" in suggestion.reason
        tried.append(Result(number, suggestion.parameters, Outcome.FEASIBLE, 1.0 + number, (0.5,)))
