"""Which GPU and which model the simulator pretends to have.

Sources. GPU figures: NVIDIA data sheets (dense BF16 FLOP/s, memory bandwidth) and the capacity that
`torch.cuda.mem_get_info` reports, which is below the marketing figure. Model shapes: the `config.json` of
Meta-Llama-3-8B, Qwen2-7B and Qwen2-1.5B. Efficiencies and what a host takes were fitted to recordings of vLLM 0.24.0 on
H200s (decode 4.9 ms for 14.3 GiB of weights, 2048 prompt tokens in 41 ms, eager steps of about 20 ms, 40 to 45 requests
of 128 tokens a second through one API server); tests/bench/README.md says how well they hold.
"""

from __future__ import annotations

from dataclasses import dataclass

GIB = 1024**3


@dataclass(frozen=True)
class Gpu:
    """A card, as a roofline sees it."""

    name: str
    total_bytes: int
    peak_flops_per_second: float  # dense, 16 bit
    bandwidth_bytes_per_second: float
    compute_capability: int  # 90 means 9.0
    has_fp8: bool
    context_bytes: int  # held by the CUDA context before vLLM starts: 0.51 GiB on H200
    non_torch_bytes: int = int(0.27 * GIB)  # NCCL and cuBLAS workspaces, counted by vLLM's profiling
    libraries_bytes: int = int(0.19 * GIB)  # loaded after profiling, so not counted; only seen with CUDA graphs
    graph_bytes_per_layer: int = int(0.15 * 1024**2)  # a captured graph takes 4.2 MiB for 28 layers
    flops_efficiency: float = 0.65
    bandwidth_efficiency: float = 0.92


@dataclass(frozen=True)
class Model:
    """A dense decoder with grouped-query attention and a gated MLP."""

    name: str
    architecture: str
    layers: int
    hidden: int
    intermediate: int
    attention_heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    max_position: int
    tied_embeddings: bool

    @property
    def layer_parameters(self) -> int:
        """Weights of all layers without embeddings; norms and biases are below one per mille."""
        query_and_output = 2 * self.hidden * self.attention_heads * self.head_dim
        key_and_value = 2 * self.hidden * self.kv_heads * self.head_dim
        return self.layers * (query_and_output + key_and_value + 3 * self.hidden * self.intermediate)

    @property
    def embedding_parameters(self) -> int:
        return self.vocabulary * self.hidden * (1 if self.tied_embeddings else 2)

    @property
    def parameters(self) -> int:
        return self.layer_parameters + self.embedding_parameters


@dataclass(frozen=True)
class Host:
    """What vLLM's Python takes on a CPU: seconds of the API server's core, and of the engine's."""

    request_seconds: float = 0.0045  # API server: a request, without its prompt
    prompt_token_seconds: float = 0.000004
    token_seconds: float = 0.00007  # an output token: taken from the engine, detokenized
    chunk_seconds: float = 0.00011  # a streamed chunk: built and written
    step_seconds: float = 0.0012  # engine: scheduling and sampling for an empty batch
    sequence_seconds: float = 0.00002
    prompt_seconds: float = 0.001  # each prompt in a batch: its blocks, its row
    eager_launch_seconds: float = 0.0007  # a layer: ~20 kernels, each launched by Python
    quantization_launch_seconds: float = 0.0001  # a layer's more of them with online quantization
    compiled_launch_seconds: float = 0.00075  # a layer of the compiled model, without a graph
    attention_launch_seconds: float = 0.00019  # a layer's attention, between captured pieces


@dataclass(frozen=True)
class Profile:
    """One GPU type with one model, on one kind of host."""

    name: str
    gpu: Gpu
    model: Model
    startup_seconds: float  # imports of Python modules and process starts, without loading, compiling and graphs
    host: Host = Host()


LLAMA_3_8B = Model(
    name="meta-llama/Meta-Llama-3-8B-Instruct",
    architecture="LlamaForCausalLM",
    layers=32,
    hidden=4096,
    intermediate=14336,
    attention_heads=32,
    kv_heads=8,
    head_dim=128,
    vocabulary=128256,
    max_position=8192,
    tied_embeddings=False,
)
QWEN2_7B = Model(
    name="Qwen/Qwen2-7B-Instruct",
    architecture="Qwen2ForCausalLM",
    layers=28,
    hidden=3584,
    intermediate=18944,
    attention_heads=28,
    kv_heads=4,
    head_dim=128,
    vocabulary=152064,
    max_position=32768,
    tied_embeddings=False,
)
QWEN2_1_5B = Model(
    name="Qwen/Qwen2-1.5B-Instruct",
    architecture="Qwen2ForCausalLM",
    layers=28,
    hidden=1536,
    intermediate=8960,
    attention_heads=12,
    kv_heads=2,
    head_dim=128,
    vocabulary=151936,
    max_position=32768,
    tied_embeddings=True,
)
TINY_MODEL = Model(
    name="sloguard/tiny",
    architecture="LlamaForCausalLM",
    layers=16,
    hidden=1024,
    intermediate=4096,
    attention_heads=16,
    kv_heads=4,
    head_dim=64,
    vocabulary=32768,
    max_position=4096,
    tied_embeddings=False,
)

_CONTEXT_BYTES = int(0.51 * GIB)

H100 = Gpu("NVIDIA H100 80GB HBM3", int(79.18 * GIB), 989e12, 3.35e12, 90, True, _CONTEXT_BYTES)
A100 = Gpu("NVIDIA A100-PCIE-40GB", int(39.38 * GIB), 312e12, 1.555e12, 80, False, _CONTEXT_BYTES)
# An L4 holds 72 W: long matrix products run at about half of the data sheet's 121 TFLOP/s.
L4 = Gpu("NVIDIA L4", int(22.03 * GIB), 121e12, 300e9, 89, True, int(0.45 * GIB), flops_efficiency=0.5)
RTX_4090 = Gpu("NVIDIA GeForce RTX 4090", int(23.52 * GIB), 165e12, 1.008e12, 89, True, int(0.45 * GIB))
# The recordings' cards: an H200's speed behind an allocator capped to a smaller card.
H200_AS_24GB = Gpu("NVIDIA H200", 24 * GIB, 989e12, 4.8e12, 90, True, _CONTEXT_BYTES)
H200_AS_8GB = Gpu("NVIDIA H200", 8 * GIB, 989e12, 4.8e12, 90, True, _CONTEXT_BYTES)
# Invented, so that a decode step lasts about 5 ms and a prompt of 256 tokens about 12.
TINY_GPU = Gpu(
    "SLO-Guard Tiny",
    1 * GIB,
    25e12,
    150e9,
    89,
    True,
    int(0.02 * GIB),
    non_torch_bytes=int(0.01 * GIB),
    libraries_bytes=int(0.005 * GIB),
    graph_bytes_per_layer=16 * 1024,
)
# Fast enough not to be what tests of the tiny profile measure.
TINY_HOST = Host(
    request_seconds=0.0002,
    prompt_token_seconds=0.0,
    token_seconds=0.0,
    chunk_seconds=0.0001,
    step_seconds=0.0003,
    prompt_seconds=0.0,
    eager_launch_seconds=0.0006,
    quantization_launch_seconds=0.0,
    compiled_launch_seconds=0.00012,
    attention_launch_seconds=0.0,
)

PROFILES: dict[str, Profile] = {
    profile.name: profile
    for profile in (
        Profile("7b-h100", H100, QWEN2_7B, 44.0),
        Profile("8b-l4", L4, LLAMA_3_8B, 44.0),
        Profile("8b-4090", RTX_4090, LLAMA_3_8B, 44.0),
        Profile("1.5b-a100", A100, QWEN2_1_5B, 44.0),
        Profile("7b-h200-24gb", H200_AS_24GB, QWEN2_7B, 50.0),
        Profile("1.5b-h200-8gb", H200_AS_8GB, QWEN2_1_5B, 50.0),
        Profile("tiny", TINY_GPU, TINY_MODEL, 4.0, TINY_HOST),
    )
}
ALIASES = {"7b-80gb": "7b-h100", "8b-24gb": "8b-l4", "1.5b-40gb": "1.5b-a100"}
DEFAULT_PROFILE = "8b-l4"


def find_profile(name: str) -> Profile:
    """The profile of that name or alias; KeyError names the ones there are."""
    try:
        return PROFILES[ALIASES.get(name, name)]
    except KeyError:
        raise KeyError(f"unknown profile {name!r}: one of {', '.join([*PROFILES, *ALIASES])}") from None
