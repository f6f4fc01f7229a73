"""Chat templates of strangers, read but not run: what is no template, or reaches for Python's insides, is refused.

What remains may still run without end; workers render it in a process of its own, within bounds.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from influence.checkpoint_files.tokenizers.refusal import refuse_file

MAX_TEMPLATE_CHARACTERS = 256 << 10
#: The day that a template is told it is: the one that Llama's templates write where nobody tells them.
TEMPLATE_DATE = datetime(2024, 7, 26)
_ASKS_DATE = "strftime_now"
#: A filter and a function of Jinja that draw by chance.
_CHANCE = ("random", "lipsum")


class _Generation(Extension):
    """The tag around an assistant's part, which transformers adds to the language."""

    def __init__(self, environment: jinja2.Environment) -> None:
        super().__init__(environment)
        self.tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def check_template(template: Any, file: str) -> None:
    """Raise TokenizerRefused for what is no template, or one that asks for underscored attributes."""
    if not isinstance(template, str):
        raise refuse_file(file, "holds a chat template that is no text")
    if len(template) > MAX_TEMPLATE_CHARACTERS:
        raise refuse_file(file, f"holds a chat template of more than {MAX_TEMPLATE_CHARACTERS >> 10} KiB")
    environment = ImmutableSandboxedEnvironment(extensions=[_Generation, loopcontrols])
    try:
        tree = environment.parse(template)
        names = [node.attr for node in tree.find_all(nodes.Getattr)]
        names += [
            node.arg.value
            for node in tree.find_all(nodes.Getitem)
            if isinstance(node.arg, nodes.Const) and isinstance(node.arg.value, str)
        ]
    except (jinja2.TemplateError, RecursionError) as error:
        raise refuse_file(file, f"holds a chat template that cannot be read ({str(error)[:120]})") from error
    inside = [name for name in names if name.startswith("_")]
    if inside:
        raise refuse_file(
            file,
            f"holds a chat template that asks for {inside[0][:60]!r}, which no conversation has",
            "Send the chat template that the adapter was trained with.",
        )
    imported = [
        type(node).__name__ for node in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends))
    ]
    if imported:
        raise refuse_file(file, f"holds a chat template that reads other files ({imported[0]})")
    _refuse_chance(tree, file)


def _refuse_chance(tree: nodes.Template, file: str) -> None:
    """Raise TokenizerRefused for a template that writes a row in another way each time."""
    drawn = [node.name for node in tree.find_all(nodes.Filter) if node.name == _CHANCE[0]]
    drawn += [node.name for node in tree.find_all(nodes.Name) if node.name == _CHANCE[1]]
    if drawn:
        raise refuse_file(
            file,
            f"holds a chat template that draws by chance ({drawn[0]!r}), so that no row could be read as in training",
            "Put a chat_template.jinja beside the adapter that writes what most rows of training were written as.",
        )


def asks_date(template: str | Mapping[str, str] | None) -> bool:
    """Whether a template, or one of several, writes the day's date."""
    templates = template.values() if isinstance(template, Mapping) else [template or ""]
    return any(_ASKS_DATE in one for one in templates)
