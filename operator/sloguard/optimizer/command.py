"""`sloguard list-optimizers`."""

import json

import click

from sloguard.optimizer.registry import OPTIMIZERS


@click.command()
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
def list_optimizers(as_json: bool) -> None:
    """Show the search strategies, what each is for and what it needs."""
    entries = [{"name": e.name.value, "purpose": e.purpose, "needs": e.needs} for e in OPTIMIZERS.values()]
    if as_json:
        click.echo(json.dumps(entries, indent=2))
        return
    for entry in entries:
        click.echo(f"{entry['name']}\n    for    {entry['purpose']}\n    needs  {entry['needs']}")
