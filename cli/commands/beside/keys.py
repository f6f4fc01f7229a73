"""`datainf keys`: make, list and revoke API keys, on a machine that reaches Redis and the data directory itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from cli.commands.beside.service import opened_service
from cli.options.shared import AsJson
from cli.printing.output import Output
from influence.errors import InvalidRequest

if TYPE_CHECKING:
    from influence.store.access.api_keys import ApiKeys
    from influence.store.access.key import ApiKey

keys_command = typer.Typer(no_args_is_help=True, help="Make, list and revoke API keys, beside the service itself.")

KeyId = Annotated[str, typer.Argument(help="The key (key_...), as 'datainf keys list' shows it.")]
Name = Annotated[str, typer.Option(help="Whose key it is, for those who look at the list.")]
ScopeName = Annotated[
    str, typer.Option(help="read: look; write: also send, ask and delete; admin: all that in every namespace.")
]
Namespace = Annotated[str, typer.Option(help="What the key sees and makes is of this namespace and of no other.")]
Days = Annotated[int | None, typer.Option(min=1, max=3650, help="Days until it ends; left out: until it is revoked.")]


@keys_command.command("create")
def create_key(
    name: Name, scope: ScopeName = "write", namespace: Namespace = "default", days: Days = None, as_json: AsJson = False
) -> None:
    """Make a key and show it, this once."""
    from influence.store.access.key import SCOPES

    output = Output(as_json=as_json)
    with output.reporting(), _open_keys() as keys:
        chosen = next((known for known in SCOPES if known == scope), None)
        if chosen is None:
            raise InvalidRequest(f"There is no scope {scope[:80]!r}.", hint=f"Use one of {', '.join(SCOPES)}.")
        try:
            key, text = keys.create(name, chosen, namespace=namespace, lifetime_days=days)
        except ValueError as error:
            raise InvalidRequest(
                f"{namespace[:80]!r} is no namespace.", hint="Use 1 to 63 of a-z, 0-9 and '-', such as 'team-a'."
            ) from error
        output.show({"key": text, **_shown(key)}, lambda: print(text))
        output.note(f"{key.id}: keep it now, it is not shown again. From now on every call needs a key.")


@keys_command.command("list")
def list_keys(as_json: AsJson = False) -> None:
    """Show every key: its id, what it may do and where, and until when. Not the key itself: nobody has it."""
    output = Output(as_json=as_json)
    with output.reporting(), _open_keys() as keys:
        shown = [_shown(key) for key in keys.all()]
        output.show(
            {"data": shown},
            lambda: output.say("\n".join("  ".join(str(value or "-") for value in key.values()) for key in shown)),
        )


@keys_command.command("revoke")
def revoke_key(key_id: KeyId, as_json: AsJson = False) -> None:
    """End a key: the very next call with it is refused."""
    output = Output(as_json=as_json)
    with output.reporting(), _open_keys() as keys:
        key = keys.revoke(key_id)
        output.show(_shown(key), lambda: output.say(f"{key.id} is revoked."))


@contextmanager
def _open_keys() -> Iterator["ApiKeys"]:
    """Keys of the service that the settings name."""
    from influence.store.access.api_keys import ApiKeys

    with opened_service() as service:
        yield ApiKeys(service.connections.state, lambda: service.open_files().secret())


def _shown(key: "ApiKey") -> dict[str, str | None]:
    known = key.model_dump(mode="json", include={"id", "name", "scope", "namespace", "expires_at", "revoked_at"})
    return {name: known[name] for name in ("id", "name", "scope", "namespace", "expires_at", "revoked_at")}
