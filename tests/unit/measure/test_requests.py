import json

from sloguard.api.v1alpha1 import Arrival, SharedPrefix, TokenLengths
from sloguard.measure.requests import RequestFactory
from tests.unit.measure.fake_server import a_workload


def bodies(workload, name="100", **options):
    factory = RequestFactory(workload, model="m", **options)
    return [request.body() for request in factory.stream(name, percent=100, duration_seconds=10)]


def prompts(*arguments, **options):
    return [json.loads(body)["prompt"] for body in bodies(*arguments, **options)]


def varied(**changes):
    fields = {
        "arrival": Arrival(requests_per_minute=600),
        "prompt_tokens": TokenLengths(mean=50, stddev=40, min=5, max=100),
        "output_tokens": TokenLengths(mean=9, stddev=9, min=1, max=20),
    }
    return a_workload(**fields | changes)


def test_body():
    (body, *_) = bodies(a_workload())
    request = json.loads(body)
    prompt = request.pop("prompt")
    assert len(prompt) == 8
    assert request == {
        "model": "m",
        "max_tokens": 4,
        "min_tokens": 4,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_a_models_name_is_escaped():
    (request, *_) = RequestFactory(a_workload(), model='a"b').stream("x", percent=100, duration_seconds=1)
    assert json.loads(request.body())["model"] == 'a"b'


def test_lengths_are_clipped_and_as_announced():
    for request in RequestFactory(varied(), model="m").stream("100", percent=100, duration_seconds=10):
        sent = json.loads(request.body())
        assert 5 <= len(sent["prompt"]) == request.prompt_tokens <= 100
        assert 1 <= sent["max_tokens"] == sent["min_tokens"] == request.output_tokens <= 20


def test_ids_lie_in_a_small_vocabulary():
    ids = {token for prompt in prompts(varied()) for token in prompt}
    assert min(ids) >= 100
    assert max(ids) < 356
    assert min(token for prompt in prompts(varied(), first_token_id=1000) for token in prompt) >= 1000


def test_a_share_of_the_prompts_begins_with_the_same_tokens():
    found = prompts(varied(shared_prefix=SharedPrefix(tokens=5, percent=30)))
    prefix = max((prompt[:5] for prompt in found), key=lambda start: sum(prompt[:5] == start for prompt in found))
    assert 15 <= sum(prompt[:5] == prefix for prompt in found) <= 45
    other_rate = prompts(varied(shared_prefix=SharedPrefix(tokens=5, percent=100)), "150")
    assert all(prompt[:5] == prefix for prompt in other_rate)


def test_a_prompt_shorter_than_the_prefix_is_its_beginning():
    workload = varied(shared_prefix=SharedPrefix(tokens=100, percent=100))
    longest = max(prompts(workload), key=len)
    assert all(prompt == longest[: len(prompt)] for prompt in prompts(workload))


def test_streams_and_seeds_share_no_prompt():
    everything = [
        tuple(prompt)
        for seed in (1, 2)
        for stream in ("warmup", "50", "100")
        for prompt in prompts(varied(seed=seed, prompt_tokens=TokenLengths(mean=20, max=20)), stream)
    ]
    assert len(set(everything)) == len(everything) == 600
