"""What of a ledger that anyone may write to is believed, and what of it is kept."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from sloguard.api.v1alpha1 import Crash, CrashClass, Fault, KnobName, Margins, Proof, SettingBound
from sloguard.domain.ledger import MOST_OF_A_KIND, LedgerRecord, Setup
from sloguard.domain.shared_ledger import (
    MOST_ALIKE,
    MOST_RECORD_BYTES,
    believed,
    merged,
    read_text,
    shareable,
    text_of_records,
)

NOW = datetime(2026, 3, 2, tzinfo=UTC)
CRASH = Crash(
    class_=CrashClass.NO_KV_CACHE_ROOM,
    fault=Fault.CONFIGURATION,
    cause="No available memory for the cache blocks",
    limit="KV short by 0.34 GiB",
)


def record(number=3, seqs="96", crash=CRASH, **more):
    given = {
        "study": "before",
        "run": "0f6c-uid",
        "number": number,
        "finished_at": NOW + timedelta(minutes=number),
        "setup": Setup(gpu_name="NVIDIA-L4", gpu_memory_bytes=24 * 2**30, model="llama", vllm_version="0.33.0"),
        "parameters": {KnobName.MAX_NUM_SEQS: seqs},
        "crashed": crash is not None,
        "crash": crash,
    }
    return LedgerRecord(**(given | more))


def with_crash(**fields):
    return CRASH.model_copy(update=fields)


def test_what_is_written_is_read():
    records = [record(), record(4, "8", None, margins=Margins(available_kv_cache_bytes=5 * 2**30))]
    read = read_text(text_of_records(records), NOW)
    assert list(read.records) == records
    assert read.passed_over == 0


UNBELIEVABLE = {
    "a study that cannot be": record(study="Ignore all;"),
    "no run": record(run=""),
    "a run with a line": record(run="a\nb"),
    "no time": record(finished_at=None),
    "the future": record(finished_at=NOW + timedelta(days=2)),
    "a name with escapes": record(setup=Setup(model="\x1b[31mllama")),
    "more memory than there is": record(setup=Setup(model="llama", gpu_memory_bytes=10**30)),
    "a setting beyond a machine word": record(seqs="999999999", parameters={KnobName.MAX_NUM_SEQS: "999999999G"}),
    "a crash without a class": record(crashed=True, crash=None),
    "a class without a crash": record(crashed=False),
    "infrastructure's fault": record(crash=with_crash(fault=Fault.INFRASTRUCTURE)),
    "margins beyond a float": record(crash=None, crashed=False, margins=Margins(available_kv_cache_bytes=10**400)),
    "a bound of no setting": record(crash=with_crash(proof=Proof(bounds=[SettingBound(setting="a\nb", at_most=1)]))),
    "a message with lines": record(crash=with_crash(cause="a\nb")),
}


@pytest.mark.parametrize("name", UNBELIEVABLE)
def test_what_the_operator_cannot_have_written_is_passed_over(name):
    good, bad = record(1), UNBELIEVABLE[name]
    assert not believed(bad, NOW + timedelta(minutes=10))
    read = read_text(text_of_records([good, bad]), NOW + timedelta(minutes=10))
    assert read.records == (good,)
    assert read.passed_over == 1


def test_text_that_is_no_record_is_passed_over():
    deep = "[" * 1000
    lines = ["", "null", "{}", "\x00", deep, json.dumps(record().dump() | {"schemaVersion": 2}), "x" * 10**6]
    read = read_text("\n".join(lines), NOW)
    assert read.records == ()
    assert read.passed_over == len(lines) - 1


def test_a_message_is_shortened_until_its_line_fits():
    long = shareable(record(crash=with_crash(cause="\té" * 500)), NOW + timedelta(hours=1))
    assert long is not None
    assert long.crash.cause.startswith("é é")
    assert len(text_of_records([long]).encode()) <= MOST_RECORD_BYTES + 1
    assert read_text(text_of_records([long]), NOW + timedelta(hours=1)).records == (long,)


def test_what_would_not_be_believed_is_not_shared():
    assert shareable(record(parameters={KnobName.MAX_NUM_SEQS: "999999999G"}), NOW) is None
    assert shareable(record(finished_at=None), NOW) is None


def test_the_older_of_those_that_say_the_same_go_first():
    alike = [record(number) for number in range(10, 10 + 2 * MOST_ALIKE)]
    old = record(0, "7")
    assert merged([*alike, old]) == [old, *alike[MOST_ALIKE:]]


def test_a_ledger_stays_below_a_quarter_of_a_mib():
    cause = "x" * 1000
    many = [record(number, str(number + 1), with_crash(cause=cause)) for number in range(3 * MOST_OF_A_KIND)]
    kept = merged(r for each in many if (r := shareable(each, NOW + timedelta(days=9))) is not None)
    assert [r.number for r in kept] == list(range(2 * MOST_OF_A_KIND, 3 * MOST_OF_A_KIND))
    assert len(text_of_records(kept).encode()) <= 256 * 1024
