"""`datainf webhook ...`: have an address told what happened, try it, see how telling went."""

from typing import Annotated

import typer

from cli.client.paths import resource_path
from cli.commands.base import client_command
from cli.options.parsing import given
from cli.printing.output import Output
from cli.printing.tables import facts_table
from cli.printing.text import plain
from datainf_client import Client
from influence.contracts.common import Json
from influence.contracts.curation.webhook import EVENTS

WebhookId = Annotated[str, typer.Argument(help="The webhook (hook_...).")]
Events = Annotated[
    list[str] | None, typer.Option("--event", metavar="|".join(EVENTS), help="Once per event. [default: all of them]")
]


@client_command()
def add_command(
    service: Client,
    output: Output,
    *,
    address: Annotated[str, typer.Argument(metavar="ADDRESS", help="An http or https address.")],
    events: Events = None,
    name: Annotated[str | None, typer.Option(help="What people call it.")] = None,
) -> None:
    """Have an address told what happened. The secret to verify messages with is shown this once."""
    made = service.http.submit("/v1/webhooks", given({"url": address, "events": events or None, "name": name}))
    output.show(made, lambda: output.say(f"{plain(made['id'])}: keep its secret, {plain(made['secret'])}"))


@client_command()
def show_command(service: Client, output: Output, *, webhook_id: WebhookId) -> None:
    """Show a webhook, what it is still to be told, and how its last attempts went."""
    webhook = service.http.get(resource_path(webhook_id))
    output.show(webhook, lambda: show_webhook(webhook, output))


def show_webhook(webhook: Json, output: Output) -> None:
    """Print facts, then attempts."""
    output.results.print(facts_table(plain(webhook["id"], 80), {**webhook, "deliveries": None}))
    for one in webhook["deliveries"]:
        told = "taken" if one["delivered"] else plain(one["error"] or "not taken", 200)
        again = f" Again at {one['next_at']}." if one["next_at"] else ""
        output.say(f"  {one['at']} {plain(one['type'])}, attempt {one['attempt']}: {told}{again}")


@client_command()
def test_command(service: Client, output: Output, *, webhook_id: WebhookId) -> None:
    """Send a webhook.test now; `datainf webhook show` says how it went."""
    made = service.http.post(f"{resource_path(webhook_id)}/test")
    output.show(made, lambda: output.say(f"{plain(made['event_id'])} is on its way"))


webhook_app = typer.Typer(help="Have addresses told what happened.", no_args_is_help=True)
for name, command in {"add": add_command, "show": show_command, "test": test_command}.items():
    webhook_app.command(name)(command)
