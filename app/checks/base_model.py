"""Where a base model lies that a request names."""

from collections.abc import Mapping
from typing import Any

from app.http.context import Context
from influence.contracts.checkpoint import BaseModelRef


def resolve_base_model(context: Context, name: str, revision: str | None) -> BaseModelRef:
    """Where a base model lies: a local one by the digest of its files, a hub model at one commit.

    Without the hub a name stays what it is, and must already be a commit to be one. Raises what `resolve` raises.
    """
    base = context.base_models.resolve(name, revision)
    if base.kind == "path" or context.settings.hub_offline:
        return base
    # Loading the hub client takes a third of the time in which the API has to be up.
    from app.intake.hub_model import pin_revision

    return pin_revision(base)


def look_at_hub(context: Context, base: BaseModelRef) -> tuple[tuple[str, ...], Mapping[str, Any]]:
    """(What is to be known of a base model on the hub, in sentences; its configuration); nothing of a local one, whose
    files are looked at.

    Raises what `check_base` raises.
    """
    if base.kind == "path" or context.settings.hub_offline:
        return (), {}
    from app.intake.hub_model import check_base

    return check_base(base)
