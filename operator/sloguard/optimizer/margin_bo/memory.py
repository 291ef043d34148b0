"""How much KV cache a start will find, and how much GPU memory serving will leave free.

Both are linear in what the configuration asks for, once utilization is multiplied by the card's memory, and physics
says roughly how (GiB; vLLM 0.33.0, `determine_available_memory` in `vllm/v1/worker/gpu_worker.py`):

    KV cache  =  utilization x VRAM  -  weights  -  activations of a full batch (or the sampler's)  -  CUDA graphs
    free      =  (1 - utilization) x VRAM  -  context  -  what serving takes beyond that

The priors say so, and the log's figures of each trial correct them. Where VRAM is not known, the first start tells it:
KV cache, weights and graphs together are utilization x VRAM but for the activations. Where NVML or DCGM could be asked,
trials tell what was free under load. Elsewhere, a server that served proves that it was above zero; an out-of-memory
proves everywhere that it was below.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import numpy as np
from numpy.typing import NDArray

from sloguard.api.v1alpha1 import CrashClass, KnobName, Outcome
from sloguard.domain.knobs import AUTO, NO_QUANTIZATION
from sloguard.domain.ledger import EMPTY
from sloguard.domain.result import Result
from sloguard.domain.rules import effective

from .card import ACTIVATIONS_GIB_PER_1024, FIXED_GIB
from .earlier import Bools, Earlier, earlier_of, without_weights
from .encoding import Encoding, Floats, Points
from .readings import GIB, NO_ROOM, Reading, read
from .regression import Borrowed, Linear, Observed, Prior, fit_beside

NOISE_GIB = 0.3
"""Identical arguments got 6.15 and 6.56 GiB of KV cache on a real server: compiled, or loaded from the cache."""

FREE_NOISE_GIB = 0.12
"""Of what serving leaves free: whether it suffices depends on which requests happen to meet.

Little, so that who is like one that ran out is expected to run out as well.
"""

READ_NOISE_GIB = 0.45
"""Of free memory as it is read: PyTorch keeps what it once took, and gives it back only where it runs short."""

FREE_OFFSET = 0.3
"""Of a setup's offset of the KV cache: what is left beyond the server's share depends less on where it runs."""

UNKNOWN_CARD_GIB = 48.0
WEIGHTS_BY_FORMAT = {NO_QUANTIZATION: 1.0, "fp8": 0.57, "awq": 0.36, "gptq": 0.36, "awq_marlin": 0.36}
"""Weights against those of the unquantized checkpoint; embeddings stay at 16 bit."""

NARROW = "fp8"
"""How the names of cache formats with one byte a number begin."""

UNKNOWN_BYTES_PER_TOKEN = 131072.0
"""Of the KV cache of an 8B model, where no start has told the size yet."""

UNKNOWN_TOKENS, TYPICAL_SHARE = 1024.0, 0.6
"""Of a request, prompt and answer: where the workload says nothing, and against its longest where it says that."""

SHARPNESS = 12.0
"""Of the bend between what max_num_seqs allows, the cache holds and the load wants: a scheduler admits up to the least
of them. Where two are alike, 4 % less; a rounder bend would promise the more, the less max_num_seqs holds back."""

LEAST_RESERVED_GIB, MOST_RESERVED_GIB = 0.2, 1.4
"""Of the CUDA context: what is never free at the start, and so cannot be asked for."""

EXPLAINED = NO_ROOM | {CrashClass.CUDA_OUT_OF_MEMORY, CrashClass.GPU_MEMORY_REQUEST_TOO_HIGH}
"""Crashes whose message says memory. Other deaths are left to `blame`, also those that may have been memory."""

_K = KnobName


@dataclass(frozen=True)
class Memory:
    """What the history says about memory. Built by `learn`."""

    vram_gib: float
    formats: tuple[str, ...]
    generic: tuple[KnobName, ...]
    kv: Linear
    free: Linear
    bytes_per_token: dict[str, float]
    least_need_gib: float
    typical_tokens: float
    started_utilization: float
    refused_utilization: float
    concurrency: float | None

    def starts(self, points: Points) -> Floats:
        """How likely each survives, as far as memory is concerned."""
        features = _features(points, self.vram_gib, self.formats, self.generic)
        room = self.kv.above(self.need_gib(points), features)
        return room * self.free.above(np.zeros(len(points)), features) * self._granted(points)

    def kv_gib(self, points: Points) -> tuple[Floats, Floats]:
        """The KV cache that a start will find: mean and standard deviation."""
        return self.kv.predict(_features(points, self.vram_gib, self.formats, self.generic))

    def free_gib(self, points: Points) -> tuple[Floats, Floats]:
        """GPU memory left under load: mean and standard deviation."""
        return self.free.predict(_features(points, self.vram_gib, self.formats, self.generic))

    def concurrency_place(self, points: Points) -> Floats:
        """How many requests run at once, on a scale where twice as many is a third.

        At most max_num_seqs, what the expected KV cache holds of typical requests, and what the load keeps running;
        near where these meet, a little less.
        """
        room = np.maximum(self.kv_gib(points)[0], 0.05)
        per_token = self._per_token(points)
        per_token = np.where(per_token > 0, per_token, UNKNOWN_BYTES_PER_TOKEN)
        held = np.log2(room * GIB / per_token / self.typical_tokens)
        allowed = np.log2(np.maximum(np.nan_to_num(points.numbers[_K.MAX_NUM_SEQS], nan=256.0), 1.0))
        limits = [held, allowed]
        if self.concurrency:
            limits.append(np.full(len(points), np.log2(self.concurrency)))
        return -np.logaddexp.reduce(-SHARPNESS * np.array(limits), axis=0) / SHARPNESS / 3

    def need_gib(self, points: Points) -> Floats:
        """The KV cache of one request of the greatest length; what is known of it where no length is set."""
        lengths = points.numbers[_K.MAX_MODEL_LEN]
        per_token = self._per_token(points)
        return np.where(np.isnan(lengths), self.least_need_gib, np.nan_to_num(lengths) * per_token / GIB)

    def _per_token(self, points: Points) -> Floats:
        """Bytes; 0 where nothing is known."""
        texts = points.texts[_K.KV_CACHE_DTYPE]
        sizes = np.zeros(len(points))
        for text, size in self.bytes_per_token.items():
            sizes[texts == text] = size
        return sizes

    def _granted(self, points: Points) -> Floats:
        """How likely the card has as much as is asked for, from what was granted and refused before."""
        asked = points.numbers[_K.GPU_MEMORY_UTILIZATION]
        low = max(self.started_utilization, 1 - MOST_RESERVED_GIB / self.vram_gib)
        high = min(self.refused_utilization, 1 - LEAST_RESERVED_GIB / self.vram_gib)
        if high <= low:
            return np.where(asked <= max(self.started_utilization, high), 1.0, 0.0)
        return np.clip((high - asked) / (high - low), 0.0, 1.0)


def learn(encoding: Encoding, taught: Sequence[Result], points: Points, earlier: Earlier | None = None) -> Memory:
    """From all starts and crashes, encoded in `points`, and those of earlier studies; with none, from physics alone."""
    return _Lesson(encoding, taught, points, earlier).memory()


def _within(card_gib: float, reading: Reading) -> Reading:
    """Where a card has more free than a server finds in all, its free memory is not the server's."""
    return replace(reading, free_gib=math.nan) if reading.free_gib > card_gib else reading


class _Lesson:
    """The history in numbers, on the way to a `Memory`."""

    def __init__(self, encoding: Encoding, taught: Sequence[Result], points: Points, earlier: Earlier | None) -> None:
        self.taught, self.points = taught, points
        self.earlier = earlier_of(EMPTY, encoding) if earlier is None else earlier
        self.card = None if encoding.context.vram_bytes is None else encoding.context.vram_bytes / GIB
        self.vram = self.card or UNKNOWN_CARD_GIB
        self.readings = [_within(self.vram, read(result)) for result in taught]
        longest = encoding.context.min_model_len_tokens
        guess = UNKNOWN_TOKENS if longest is None else TYPICAL_SHARE * longest
        self.typical_tokens = encoding.context.request_tokens or guess
        self.concurrency = encoding.context.concurrency
        quantization = encoding.space.domains.get(_K.QUANTIZATION)
        searched = [] if quantization is None else [str(value) for value in quantization.values]
        seen = [str(text) for text in self.points.texts[_K.QUANTIZATION]]
        unset = str(effective({}, encoding.context)[_K.QUANTIZATION])
        self.formats = tuple(sorted({*searched, *seen, unset}))
        known = {*_MODELLED, _K.QUANTIZATION}
        self.generic = tuple(name for name in encoding.space.domains if name not in known)
        self.features = _features(self.points, self.vram, self.formats, self.generic)

    def memory(self) -> Memory:
        per_token = self._bytes_per_token()
        need = self._least_need()
        started, refused = self._utilizations()
        own, borrowed = self._free_observed(), self._free_borrowed()
        are_read = not np.isnan(np.append(own.values, borrowed.observed.values)).all()
        free = fit_beside(own, borrowed, self._free_prior(are_read=are_read))
        started = max(started, min(self._left_over(free), refused))
        return Memory(
            vram_gib=self.vram,
            formats=self.formats,
            generic=self.generic,
            kv=fit_beside(self._kv_observed(), self._kv_borrowed(), self._kv_prior()),
            free=free,
            bytes_per_token=per_token,
            least_need_gib=need,
            typical_tokens=self.typical_tokens,
            started_utilization=started,
            refused_utilization=refused,
            concurrency=self.concurrency,
        )

    def _left_over(self, free: Linear) -> float:
        """A utilization that the card grants: what is free under load was so before it. 0 where nothing was read."""
        read_ones = np.array([reading.free_gib for reading in self.readings], dtype=np.float64)
        rows = np.flatnonzero(~np.isnan(read_ones))
        mean, sd = free.quantity(self.features[rows])
        asked = self.points.numbers[_K.GPU_MEMORY_UTILIZATION][rows]
        highest = float((asked + (mean - sd) / self.vram).max(initial=0.0))
        return min(highest, 1 - LEAST_RESERVED_GIB / self.vram)

    def _kv_observed(self) -> Observed:
        return _told(self.features, *_kv_figures(self.taught, self.readings))[0]

    def _free_observed(self) -> Observed:
        return _told(self.features, *_free_figures(self.taught, self.readings))[0]

    def _kv_borrowed(self) -> Borrowed:
        """As much KV cache more or less as the other card is larger or smaller, or as the other model's weights are."""
        earlier = self.earlier
        values, signs = _kv_figures(earlier.results, earlier.readings)
        weights = np.array([reading.weights_gib for reading in earlier.readings], dtype=np.float64)
        features = _features(earlier.points, earlier.cards_gib, self.formats, self.generic)
        foreign = _features(without_weights(earlier.points), earlier.cards_gib, self.formats, self.generic)
        same = earlier.same_model & np.isin(earlier.points.texts[_K.QUANTIZATION], self.formats)
        features = np.where(same[:, None], features, foreign)
        values = np.where(same, values, values + weights)
        # What the refusal of other weights says depends on how large they were, which nobody told.
        signs[~same & np.isnan(values)] = 0.0
        return self._borrowed(features, values, signs)

    def _free_borrowed(self) -> Borrowed:
        """What is left beyond the server's share, on a card of this size: both cards keep equally much for others."""
        earlier = self.earlier
        values, signs = _free_figures(earlier.results, earlier.readings)
        signs[~earlier.same_model] = 0.0
        features = _features(earlier.points, earlier.cards_gib, self.formats, self.generic)
        features[:, SHARE_COLUMN] += self.vram - earlier.cards_gib
        return self._borrowed(features, values, signs, FREE_OFFSET)

    def _borrowed(self, features: Floats, values: Floats, signs: Floats, scale: float = 1.0) -> Borrowed:
        signs = np.where(np.isnan(self.earlier.cards_gib), 0.0, signs)
        observed, kept = _told(features, values, signs)
        return Borrowed(observed, self.earlier.setups[kept], self.earlier.offset_sds[kept] * scale)

    def _kv_prior(self) -> Prior:
        weights, sds = self._weights()
        scale = self._scale
        mean = [-FIXED_GIB, 1.0, -ACTIVATIONS_GIB_PER_1024, -0.2, -0.1, -0.1, -0.25, 0.0, 0.0, 0.0]
        sd = [0.5, 0.02, 0.12 * scale, 0.25 * scale, 0.3, 0.25 * scale, 0.3 * scale, 0.1, 0.3, 0.3]
        if self.card is None:
            sd[1] = 0.6
        generic = len(self.generic)
        return Prior(
            mean=np.array([*mean, *(-weights), *([0.0] * generic)]),
            sd=np.array([*sd, *sds, *([0.5 * scale] * generic)]),
            noise=NOISE_GIB,
            noise_floor=NOISE_GIB * 0.7,
        )

    def _free_prior(self, *, are_read: bool) -> Prior:
        scale = self._scale
        mean = [self.vram - 0.7, -1.0, -0.1, -0.05, -0.1, 0.0, -0.1, 0.0, -0.1, -0.1]
        sd = [0.4, 0.01, 0.25 * scale, 0.15 * scale, 0.2, 0.1 * scale, 0.2 * scale, 0.15, 0.4 * scale, 0.4 * scale]
        others = len(self.formats) + len(self.generic)
        return Prior(
            mean=np.array([*mean, *([0.0] * others)]),
            sd=np.array([*sd, *([0.2 * scale] * others)]),
            noise=READ_NOISE_GIB if are_read else FREE_NOISE_GIB,
            noise_floor=FREE_NOISE_GIB,
            strength=1.0 if are_read else 3.0,
            sign_noise=FREE_NOISE_GIB,
        )

    @property
    def _scale(self) -> float:
        """Larger cards serve larger models, whose activations and graphs are larger."""
        return max(1.0, float(np.sqrt(self.vram / 24)))

    def _weights(self) -> tuple[Floats, Floats]:
        """For each format, how large its weights are and how sure that is."""
        logged = self._logged_weights()
        factors = {text: WEIGHTS_BY_FORMAT.get(text, 0.6) for text in self.formats}
        wholes = [size / WEIGHTS_BY_FORMAT.get(text, 0.6) for text, size in logged.items()]
        whole = median(wholes) if wholes else 0.5 * self.vram
        doubt = 0.15 if wholes else 0.3
        sizes = [logged.get(text, whole * factors[text]) for text in self.formats]
        sds = [0.3 if text in logged else doubt * whole for text in self.formats]
        return np.array(sizes), np.array(sds)

    def _logged_weights(self) -> dict[str, float]:
        return self._medians(_K.QUANTIZATION, lambda reading: reading.weights_gib)

    def _bytes_per_token(self) -> dict[str, float]:
        known = self._medians(_K.KV_CACHE_DTYPE, lambda reading: reading.bytes_per_token)
        wide = [size * (2 if _is_narrow(text) else 1) for text, size in known.items()]
        if wide:
            for text in (AUTO, "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2"):
                known.setdefault(text, median(wide) / (2 if _is_narrow(text) else 1))
        return known

    def _medians(self, knob: KnobName, figure: Callable[[Reading], float]) -> dict[str, float]:
        """By the value of a format's knob: of this study's starts, else of earlier ones of the same model."""
        earlier = self.earlier
        before = [reading for reading, same in zip(earlier.readings, earlier.same_model, strict=True) if same]
        known = _medians(map(figure, before), earlier.points.texts[knob][earlier.same_model])
        return known | _medians(map(figure, self.readings), self.points.texts[knob])

    def _least_need(self) -> float:
        """Of one request, where no length is set: as a message said, or between what did not suffice and what did."""
        unset = np.isnan(self.points.numbers[_K.MAX_MODEL_LEN]).tolist()
        readings = [(r, r.kv_gib, result) for r, result, u in zip(self.readings, self.taught, unset, strict=True) if u]
        told = [reading.need_gib for reading, _, _ in readings if reading.need_gib > 0]
        if told:
            return told[0]
        refused = [kv for _, kv, result in readings if _refused_room(result) and not np.isnan(kv)]
        enough = [kv for _, kv, result in readings if not _refused_room(result) and not np.isnan(kv)]
        low = max([0.0, *refused])
        return max(low, (low + min(enough)) / 2) if enough and refused else low

    def _utilizations(self) -> tuple[float, float]:
        """The highest that was granted, and the lowest that was not or that a message named, here or on such a card."""
        own = _granted_and_refused(self.taught, self.readings, self.points)
        earlier = self.earlier
        rows = np.flatnonzero(earlier.same_card).tolist()
        results, readings = [earlier.results[i] for i in rows], [earlier.readings[i] for i in rows]
        before = _granted_and_refused(results, readings, earlier.points.take(rows))
        # What this study was granted or refused itself weighs more than what somebody saw before.
        started, refused = max(own[0], min(before[0], own[1])), min(own[1], max(before[1], own[0]))
        return min(started, refused), refused


SHARE_COLUMN = 1
"""Of the features: utilization x the card's memory."""

_MODELLED = (
    _K.MAX_NUM_SEQS,
    _K.MAX_NUM_BATCHED_TOKENS,
    _K.GPU_MEMORY_UTILIZATION,
    _K.MAX_MODEL_LEN,
    _K.ENFORCE_EAGER,
    _K.ENABLE_CHUNKED_PREFILL,
    _K.ENABLE_PREFIX_CACHING,
    _K.KV_CACHE_DTYPE,
)


def _features(points: Points, vram_gib: float | Floats, formats: Sequence[str], generic: Sequence[KnobName]) -> Floats:
    numbers = points.numbers
    tokens = np.nan_to_num(numbers[_K.MAX_NUM_BATCHED_TOKENS], nan=2048.0) / 1024
    seqs = np.nan_to_num(numbers[_K.MAX_NUM_SEQS], nan=256.0) / 128
    graphs = 1.0 - np.nan_to_num(numbers[_K.ENFORCE_EAGER])
    whole_prompts = 1.0 - np.nan_to_num(numbers[_K.ENABLE_CHUNKED_PREFILL], nan=1.0)
    narrow = np.char.startswith(points.texts[_K.KV_CACHE_DTYPE], NARROW).astype(np.float64)
    columns = [
        np.ones(len(points)),
        numbers[_K.GPU_MEMORY_UTILIZATION] * vram_gib,
        tokens,
        seqs,
        graphs,
        graphs * seqs,
        graphs * np.sqrt(seqs),
        tokens * whole_prompts,
        np.nan_to_num(numbers[_K.ENABLE_PREFIX_CACHING], nan=1.0),
        narrow,
        *((points.texts[_K.QUANTIZATION] == text).astype(np.float64) for text in formats),
        *(_centred(points, name) for name in generic),
    ]
    return np.column_stack(columns)


def _centred(points: Points, name: KnobName) -> Floats:
    """A knob that physics does not speak of: its number between -0.5 and 0.5, or its code."""
    values = np.nan_to_num(points.numbers[name]) if name in points.numbers else np.zeros(len(points))
    if not values.any():
        values = points.codes[name].astype(np.float64)
    return values / (1.0 + np.abs(values)) - 0.5


def _granted_and_refused(taught: Sequence[Result], readings: Sequence[Reading], points: Points) -> tuple[float, float]:
    started, refused = 0.0, 1.0 + 1e-9
    asked = points.numbers[_K.GPU_MEMORY_UTILIZATION].tolist()
    for result, reading, share in zip(taught, readings, asked, strict=True):
        crash = result.crash
        if crash is not None and crash.class_ is CrashClass.GPU_MEMORY_REQUEST_TOO_HIGH:
            limit = reading.utilization_limit
            refused = min(refused, share if np.isnan(limit) else limit + 1e-6)
            started = max(started, 0.0 if np.isnan(limit) else limit)
        elif result.outcome is not Outcome.CRASHED or (crash is not None and crash.class_ in EXPLAINED):
            started = max(started, share)
    return started, refused


def _told(features: Floats, values: Floats, signs: Floats) -> tuple[Observed, Bools]:
    """The rows that say anything, and which those are."""
    kept = signs != 0
    return Observed(features[kept], values[kept], signs[kept]), kept


def _kv_figures(taught: Sequence[Result], readings: Sequence[Reading]) -> tuple[Floats, Floats]:
    """Logged figures, NaN where there is none: a refusal for lack of room still says that there was none (-1)."""
    values = np.array([reading.kv_gib for reading in readings], dtype=np.float64)
    refused = np.array([_refused_room(result) for result in taught], dtype=np.bool_)
    return values, np.where(~np.isnan(values) | refused, -1.0, 0.0)


def _free_figures(taught: Sequence[Result], readings: Sequence[Reading]) -> tuple[Floats, Floats]:
    """As read under load, NaN where only the sign is known: of a server that ran out, no sample before was a margin."""
    signs = np.array([_survived(result) for result in taught], dtype=np.float64)
    read_ones = np.array([reading.free_gib for reading in readings], dtype=np.float64)
    return np.where(signs > 0, read_ones, np.nan), signs


def _medians(figures: Iterable[float], texts: NDArray[np.str_]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for figure, text in zip(figures, texts, strict=True):
        if figure > 0:
            found.setdefault(str(text), []).append(figure)
    return {text: median(known) for text, known in found.items()}


def _is_narrow(text: str) -> bool:
    return text.startswith(NARROW)


def _refused_room(result: Result) -> bool:
    return result.crash is not None and result.crash.class_ in NO_ROOM


def _survived(result: Result) -> float:
    """+1 where the server served, -1 where it ran out of GPU memory, 0 where it says nothing about that."""
    if result.outcome is not Outcome.CRASHED:
        return 1.0
    return -1.0 if result.crash is not None and result.crash.class_ is CrashClass.CUDA_OUT_OF_MEMORY else 0.0
