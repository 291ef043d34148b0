"""`serving-death`, of which a trial measures a curve: half, all and one and a half times of the clients."""

from dataclasses import replace

from tests.bench.lands.land import Sweep
from tests.bench.lands.serving_death import LAND as POINT
from tests.bench.lands.serving_death import truth

LAND = replace(POINT, name="serving-death-curve", sweep=Sweep((50, 100, 150), truth))
