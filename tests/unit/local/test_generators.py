"""A load that two processes share on one machine, against the simulator."""

from typing import Any

from tests.unit.local.conftest import short_study

EACH = ("0.result.json", "0.log", "1.result.json", "1.log")


def test_two_generators_measure_what_one_does(tune: Any):
    fields = short_study(budget={"trials": 3, "gpuMinutes": 5, "wallClockMinutes": 5})
    fields["spec"]["workload"]["generators"] = 2
    run = tune(fields)
    code, said = run.run()
    assert code == 0, said
    _, defaults, *_ = run.trials()
    (measured,) = defaults.status.measurements
    assert (measured.sent, measured.good, measured.slos_met) == (20, 20, True)
    assert measured.server is not None
    assert measured.server.prompt_tokens == measured.prompt_tokens == 20 * 64
    left = {path.name for path in (run.directory / "loads").iterdir()}
    assert {f"{defaults.name}.{name}" for name in EACH} <= left
    run.assert_nothing_left()
