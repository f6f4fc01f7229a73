"""`datainf audit`: which labels look wrong, by class and row by row; the whole table as a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, get_args

import typer
from rich.table import Table
from rich.text import Text

from cli.client.job_events import read_finished
from cli.client.paths import index_path, resource_path
from cli.commands.base import client_command
from cli.options.fields import Spelling, check_body, options_of
from cli.options.parsing import parse_names, parse_object
from cli.options.shared import AskedIndex
from cli.printing.output import Output
from cli.printing.tables import row_text, score_text
from cli.printing.text import count, label_text, plain
from datainf_client import Client
from influence.contracts.audit import Audit, AuditedRow, AuditRequest, Signal
from influence.contracts.common import Json
from influence.errors import InvalidRequest

_MEDIA_TYPES = {
    ".csv": "text/csv",
    ".jsonl": "application/jsonl",
    ".parquet": "application/vnd.apache.parquet",
}
_TEXT_CHARACTERS = 160
_READING = "suspicion 1 = the most suspicious row, 0.5 = as suspicious as half of the rows"
_SETTINGS = options_of(
    AuditRequest,
    spelled={
        "evaluation": Spelling(read=lambda text, _: {"dataset_id": text}, help="A data set's id (ds_...)."),
        "signals": Spelling(read=parse_names, help=f"Names: {', '.join(get_args(Signal))}."),
        "weights": Spelling(read=parse_object, help="JSON: '{\"loss\": 2}'."),
    },
)


@client_command(_SETTINGS)
def audit_command(
    service: Client,
    output: Output,
    settings: Json,
    *,
    index_id: AskedIndex,
    top: Annotated[int, typer.Option(min=0, max=10_000, help="Rows to show, the most suspicious first.")] = 20,
    out: Annotated[Path | None, typer.Option(help="Write all rows here: .csv, .jsonl or .parquet.")] = None,
) -> None:
    """Ask which labels of the training rows look wrong."""
    media_type = None if out is None else check_target(out)
    finished = run_audit(service, index_id, check_body(AuditRequest, settings, "audit"), output)
    rows = read_top(service, finished["id"], top)
    if out is not None and media_type is not None:
        service.http.download(f"{resource_path(finished['id'])}/table", out, media_type=media_type)
        output.note(f"Table       {out}")

    def show() -> None:
        show_audit(Audit.model_validate(finished), [AuditedRow.model_validate(row) for row in rows], output)

    output.show({**finished, "top": rows}, show)


def run_audit(service: Client, index_id: str, body: Json, output: Output) -> Json:
    """The finished audit as the service tells it. Raises what the service has to say."""
    made = Audit.model_validate(service.http.submit(index_path(index_id, "audits"), body))
    output.note(f"Audit       {plain(made.id)} (job {plain(made.job_id)})")
    return read_finished(service, made.job_id, made.id, output)


def read_top(service: Client, audit_id: str, top: int) -> list[Json]:
    """The `top` most suspicious rows, most suspicious first."""
    rows: list[Json] = []
    path = f"{resource_path(audit_id)}/rows"
    following: int | None = 0
    while following is not None and len(rows) < top:
        # Without a length the service sends a page of its own size: its limit is not ours to know.
        page = service.http.get(path, offset=following)
        rows += page["data"]
        following = page["next"]
    return rows[:top]


def check_target(path: Path) -> str:
    """The media type of a file name. Raises InvalidRequest for one that says nothing of the form."""
    media_type = _MEDIA_TYPES.get(path.suffix.lower())
    if media_type is None:
        raise InvalidRequest(
            f"Cannot tell the output format from the file name {path.name!r}.",
            hint=f"End the name with {', '.join(_MEDIA_TYPES)}.",
        )
    return media_type


def show_audit(audit: Audit, rows: Sequence[AuditedRow], output: Output) -> None:
    """Print what was audited, the classes and the most suspicious rows."""
    audited = audit.rows if audit.rows_audited is None else audit.rows_audited
    output.say(f"{plain(audit.id)}: {count(audited)} rows audited. {_READING}")
    if audit.method_reason is not None:
        output.note(f"Method      {plain(audit.method)}. {plain(audit.method_reason, 300)}")
    for signal in audit.signals:
        shown = "" if signal.weight else " (shown, not counted)"
        output.note(f"  {plain(signal.name)}{shown}: {plain(signal.meaning, 200)}")
    if audit.not_audited:
        output.note(f"Not audited, for the index left them out: {count(len(audit.not_audited))} rows.")
    if audit.classes:
        output.results.print(class_table(audit))
    output.results.print(suspect_table(rows))
    for note in audit.notes:
        output.note(f"Note: {plain(note, 300)}")


def class_table(audit: Audit) -> Table:
    """Figures by given label."""
    title = "By given label" if audit.accuracy is None else f"By given label (the model agrees {audit.accuracy:.1%})"
    table = Table(title=title, title_justify="left")
    table.add_column("label", max_width=40)
    for name in ("rows", "mean loss", "model agrees", "mean suspicion"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("most suspicious", overflow="fold")
    for summary in audit.classes or ():
        agrees = "" if summary.accuracy is None else f"{summary.accuracy:.1%}"
        names = ", ".join(plain(suspect.row_id, 40) for suspect in summary.most_suspicious)
        table.add_row(
            Text(plain(summary.label, 80)),
            count(summary.rows),
            f"{summary.mean_loss:.3g}",
            agrees,
            f"{summary.mean_suspicion:.2f}",
            Text(names),
        )
    return table


def suspect_table(rows: Sequence[AuditedRow], title: str = "Most suspicious") -> Table:
    """Rows with what the data set says and what the model would say; the direction is a word as everywhere."""
    has_score = any(row.score is not None for row in rows)
    table = Table(title=title, title_justify="left", expand=True)
    for name in ("suspicion", "loss", *(("score", "direction") if has_score else ())):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("row", no_wrap=True, max_width=20)
    table.add_column("given -> predicted", max_width=40)
    table.add_column("text", ratio=1)
    for row in rows:
        score = (score_text(row.score or 0.0), str(row.direction)) if has_score else ()
        table.add_row(
            f"{row.suspicion:.4f}",
            f"{row.loss:.3g}",
            *score,
            Text(plain(row.row_id, 40)),
            Text(labels_text(row)),
            Text(row_text(row.row, _TEXT_CHARACTERS)),
        )
    return table


def labels_text(row: AuditedRow) -> str:
    """`refund -> fault (93%)`; only what is known of it."""
    if row.label is None:
        return ""
    if row.predicted_label is None:
        return label_text(row.label, 80)
    sure = "" if row.predicted_probability is None else f" ({row.predicted_probability:.0%})"
    return f"{label_text(row.label, 80)} -> {label_text(row.predicted_label, 80)}{sure}"
