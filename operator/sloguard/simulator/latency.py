"""How long one engine step takes: a roofline of GPU and model, and what the CPU needs to launch it. Pure.

GPU: the larger of arithmetic (2 FLOPs a weight and token, plus attention) and memory traffic (weights once a step,
plus every KV entry that is read). CPU: scheduling and sampling grow with the batch, and unless the whole step is one
captured CUDA graph, Python launches a part of it layer by layer while the GPU works; the slower of the two decides.
How much it launches depends on the batch (vLLM's cudagraph mode FULL_AND_PIECEWISE):

- only decodes, and a full graph for that many sequences (sizes are captured up to max_num_seqs): nothing,
- no more tokens than the largest captured size: attention, between the captured pieces,
- more tokens: every compiled piece,
- --enforce-eager: every kernel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sloguard.simulator.memory import kv_bytes_per_token, weight_bytes

if TYPE_CHECKING:
    from sloguard.simulator.config import EngineConfig

FP8_SPEEDUP = 1.6  # of matrix products, where the GPU has FP8 units; the data sheet says 2
FP8_KV_PENALTY = 1.15  # attention with an 8-bit cache dequantizes
TENSOR_PARALLEL_STEP_SECONDS = 0.00002  # two all-reduces a layer, each about 10 microseconds on NVLink
SYNCHRONOUS_SCHEDULING_FACTOR = 1.6  # without async scheduling the CPU's part is not hidden


@dataclass(frozen=True)
class StepShape:
    """What one step computes."""

    tokens: int  # scheduled tokens, prompts and decodes
    sequences: int
    context_tokens: int  # KV entries read, summed over sequences
    attention_pairs: int  # sum over scheduled tokens of the context each attends to
    prompts: int = 0  # sequences of which more than one token is computed


class LatencyModel:
    """Seconds a step, for one configuration."""

    def __init__(self, config: EngineConfig) -> None:
        gpu, model, host = config.profile.gpu, config.profile.model, config.profile.host
        speedup = FP8_SPEEDUP if config.quantization == "fp8" and gpu.has_fp8 else 1.0
        flops = gpu.peak_flops_per_second * gpu.flops_efficiency * config.tensor_parallel_size
        self._seconds_per_token = 2 * model.layer_parameters / (flops * speedup)
        # The output layer runs for one position a sequence.
        self._seconds_per_sequence = 2 * model.hidden * model.vocabulary / flops
        self._seconds_per_pair = 4 * model.layers * model.attention_heads * model.head_dim / flops
        bandwidth = gpu.bandwidth_bytes_per_second * gpu.bandwidth_efficiency
        embedding = 0 if model.tied_embeddings else model.vocabulary * model.hidden * 2 // config.tensor_parallel_size
        self._weight_seconds = max(0, weight_bytes(config) - embedding) * config.pipeline_parallel_size / bandwidth
        kv_penalty = FP8_KV_PENALTY if config.kv_cache_dtype.startswith("fp8") else 1.0
        self._seconds_per_context_token = kv_bytes_per_token(config) * kv_penalty / bandwidth
        sizes = config.cudagraph_sizes
        self._largest_graph = sizes[-1] if sizes else 0
        self._full_graph = max((size for size in sizes if size <= config.max_num_seqs), default=0)
        self._attention_launch = host.attention_launch_seconds * model.layers
        self._compiled_launch = host.compiled_launch_seconds * model.layers
        quantizing = host.quantization_launch_seconds if config.quantization else 0.0
        self._eager_launch = (host.eager_launch_seconds + quantizing) * model.layers
        factor = 1.0 if config.async_scheduling else SYNCHRONOUS_SCHEDULING_FACTOR
        self._overhead_seconds = host.step_seconds * factor
        self._overhead_per_sequence = host.sequence_seconds * factor
        self._overhead_per_prompt = host.prompt_seconds * factor
        if config.tensor_parallel_size > 1:
            self._overhead_seconds += TENSOR_PARALLEL_STEP_SECONDS * model.layers

    def step_seconds(self, shape: StepShape) -> float:
        compute = shape.tokens * self._seconds_per_token + shape.sequences * self._seconds_per_sequence
        compute += shape.attention_pairs * self._seconds_per_pair
        traffic = self._weight_seconds + shape.context_tokens * self._seconds_per_context_token
        gpu = max(compute, traffic)
        overhead = self._overhead_seconds + shape.sequences * self._overhead_per_sequence
        overhead += shape.prompts * self._overhead_per_prompt
        return max(gpu, self._launch(shape)) + overhead

    def _launch(self, shape: StepShape) -> float:
        if not self._largest_graph:
            return self._eager_launch
        if not shape.prompts and shape.sequences <= self._full_graph:
            return 0.0
        return self._attention_launch if shape.tokens <= self._largest_graph else self._compiled_launch
