"""`datainf recover`: records from their copies among the files, where Redis and the files are in reach."""

from collections import Counter
from dataclasses import asdict

import typer

from cli.commands.beside.service import opened_service
from cli.options.shared import AsJson
from cli.printing.output import EXIT_FAILED, Output
from cli.printing.text import plain


def recover_command(as_json: AsJson = False) -> None:
    """Make records anew that Redis lost: data sets, checkpoints, runs, compact indexes, reviews with their decisions.

    What is there stays as it is. Safe to run again. Ends with status 1 where a copy was refused.
    """
    from influence.checkpoint_files.base_models import BaseModels
    from influence.store.recovery.recover import NOT_RECOVERED, recover
    from influence.store.store import Store

    output = Output(as_json=as_json)
    with output.reporting(), opened_service() as service:
        files, settings = service.open_files(), service.settings
        base_models = BaseModels(
            aliases=settings.base_model_aliases, allowed_roots=settings.allowed_roots, data_dir=settings.data_dir
        )
        outcomes = []
        for outcome in recover(Store(service.connections, files), files, base_models):
            outcomes.append(outcome)
            if outcome.state == "refused":
                output.note(f"refused: {outcome.kind} {plain(outcome.id)}: {plain(outcome.reason or '')}")
            elif outcome.state == "recovered":
                output.say(f"{outcome.kind} {outcome.id}")
        counts = Counter(outcome.state for outcome in outcomes)
        output.show(
            {"data": [asdict(outcome) for outcome in outcomes], "not_recovered": list(NOT_RECOVERED)},
            lambda: output.say(
                f"{counts['recovered']} recovered, {counts['there']} there, {counts['refused']} refused."
            ),
        )
        output.note(f"Not kept among the files, and so not recovered: {'; '.join(NOT_RECOVERED)}.")
    if counts["refused"]:
        raise typer.Exit(EXIT_FAILED)
