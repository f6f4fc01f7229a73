"""`datainf query`: which training rows taught the model this."""

from cli.client.job_events import read_finished
from cli.client.paths import index_path
from cli.client.test_points import POINTS, TARGETS
from cli.commands.base import client_command
from cli.options.fields import Spelling, check_body, options_of
from cli.options.shared import AskedIndex
from cli.printing.output import Output
from cli.printing.tables import show_query
from datainf_client import Client
from influence.contracts.common import Json
from influence.contracts.query import AUTO, Query, QueryRequest
from influence.errors import InvalidRequest

#: Most queries are answered within milliseconds; the first on an index loads it.
_WAIT_SECONDS = 20


def parse_weights(texts: list[str], option: str) -> list[Json]:
    """`idx_...=0.001` -> indexes and their weights. Raises InvalidRequest."""
    return [_parse_weight(text, option) for text in texts]


def _parse_weight(text: str, option: str) -> Json:
    index_id, _, weight = text.partition("=")
    try:
        return {"index_id": index_id, "weight": float(weight)}
    except ValueError as error:
        raise InvalidRequest(
            f"{option} {text!r} is not an index and its weight.", hint=f"Write {option} idx_...=0.001."
        ) from error


_SETTINGS = options_of(
    QueryRequest,
    leave_out=("examples", "rows", "exact", "include"),
    spelled={
        **TARGETS,
        "k": Spelling(flags=("--k", "-k")),
        "method": Spelling(default=AUTO, help="With a damping, 'datainf'."),
        "compare": Spelling(items=str),
        "checkpoints": Spelling(("--checkpoint",), parse_weights, items=str, help="Each as idx_...=0.001."),
    },
)


@client_command(POINTS, _SETTINGS)
def query_command(service: Client, output: Output, settings: Json, *, index_id: AskedIndex) -> None:
    """Ask which training rows taught the model this."""
    if "damping_scale" not in settings:
        settings = {"method": AUTO, **settings}
    answered = ask(service, index_id, check_body(QueryRequest, settings, "query"), output)
    output.show(answered, lambda: show_query(Query.model_validate(answered), output.results))


def ask(service: Client, index_id: str, body: Json, output: Output) -> Json:
    """The answered query as the service tells it. Raises what the service has to say."""
    with output.busy("Asking"):
        made = service.http.submit(index_path(index_id, "queries"), body, headers={"Prefer": f"wait={_WAIT_SECONDS}"})
    query = Query.model_validate(made)
    return made if query.results is not None else read_finished(service, query.job_id, query.id, output)
