"""`datainf methods`: what a query can name as its method."""

from rich.table import Table
from rich.text import Text

from cli.commands.base import client_command
from cli.printing.output import Output
from cli.printing.text import plain
from datainf_client import Client
from influence.contracts.method import MethodDescription


@client_command()
def methods_command(service: Client, output: Output) -> None:
    """List methods and baselines, each with what it needs."""
    found = service.http.get("/v1/methods")
    methods = [MethodDescription.model_validate(one) for one in found["data"]]
    output.show(found, lambda: output.results.print(methods_table(methods)))


def methods_table(methods: list[MethodDescription]) -> Table:
    """One line per method."""
    table = Table(title="Methods", title_justify="left", expand=True)
    table.add_column("name", no_wrap=True)
    for name in ("storages", "damping", "on codes"):
        table.add_column(name)
    table.add_column("what it says", ratio=1)
    for method in methods:
        damping = "" if method.default_damping_scale is None else f"{method.default_damping_scale:g}"
        kind = " (baseline)" if method.is_baseline else ""
        cells = (", ".join(method.storages), damping, str(method.on_codes or ""), plain(method.summary, 300))
        table.add_row(Text(f"{plain(method.name, 40)}{kind}"), *map(Text, cells))
    return table
