"""`tight` on a card of 40 GiB with two faults that have nothing to do with memory: margins are no help with them.

A kernel faults once a step holds more than 96 sequences and prefix caching is on, and without chunked prefill the
server hangs above 6,000 batched tokens, at whatever utilization. A server that is about to die of either reports the
most comfortable margins. They are a fifth of all crashes or more.
"""

from dataclasses import replace

from sloguard.api.v1alpha1 import CrashClass, CrashPhase
from tests.bench.lands.land import Land, Truth
from tests.bench.lands.server import Setting, failure, memory_of, served, start_seconds
from tests.bench.lands.tight import CARD, LOAD, MODEL, PRODUCTION, SEARCH_SPACE

LARGER = replace(CARD, vram_gib=28)
MORE_LOAD = replace(LOAD, clients=80, ttft_limit_seconds=12.0, itl_limit_seconds=0.25)


def truth(values):
    setting = Setting.of(values, length=16384)
    memory = memory_of(setting, LARGER, MODEL)
    return failure(setting, LARGER, memory) or _fault(setting) or served(setting, LARGER, MODEL, MORE_LOAD, memory)


def _fault(setting):
    seconds = start_seconds(setting) + 8
    if setting.prefix and setting.seqs > 96:
        return Truth(crash=CrashClass.GPU_FAULT, phase=CrashPhase.SERVING, seconds=seconds)
    if not setting.chunked and setting.tokens > 6000:
        return Truth(crash=CrashClass.HANG, phase=CrashPhase.SERVING, seconds=seconds + 60)
    return None


LAND = Land("misleading", SEARCH_SPACE, PRODUCTION, truth, MORE_LOAD.context)
