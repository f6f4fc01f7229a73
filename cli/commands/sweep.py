"""`datainf sweep`: how much a method's rankings depend on its damping."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.client.job_events import read_finished
from cli.client.paths import index_path
from cli.client.test_points import POINTS, TARGETS
from cli.commands.base import client_command
from cli.options.fields import Spelling, check_body, options_of
from cli.options.shared import AskedIndex
from cli.printing.output import Output
from cli.printing.text import count, plain
from datainf_client import Client
from influence.contracts.common import Json
from influence.contracts.sweep import Sweep, SweepRequest, SweepResult

_SETTINGS = options_of(
    SweepRequest,
    leave_out=("examples", "rows"),
    spelled={
        **TARGETS,
        "damping_scales": Spelling(("--damping-scale",), items=float, help="Given once per damping."),
        "evaluation_id": Spelling(("--evaluation",)),
    },
)


@client_command(POINTS, _SETTINGS)
def sweep_command(service: Client, output: Output, settings: Json, *, index_id: AskedIndex) -> None:
    """Ask how much a method's rankings depend on its damping, and which damping agrees best with retraining."""
    body = check_body(SweepRequest, settings, "sweep")
    made = Sweep.model_validate(service.http.submit(index_path(index_id, "sweeps"), body))
    finished = read_finished(service, made.job_id, made.id, output)
    output.show(finished, lambda: show_sweep(Sweep.model_validate(finished), output.results))


def show_sweep(sweep: Sweep, console: Console) -> None:
    """Print one line per damping, then which dampings agree."""
    if sweep.result is None:
        return
    console.print(_against_default(sweep, sweep.result))
    console.print(_pairs(sweep.result))
    facts = f"{plain(sweep.id)} · {count(sweep.result.test_points)} test points, means over them"
    if sweep.method_reason is not None:
        console.print(Text(plain(sweep.method_reason, 300), "dim"))
    console.print(Text(f"{facts} · {count(sweep.result.rows_scored)} rows scored", "dim"))


def _against_default(sweep: Sweep, result: SweepResult) -> Table:
    title = f"{plain(sweep.method)} against its default damping, {sweep.default_damping_scale:g}"
    table = Table(title=title, title_justify="left")
    lds_column = ("LDS (interval)",) if sweep.evaluation_id is not None else ()
    for column in ("damping scale", "Spearman", f"top {result.top} in common", *lds_column):
        table.add_column(column, justify="right", no_wrap=True)
    for row in result.rows:
        name = f"{row.damping_scale:g}" + (" (default)" if row.is_default else "")
        agreement = () if row.lds is None else (f"{row.lds:.3f} ({row.lds_low:.3f} to {row.lds_high:.3f})",)
        table.add_row(name, f"{row.spearman_with_default:.3f}", f"{row.overlap_with_default:.0%}", *agreement)
    return table


def _pairs(result: SweepResult) -> Table:
    table = Table(title="Spearman between dampings", title_justify="left")
    names = [f"{row.damping_scale:g}" for row in result.rows]
    for column in ("", *names):
        table.add_column(column, justify="right", no_wrap=True)
    for name, line in zip(names, result.spearman, strict=True):
        table.add_row(name, *(f"{value:.2f}" for value in line))
    return table
