"""What a look knows when it has recorded a trial: it goes on with that instead of reading everything once more."""

from dataclasses import replace

from sloguard.cluster.execute import Written
from sloguard.cluster.gather import Gathered, read_study
from sloguard.cluster.knowledge import Taken
from sloguard.cluster.parsed import Parsed
from sloguard.cluster.records import records_of
from sloguard.engine.snapshot import Observation, Server, ServerState


def with_recorded(gathered: Gathered, written: Written, parsed: Parsed | None = None) -> Gathered:
    """As if it had been read anew, when nothing but the operator has changed anything meanwhile. Pure."""
    status = read_study(written.study).status
    study = gathered.snapshot.study.model_copy(update={"status": status})
    stored = [*gathered.history.trials.values(), *written.trials.values()]
    records = records_of(study, stored, gathered.snapshot.target, parsed)
    seen = {name: found for name, found in gathered.snapshot.observations.items() if name not in written.stopped}
    begun = Observation(Server(ServerState.WAITING), leftovers=True)
    return replace(
        gathered,
        snapshot=replace(
            gathered.snapshot,
            study=study,
            trials=records.trials,
            observations=seen | dict.fromkeys(written.begun, begun),
            room=None,
        ),
        study=written.study,
        trials=written.trials,
        passed_over=records.passed_over,
        derived=True,
        taken=Taken(gathered.taken.ledger),
        history=replace(gathered.history, events=()),
    )
