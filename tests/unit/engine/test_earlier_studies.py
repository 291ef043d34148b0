"""What earlier studies left reaches the search, and nothing but the search."""

from dataclasses import replace

from sloguard.api.v1alpha1 import Crash, CrashClass, Fault, KnobName
from sloguard.domain.ledger import Ledger, LedgerRecord, Setup
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
