"""What earlier studies left reaches the search, and nothing but the search."""

from dataclasses import replace

import pytest

from sloguard.api.v1alpha1 import Crash, CrashClass, Fault, KnobName, Outcome
from sloguard.domain.arguments import tuned
from sloguard.domain.knobs import parse_values
from sloguard.domain.ledger import Ledger, LedgerRecord, Setup
from sloguard.domain.result import Result
from sloguard.domain.rules import Context
from sloguard.engine.plan import plan
from tests.unit.engine.builders import T0, baselines, make_study, recorded, snapshot

HERE = Setup(model="model")
FAULT = Crash(class_=CrashClass.GPU_FAULT, fault=Fault.CONFIGURATION)
DEADLY = 24


def earlier(number, seqs):
    dead = seqs >= DEADLY
    return LedgerRecord(
        study="before",
        run="b",
        number=number,
        setup=HERE,
        parameters={KnobName.MAX_NUM_SEQS: str(seqs)},
        crashed=dead,
        crash=FAULT if dead else None,
    )


LEDGER = Ledger(HERE, tuple(earlier(i, seqs) for i, seqs in enumerate((2, 4, 8, 12, 16, 20, 28, 48, 64, 96, 160, 256))))


def asked(seed, ledger):
    known = snapshot(make_study(optimizer={"name": "margin-bo", "seed": seed}), *baselines())
    return recorded(plan(replace(known, ledger=ledger), T0)).spec


def test_the_search_keeps_away_from_what_killed_in_earlier_studies_and_says_so():
    without, warned = ([asked(seed, ledger) for seed in range(4)] for ledger in (Ledger(), LEDGER))
    assert any(int(spec.parameters[KnobName.MAX_NUM_SEQS]) >= DEADLY for spec in without)
    assert all(int(spec.parameters[KnobName.MAX_NUM_SEQS]) < DEADLY for spec in warned)
    assert any("of study before" in spec.reason for spec in warned)


def test_baselines_are_what_they_are():
    first = snapshot(make_study(optimizer={"name": "margin-bo"}))
    assert recorded(plan(replace(first, ledger=LEDGER), T0)) == recorded(plan(first, T0))


def left(spec, outcome, crash=None):
    """As record_of leaves it, of a server with these settings."""
    values = parse_values(tuned(["model", *(f"--{n.replace('_', '-')}={v}" for n, v in spec.parameters.items())]))
    return LedgerRecord.of(Result(7, values, outcome, crash=crash), Context(), study="before", run="b", setup=HERE)


def died(spec):
    return left(spec, Outcome.CRASHED, FAULT)


@pytest.mark.parametrize("name", ["random", "tpe", "margin-bo"])
def test_what_production_refused_before_is_not_proposed_again_there(name):
    known = snapshot(make_study(optimizer={"name": name, "seed": 1}), *baselines())

    def asked(*records):
        return recorded(plan(replace(known, ledger=Ledger(HERE, records)), T0)).spec

    first = asked()
    served = left(first, Outcome.INFEASIBLE)
    assert asked(served).parameters == first.parameters or name == "margin-bo"
    second = asked(served.model_copy(update={"refused": True}))
    assert second.parameters != first.parameters
    told = "passed over: it was trial 7 of study before (production served worse with it)" in second.reason
    assert told or name == "margin-bo"


@pytest.mark.parametrize("name", ["random", "tpe", "margin-bo"])
def test_the_very_settings_that_crashed_before_are_not_proposed_again_there(name):
    known = snapshot(make_study(optimizer={"name": name, "seed": 1}), *baselines())

    def asked(*records, setup=HERE):
        return recorded(plan(replace(known, ledger=Ledger(setup, records)), T0)).spec

    first = asked()
    second = asked(died(first))
    assert second.parameters != first.parameters
    told = "passed over: it was trial 7 of study before (GPUFault)" in second.reason
    assert told or name == "margin-bo", "which learns from what crashed, and does not come near it"
    assert asked(died(first), setup=Setup(model="another")).parameters == first.parameters or name == "margin-bo"
    third = asked(died(first), died(second))
    assert third.parameters not in (first.parameters, second.parameters)
