"""`datainf query`: which training rows taught the model this."""

from cli.client.job_events import read_finished
from cli.client.paths import index_path
from cli.client.test_points import POINTS, TARGETS
from cli.commands.base import client_command
from cli.options.fields import Spelling, check_body, options_of
from cli.options.parsing import parse_names
from cli.options.shared import AskedIndex
from cli.printing.output import Output
from cli.printing.tables import show_query
from datainf_client import Client
from influence.contracts.common import Json
from influence.contracts.query import AUTO, Query, QueryRequest
from influence.errors import InvalidRequest

#: Most queries are answered within milliseconds; the first on an index loads it.
_WAIT_SECONDS = 20
_EXACT: dict[str, bool | str] = {"auto": "auto", "true": True, "false": False}


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


def parse_exact(text: str, option: str) -> bool | str:
    """`true` and `false` as what they mean, and `auto`. Raises InvalidRequest."""
    if text not in _EXACT:
        raise InvalidRequest(
            f"{option} {text[:80]!r} is none of its values.", hint=f"Write one of {', '.join(_EXACT)}."
        )
    return _EXACT[text]


_SETTINGS = options_of(
    QueryRequest,
    leave_out=("examples", "rows"),
    spelled={
        **TARGETS,
        "k": Spelling(flags=("--k", "-k", "--top")),
        "exact": Spelling(read=parse_exact, help="auto, true or false."),
        "include": Spelling(read=parse_names, help="Write tokens,levels."),
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
