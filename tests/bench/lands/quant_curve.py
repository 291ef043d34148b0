"""`quant`, of which a trial measures a curve: half, all and one and a half times of the clients, on one start."""

from dataclasses import replace

from tests.bench.lands.land import Sweep
from tests.bench.lands.quant import LAND as POINT
from tests.bench.lands.quant import truth

LAND = replace(POINT, name="quant-curve", sweep=Sweep((50, 100, 150), truth))
