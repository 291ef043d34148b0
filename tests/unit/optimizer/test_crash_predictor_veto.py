import logging
from dataclasses import replace

import pytest

from sloguard.api.v1alpha1 import KnobName, OptimizerName, Outcome, SearchSpace
from sloguard.domain.knobs import text_of
from sloguard.domain.ledger import Ledger, LedgerRecord, Setup
from sloguard.domain.result import Result
from sloguard.domain.rules import Context
from sloguard.optimizer import make_optimizer, make_space
from sloguard.optimizer.crash_predictor import crash_predictor
from sloguard.optimizer.crash_predictor_records import CrashRecord, Platform
from sloguard.optimizer.crash_predictor_veto import AUDITED_ASKS, VETO_ABOVE, first_not_vetoed

K = KnobName
SPACE = make_space(SearchSpace(), {}, Context(min_model_len_tokens=2048))
L4 = Platform(gpu_memory_gib=22.0)


def learned(count=60, wrong_each=0):
    """Above a utilization of 0.8 everything crashes; each `wrong_each`th record says the opposite."""
    made = []
    for i in range(count):
        utilization = round(0.6 + 0.38 * i / count, 3)
        crashed = (utilization > 0.8) != bool(wrong_each and i % wrong_each == 0)
        values = {K.GPU_MEMORY_UTILIZATION: utilization, K.MAX_NUM_SEQS: 8 + 7 * i % 90}
        made.append(CrashRecord(values, L4, crashed))
    return tuple(made)


def config(utilization, seqs=32):
    return {K.GPU_MEMORY_UTILIZATION: utilization, K.MAX_NUM_SEQS: seqs}


RISKY, SAFE = [config(0.95), config(0.93), config(0.91)], config(0.65)
PREDICTOR = crash_predictor(learned(), L4, 1)
CHOSEN = [first_not_vetoed(SPACE, [*RISKY, SAFE], PREDICTOR, seed, 20) for seed in range(200)]
AUDITS = [chosen for chosen in CHOSEN if chosen.note.startswith("audit")]


def test_what_would_crash_is_vetoed_and_each_veto_says_why():
    chosen = next(chosen for chosen in CHOSEN if chosen not in AUDITS)
    assert chosen.values == SAFE
    assert [veto.parameters for veto in chosen.vetoes] == RISKY
    assert all(veto.crash_probability > VETO_ABOVE for veto in chosen.vetoes)
    assert chosen.vetoes[0].reason.startswith(
        "max_num_seqs 32, gpu_memory_utilization 0.95: P(crash) 0.98 is above 0.8"
    )
    assert "learned from 60 trials with a Brier skill of " in chosen.vetoes[0].reason
    assert "and 1 more" in chosen.note


def test_each_veto_is_logged(caplog):
    with caplog.at_level(logging.INFO, logger="sloguard.optimizer"):
        for seed in range(8):
            first_not_vetoed(SPACE, [RISKY[0], SAFE], PREDICTOR, seed, 20)
    vetoed = [record.message for record in caplog.records]
    assert 4 <= len(vetoed) <= 8
    assert all("P(crash)" in message for message in vetoed)


def test_a_small_share_is_audited():
    assert 200 / AUDITED_ASKS / 2 < len(AUDITS) < 200 / AUDITED_ASKS * 2
    assert all(chosen.values == RISKY[0] and not chosen.vetoes for chosen in AUDITS)
    assert all(chosen.crash_probability > VETO_ABOVE for chosen in AUDITS)


def test_nothing_is_audited_where_nothing_is_vetoed():
    assert {first_not_vetoed(SPACE, [SAFE, *RISKY], PREDICTOR, seed, 20).note for seed in range(40)} == {""}


def test_of_vetoed_ones_only_the_least_risky_is_tried():
    ranked = [config(0.95), config(0.82), config(0.97)]
    chosen = next(
        chosen
        for seed in range(20)
        if not (chosen := first_not_vetoed(SPACE, ranked, PREDICTOR, seed, 20)).note.startswith("audit")
    )
    risks = [float(p) for p in PREDICTOR.probabilities(ranked)]
    assert chosen.crash_probability == min(risks)
    assert chosen.values == ranked[risks.index(min(risks))]


def test_a_predictor_that_has_not_proved_itself_vetoes_nothing():
    doubtful = replace(PREDICTOR, skill=0.05)
    chosen = first_not_vetoed(SPACE, [*RISKY, SAFE], doubtful, 1, 20)
    assert (chosen.values, chosen.vetoes, chosen.note) == (RISKY[0], (), "")
    assert chosen.crash_probability > VETO_ABOVE
    assert first_not_vetoed(SPACE, RISKY, None, 1, 20).crash_probability is None


@pytest.mark.parametrize("name", [OptimizerName.TBA, OptimizerName.TBA_TPE])
def test_a_ledger_keeps_a_new_study_from_what_crashed_before(name):
    def crashes(ledger, seed):
        history = []
        for number in range(18):
            values = make_optimizer(name, SPACE, seed, ledger).ask(history, []).parameters
            crashed = values[K.GPU_MEMORY_UTILIZATION] > 0.8
            outcome = Outcome.CRASHED if crashed else Outcome.FEASIBLE
            figure = None if crashed else 100.0 + 100 * values[K.GPU_MEMORY_UTILIZATION]
            history.append(Result(number, values, outcome, figure, () if crashed else (0.5,)))
        return sum(result.outcome is Outcome.CRASHED for result in history)

    here = Setup(gpu_memory_bytes=22 * 2**30)
    before = tuple(
        LedgerRecord(
            study="before", number=i, setup=here, parameters=text_of(record.parameters), crashed=record.crashed
        )
        for i, record in enumerate(learned(60))
    )
    warned, unwarned = Ledger(here, before), Ledger(here)
    assert sum(crashes(warned, seed) for seed in range(2)) < sum(crashes(unwarned, seed) for seed in range(2))
