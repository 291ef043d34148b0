"""What the parts do together: fewer crashes, and reasons that an engineer accepts."""

from sloguard.api.v1alpha1 import OptimizerName, Outcome
from sloguard.optimizer import make_optimizer
from tests.bench import optimizers


def studied(land, trials, seed=1):
    search = make_optimizer(OptimizerName.MARGIN_BO, land.space, seed)
    history = [land.measure(0, land.production, seed), land.measure(1, {}, seed)]
    asked = []
    while len(history) < trials:
        asked.append(search.ask(history, []))
        history.append(land.measure(len(history), asked[-1].parameters, seed))
    return history, asked


def test_a_tight_card_is_searched_with_few_crashes_and_explained():
    history, asked = studied(optimizers.land("tight"), 16)
    assert sum(result.outcome is Outcome.CRASHED for result in history) <= 3
    assert "unlike the" in asked[0].reason
    told = asked[-1]
    assert "on the best so far" in told.reason
    assert "KV cache" in told.reason
    assert told.predicted["objective"] > 0
    assert 0 <= told.predicted["crash_probability"] <= 1
    assert told.predicted["feasible_probability"] <= 1 - told.predicted["crash_probability"] + 1e-9
    assert told.predicted["expected_improvement"] >= 0
    assert told.predicted["expected_minutes"] > 0
    assert told.predicted["objective_stddev"] > 0
    assert told.predicted["best_objective"] > 0


def test_pairs_that_crash_are_named():
    land = optimizers.land("quant")
    history, _ = studied(land, 30)
    met = [result for result in history if result.outcome is Outcome.FEASIBLE]
    assert max(land.truth_of(result.parameters).worth for result in met) > 0.9 * land.oracle


def test_scikit_learn_and_scipy_are_not_imported():
    import subprocess
    import sys

    script = (
        "import sys; from sloguard.optimizer import make_optimizer; from tests.bench import optimizers; "
        "from sloguard.api.v1alpha1 import OptimizerName; land = optimizers.land('benign'); "
        "make_optimizer(OptimizerName.MARGIN_BO, land.space, 1).ask([land.measure(0, {}, 1)], []); "
        "print([m for m in ('sklearn', 'scipy') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
