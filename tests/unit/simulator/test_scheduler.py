from sloguard.simulator.arguments import parse_arguments
from sloguard.simulator.config import resolve
from sloguard.simulator.latency import LatencyModel, StepShape
from sloguard.simulator.scheduler import Request, Scheduler, SchedulerLimits


def request(name, prompt, output=4, **extra):
    tokens = list(range(prompt)) if isinstance(prompt, int) else prompt
    return Request(name, tokens, output, 0.0, **extra)


def scheduler(*, seqs=8, tokens=64, blocks=100, **extra):
    return Scheduler(SchedulerLimits(max_num_seqs=seqs, max_num_batched_tokens=tokens, **extra), blocks)


def step(engine, now=0.0):
    planned = engine.plan(now)
    if planned is None:
        return None
    chunks = [(request.request_id, number) for request, number in planned.chunks]
    engine.complete(planned, now)
    return chunks


def test_a_prompt_is_computed_in_chunks_and_yields_its_first_token_with_the_last():
    engine = scheduler(tokens=64)
    one = request("a", 150, output=2)
    engine.add(one)
    assert [step(engine), step(engine)] == [[("a", 64)], [("a", 64)]]
    assert one.produced == 0
    assert step(engine) == [("a", 22)]
    assert one.produced == 1
    assert step(engine) == [("a", 1)]
    assert one.finished
    assert not engine.has_work
    assert engine.pool.usage == 0


def test_decodes_go_before_new_prompts_within_the_budget():
    engine = scheduler(tokens=20)
    engine.add(request("a", 10, output=9))
    step(engine)
    engine.add(request("b", [7] * 40, output=9))
    assert step(engine) == [("a", 1), ("b", 19)]


def test_the_number_of_sequences_is_limited():
    engine = scheduler(seqs=2, prefix_caching=False)
    for name in "abc":
        engine.add(request(name, 5, output=2))
    assert step(engine) == [("a", 5), ("b", 5)]
    assert step(engine) == [("a", 1), ("b", 1)]
    assert step(engine) == [("c", 5)]


def test_without_chunked_prefill_a_prompt_waits_for_a_step_it_fits_in():
    engine = scheduler(tokens=64, chunked_prefill=False, prefix_caching=False)
    engine.add(request("a", 40))
    engine.add(request("b", 40))
    assert step(engine) == [("a", 40)]
    assert step(engine) == [("a", 1), ("b", 40)]


def test_long_prompts_are_cut_at_the_threshold():
    engine = scheduler(tokens=64, long_prefill_token_threshold=10)
    engine.add(request("a", 25))
    assert [step(engine), step(engine), step(engine)] == [[("a", 10)], [("a", 10)], [("a", 5)]]


def test_a_shared_prefix_is_computed_once():
    engine = scheduler(tokens=200)
    first, second = request("a", 100, output=1), request("b", [*range(64), *range(500, 536)], output=1)
    engine.add(first)
    step(engine)
    engine.add(second)
    assert step(engine) == [("b", 36)]
    assert (first.cached, second.cached) == (0, 64)
    again = request("c", 64, output=1)
    engine.add(again)
    assert step(engine) == [("c", 16)]  # the last block is computed again for its logits


def test_the_least_recently_used_prefix_is_evicted_first():
    engine = scheduler(tokens=200, blocks=8)
    prompts = [[number] * 48 for number in range(3)]
    for prompt in prompts:  # 3 blocks each, 8 in all: the third takes from the first
        engine.add(request("x", prompt, output=1))
        step(engine)
    kept, evicted = request("kept", prompts[2], output=1), request("evicted", prompts[0], output=1)
    engine.add(kept)
    step(engine)
    engine.add(evicted)
    step(engine)
    assert kept.cached == 32
    assert evicted.cached < 32


def test_when_blocks_run_out_the_youngest_is_preempted_and_computed_again():
    engine = scheduler(tokens=100, blocks=5, prefix_caching=False)
    old, young = request("old", 30, output=40), request("young", 31, output=3)
    engine.add(old)
    engine.add(young)
    step(engine)
    preempted = 0
    for _ in range(200):
        planned = engine.plan(0.0)
        if planned is None:
            break
        preempted += planned.preempted
        engine.complete(planned, 0.0)
    assert (old.finished, young.finished) == (True, True)
    assert (old.preemptions, preempted) == (0, young.preemptions)


def test_an_aborted_request_gives_its_blocks_back_even_while_its_step_runs():
    engine = scheduler()
    one, two = request("a", 20), request("b", [9] * 20)
    engine.add(one)
    engine.add(two)
    planned = engine.plan(0.0)
    engine.abort(one)
    engine.abort(one)
    engine.complete(planned, 0.0)
    assert (one.produced, two.produced) == (0, 1)
    engine.abort(two)
    assert engine.pool.usage == 0


def test_priorities_order_the_queue():
    engine = scheduler(seqs=1, priority_policy=True, prefix_caching=False)
    for name, priority in (("low", 5), ("high", 0), ("low2", 5)):
        engine.add(request(name, 4, output=1, priority=priority))
    assert [step(engine)[0][0] for _ in range(3)] == ["high", "low", "low2"]


def latency(profile, *arguments):
    return LatencyModel(resolve(parse_arguments(["m", "--profile", profile, *arguments])))


def decode(sequences, context=1000):
    return StepShape(sequences, sequences, sequences * context, sequences * context)


def prefill(tokens):
    return StepShape(tokens, 1, tokens, tokens * tokens // 2, prompts=1)


def test_steps_last_about_as_long_as_recorded_on_an_h200():
    graphs, eager = latency("7b-h200-24gb"), latency("7b-h200-24gb", "--enforce-eager")
    assert 0.004 < graphs.step_seconds(decode(8)) < 0.006  # 4.9 ms recorded
    assert 0.003 < latency("7b-h200-24gb", "--quantization", "fp8").step_seconds(decode(8)) < 0.0045  # 3.5 ms
    assert 0.013 < eager.step_seconds(decode(8)) < 0.025  # 14 to 24 ms
    assert 0.030 < graphs.step_seconds(prefill(2048)) < 0.055  # 41.6 ms


def test_a_batch_costs_less_than_its_requests_one_by_one_and_more_than_one():
    model = latency("8b-l4")
    assert model.step_seconds(decode(1)) < model.step_seconds(decode(64)) < 4 * model.step_seconds(decode(1))


def test_two_gpus_are_faster_than_one_and_slower_than_twice():
    one, two = latency("7b-h100", "--gpus", "2"), latency("7b-h100", "--gpus", "2", "-tp", "2")
    assert one.step_seconds(prefill(4096)) / 2 < two.step_seconds(prefill(4096)) < one.step_seconds(prefill(4096))
