"""The story over HTTP: upload, index, let the model write, and trace what it wrote to rows and their words."""

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from cli.commands.build import BuildOptions, build
from cli.commands.query import ask
from cli.printing.output import Output
from cli.printing.text import plain
from datainf_client import Client
from demo.lm.lessons import QUESTIONS
from demo.lm.preparation import ALIAS, Prepared
from demo.report import show_index, show_step
from influence.contracts.common import Json
from influence.contracts.index import Index
from influence.contracts.query import Query, ScoredRow, TestPointResult

_SHOWN = 4
_WHY_OTHERS = (
    "Scores grow with a row's gradient: rows that are not learnt to the end come before those of an answer that is. "
    "The method 'cosine' leaves size out, and tells no words."
)
_COLUMNS = {"prompt": "prompt", "completion": "completion", "id": "id"}
#: Shares of a row's strongest token above which a word is set off, and how; red for words that speak against.
_HELPFUL = ((0.66, "bold black on green"), (0.33, "black on bright_green"), (0.12, "green"))
_HARMFUL = ((0.66, "bold white on red"), (0.33, "red"), (0.12, "bright_red"))


def tell_story(url: str, prepared: Prepared, console: Console) -> list[int]:
    """Everything between the service's start and its end; answers how many shown rows are of each question's kind.

    Raises what the service has to say.
    """
    output = Output()
    with Client(url) as service:
        show_step(console, "3  Upload the LoRA and its rows, take the gradients")
        options = BuildOptions(
            base_model=ALIAS, adapter=prepared.adapter, data=prepared.rows, columns=_COLUMNS, index={"max_length": 128}
        )
        index = Index.model_validate(build(service, options, output, wait=True))
        show_index(console, index)
        show_step(console, "4  Let the model write, and ask which rows taught it that")
        query = write_and_trace(service, index, output)
    return [show_traced(console, kind, result) for kind, result in zip(QUESTIONS, query.results or (), strict=True)]


def write_and_trace(service: Client, index: Index, output: Output) -> Query:
    """The model's own answers to one question of each kind, with the rows that helped most, word by word."""
    body: Json = {
        "examples": [{"prompt": prompt, "completion": ""} for prompt in QUESTIONS.values()],
        "target": "prediction",
        "k": _SHOWN,
        "order": "helpful",
        "include": ["tokens"],
        "tokens_by": "loss",
    }
    return Query.model_validate(ask(service, index.id, body, output))


def show_traced(console: Console, kind: str, result: TestPointResult) -> int:
    """One answer and its rows; answers how many of these are of the kind of the question."""
    console.print()
    console.print(Text(plain(str(result.example["prompt"]), 300).replace("\n", " "), "bold"), soft_wrap=True)
    console.print(Text(f"Answer:{plain(str(result.prediction), 300)}", "bold cyan"), soft_wrap=True)
    if result.base_loss is not None:
        console.print(f"loss {result.loss:.2f} with the adapter, {result.base_loss:.2f} without it", style="dim")
    for row in result.helpful:
        console.print(highlight(row), soft_wrap=True)
    kinds = [row.metadata["kind"] for row in result.helpful if row.metadata is not None]
    found = kinds.count(kind)
    console.print(f"{found} of {len(result.helpful)} rows are of the kind '{kind}'.", markup=False)
    if 2 * found < len(result.helpful):
        console.print(_WHY_OTHERS, style="dim", soft_wrap=True)
    return found


def highlight(row: ScoredRow) -> Text:
    """A row in one line, its words set off by what their losses add to its score."""
    shown = Text(f"{row.score:10.3g}  {plain(row.row_id, 40)}  ")
    told = row.tokens
    if told is None or told.starts is None or told.stops is None:
        return shown.append(plain(str(row.row), 300))
    largest = max(map(abs, told.parts), default=0.0) or 1.0
    end = 0
    for start, stop, part in zip(told.starts, told.stops, told.parts, strict=True):
        shown.append(_line(told.text[end:start]))
        shown.append(_line(told.text[max(start, end) : stop]), _style(part / largest))
        end = max(end, stop)
    return shown.append(_line(told.text[end:]))


def _style(share: float) -> str:
    steps: Sequence[tuple[float, str]] = _HELPFUL if share > 0 else _HARMFUL
    return next((style for least, style in steps if abs(share) >= least), "")


def _line(text: str) -> str:
    return plain(text.replace("\n", " "), 1000)
