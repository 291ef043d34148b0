from sloguard.domain.ledger import Ledger
from tests.bench import transfer


def test_a_related_land_has_the_same_physics_on_another_card():
    smaller, here = transfer.related("tight", 20), transfer.related("tight", transfer.card_of("tight"))
    original = transfer.land("tight")
    values = original.production
    assert here.truth_of(values) == original.truth_of(values)
    assert smaller.truth_of(values) != original.truth_of(values)


def test_a_short_run_gives_a_line_for_each_ledger(capsys):
    transfer.main(["--lands", "tight", "--seeds", "2", "--budgets", "6"])
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [line.split(" | ")[2] for line in lines] == list(transfer.LEDGERS)


def test_a_ledger_keeps_a_study_from_what_crashed_before():
    """Over three seeds of a land with crashes that no margin announces: a wide margin, not a figure."""
    rows = [
        row for kind in ("none", "same") for seed in (1, 2, 3) for row in transfer.run("misleading", kind, seed, [12])
    ]
    crashes = {kind: sum(row.crash_percent for row in rows if row.ledger == kind) for kind in ("none", "same")}
    assert crashes["same"] < crashes["none"]


def test_what_was_avoided_is_said_in_the_reason():
    ledger = transfer.left_by("misleading", "same", 1)
    assert ledger.records
    where = transfer.land("misleading")
    reasons = []
    search = transfer.make_optimizer(transfer.OptimizerName.MARGIN_BO, where.space, 7, ledger)
    history = [where.measure(0, where.production, 7), where.measure(1, {}, 7)]
    for _ in range(8):
        suggestion = search.ask(history, [])
        reasons.append(suggestion.reason)
        history.append(where.measure(len(history), suggestion.parameters, 7))
    told = [reason for reason in reasons if "avoided " in reason]
    assert told
    assert all("of study earlier on the same GPU died there" in reason for reason in told)
    without = transfer.make_optimizer(transfer.OptimizerName.MARGIN_BO, where.space, 7, Ledger(ledger.setup))
    assert "avoided" not in without.ask(history, []).reason
