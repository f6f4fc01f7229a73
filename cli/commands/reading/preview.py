"""`datainf preview`: rows as the model reads them, with the tokens that carry loss marked."""

from typing import Annotated

import typer
from rich.text import Text

from cli.client.job_events import read_finished
from cli.client.paths import resource_path
from cli.client.test_points import parse_rows
from cli.commands.base import client_command
from cli.options.fields import Spelling, check_body, options_of
from cli.printing.output import Output
from cli.printing.text import plain
from datainf_client import Client
from influence.contracts.common import Json
from influence.contracts.preview import Preview, PreviewRequest

_SETTINGS = options_of(
    PreviewRequest,
    leave_out=("checkpoint_id",),
    spelled={"row_indexes": Spelling(("--rows",), lambda text, _: parse_rows(text), help="Write 1,2,3 or 10-14.")},
)


@client_command(_SETTINGS)
def preview_command(
    service: Client,
    output: Output,
    settings: Json,
    *,
    dataset_id: Annotated[str, typer.Argument(help="The data set (ds_...).")],
    checkpoint_id: Annotated[str, typer.Argument(help="Whose model reads its rows (ckpt_...).")],
) -> None:
    """Show rows as the model reads them. Tokens that carry loss are underlined and stand in brackets."""
    body = check_body(PreviewRequest, {"checkpoint_id": checkpoint_id, **settings}, "preview")
    made = service.http.submit(f"{resource_path(dataset_id)}/preview", body, headers={"Prefer": "wait=20"})
    preview = Preview.model_validate(made)
    if not preview.is_final:
        made = read_finished(service, preview.job_id, preview.id, output)
    output.show(made, lambda: show_preview(Preview.model_validate(made), output))


def show_preview(preview: Preview, output: Output) -> None:
    """Print every row, token by token."""
    for row in preview.rows or ():
        cut = ", truncated" if row.truncated else ""
        output.say(f"Row {row.row_index} ({plain(row.row_id, 40)}): {row.supervised_tokens} tokens carry loss{cut}")
        line = Text()
        for token, is_supervised in zip(row.tokens, row.supervised, strict=False):
            line.append(f"[{plain(token)}]" if is_supervised else plain(token), "underline" if is_supervised else "")
            line.append(" ")
        output.results.print(line, soft_wrap=True)
