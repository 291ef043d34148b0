import json
from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from sloguard.api.v1alpha1 import (
    Crash,
    CrashClass,
    Fault,
    KnobName,
    Margins,
    ObjectMeta,
    Outcome,
    Purpose,
    Trial,
    TrialPhase,
    TrialSpec,
    TrialStatus,
)
from sloguard.domain.ledger import (
    LONGEST_CAUSE,
    MOST_OF_A_KIND,
    MOST_RECORDS,
    LedgerRecord,
    Setup,
    compacted,
    model_of,
    nearest,
    record_of,
    version_in,
)

K = KnobName
L4 = Setup(gpu_name="NVIDIA L4", gpu_memory_bytes=24 * 2**30, model="llama", vllm_version="0.33.0")
NO_ROOM = Crash(
    class_=CrashClass.KV_CACHE_BELOW_ONE_REQUEST,
    fault=Fault.CONFIGURATION,
    cause="(2.00 GiB KV cache is needed)" * 25,
    line=812,
    limit="max_model_len at most 4096; KV short by 0.34 GiB",
)
MARGINS = Margins(available_kv_cache_bytes=5 * 2**30, model_weights_bytes=15 * 2**30, cuda_graph_bytes=2**28)


def trial(number=3, **status):
    given = {"phase": TrialPhase.FINISHED, "outcome": Outcome.CRASHED, "finished_at": datetime.now(UTC)}
    given["arguments"] = ["llama", "--max-num-seqs", "96", "--max-model-len=4096", "--swap-space", "4"]
    spec = TrialSpec(study="before", number=number, purpose=Purpose.SEARCH, parameters={K.MAX_NUM_SEQS: "96"})
    return Trial(metadata=ObjectMeta(name=f"before-{number}-1"), spec=spec, status=TrialStatus(**(given | status)))


def test_a_crash_leaves_what_was_set_what_held_by_default_and_what_its_message_proves():
    record = record_of(trial(crash=NO_ROOM), "uid", L4)
    assert record.crashed
    assert (record.study, record.run, record.number, record.setup) == ("before", "uid", 3, L4)
    assert record.values[K.MAX_NUM_SEQS] == 96
    assert record.values[K.MAX_MODEL_LEN] == 4096
    assert record.values[K.GPU_MEMORY_UTILIZATION] == 0.92
    # vLLM's default of a card of 24 GiB
    assert record.values[K.MAX_NUM_BATCHED_TOKENS] == 2048
    assert record.crash.limit == NO_ROOM.limit
    assert len(record.crash.cause) == LONGEST_CAUSE


@pytest.mark.parametrize("outcome", [Outcome.FEASIBLE, Outcome.INFEASIBLE])
def test_a_server_that_served_leaves_its_margins_and_nothing_of_how_fast_it_was(outcome):
    record = record_of(trial(outcome=outcome, margins=MARGINS, goodput_tokens_per_second=1234), "uid", L4)
    assert not record.crashed
    assert record.margins == MARGINS
    assert "1234" not in json.dumps(record.dump())
    assert record.as_result().objective is None


@pytest.mark.parametrize(
    ("purpose", "outcome", "refused"),
    [
        (Purpose.CANARY, Outcome.INFEASIBLE, True),
        (Purpose.CANARY, Outcome.FEASIBLE, False),
        (Purpose.SEARCH, Outcome.INFEASIBLE, False),
    ],
)
def test_what_production_served_worse_with_is_refused(purpose, outcome, refused):
    ended = trial(outcome=outcome)
    ended = ended.model_copy(update={"spec": ended.spec.model_copy(update={"purpose": purpose})})
    assert record_of(ended, "uid", L4).refused is refused


def test_what_says_nothing_of_the_configuration_leaves_nothing():
    taken = NO_ROOM.model_copy(update={"class_": CrashClass.GPU_MEMORY_TAKEN, "fault": Fault.INFRASTRUCTURE})
    assert record_of(trial(outcome=Outcome.INFRASTRUCTURE, crash=taken), "uid", L4) is None
    assert record_of(trial(crash=taken), "uid", L4) is None
    assert record_of(trial(outcome=Outcome.CANCELLED), "uid", L4) is None
    assert record_of(trial(phase=TrialPhase.LOADING, outcome=None), "uid", L4) is None


def test_a_record_survives_json_and_fields_of_a_later_version():
    record = record_of(trial(crash=NO_ROOM), "uid", L4)
    stored = json.loads(json.dumps(record.dump()))
    assert LedgerRecord.model_validate(stored) == record
    assert LedgerRecord.model_validate(stored | {"newField": 1}) == record
    assert len(json.dumps(stored)) < 1600


@pytest.mark.parametrize(
    "change",
    [
        {"schemaVersion": 2},
        {"parameters": {"max_num_seqs": "many"}},
        {"parameters": {"unheard_of": "1"}},
        {"number": -1},
    ],
)
def test_what_this_version_cannot_understand_is_refused_whole(change):
    with pytest.raises(ValidationError):
        LedgerRecord.model_validate(record_of(trial(crash=NO_ROOM), "uid", L4).dump() | change)


def test_compaction_keeps_the_later_of_two_and_the_latest_of_each_setup():
    def of(number, setup=L4, crashed=True):
        return LedgerRecord(study="s", run=setup.gpu_name, number=number, setup=setup, parameters={}, crashed=crashed)

    assert compacted([of(1), of(2), of(1, crashed=False)]) == [of(1, crashed=False), of(2)]
    other = Setup(gpu_name="NVIDIA H100")
    kept = compacted([of(0, other), *(of(i) for i in range(MOST_OF_A_KIND + 40))])
    assert kept == [of(0, other), *(of(i) for i in range(40, MOST_OF_A_KIND + 40))]
    cards = [Setup(gpu_name=f"card {i}") for i in range(10)]
    assert len(compacted(of(i, card) for card in cards for i in range(MOST_OF_A_KIND))) == MOST_RECORDS


def test_the_models_identity_is_its_name_and_what_makes_it_another_one():
    assert model_of(["meta/llama", "--max-num-seqs", "8", "--port=1"]) == "meta/llama"
    assert model_of(["--model=meta/llama", "--revision", "abc"]) == "meta/llama revision=abc"
    assert model_of(["--profile=7b-h100", "--max-num-seqs=2"]) == "profile=7b-h100"
    assert model_of(["--max-num-seqs=2"]) == ""


def test_the_version_is_read_from_the_log():
    assert version_in("INFO 11-22 08:47:53 [api_server.py:1] vLLM API server version 0.24.0\n") == "0.24.0"
    assert version_in("vLLM API server version 0.10.2rc1.dev8+g1 with") == "0.10.2rc1.dev8+g1"
    assert version_in("Initializing a V1 LLM engine (v0.24.0) with config: model=") == "0.24.0"
    assert version_in("no such line") == ""


def test_the_nearest_are_of_this_model_then_of_this_gpu_then_the_latest():
    setups = (Setup(), Setup(gpu_name="NVIDIA L4"), L4.model_copy(update={"gpu_name": ""}))
    records = [
        LedgerRecord(study="s", run="r", number=i, setup=setups[i % 3], parameters={}, crashed=False) for i in range(9)
    ]
    assert [record.number for record in nearest(records, L4, 4)] == [2, 5, 7, 8]
    assert nearest(records, L4, 0) == ()
    assert nearest(records, L4, 50) == tuple(records)
