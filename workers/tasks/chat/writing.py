"""A conversation's text as its tokenizer's chat template writes it."""

from collections.abc import Callable

import jinja2

from workers.tasks.chat.conversation import Conversation
from workers.tasks.encoding import TextEncoder


class UnknownMask(Exception):
    """Nobody can tell which tokens of this conversation carried loss. The task turns it into a refusal of rows."""


def write_text(
    encoder: TextEncoder, conversation: Conversation, *, ask: bool = False, edit: Callable[[str], str] | None = None
) -> str:
    """The conversation's text; with `ask`, followed by the header of the assistant's next turn. Raises UnknownMask.

    `edit` changes the template before.
    """
    try:
        text = encoder.apply_template(
            conversation.messages, edit, **conversation.context, tokenize=False, add_generation_prompt=ask
        )
    except (jinja2.TemplateError, AttributeError, TypeError, IndexError, KeyError, ValueError) as error:
        raise UnknownMask(f"the chat template refuses it ({str(error).strip()[:120]})") from error
    return str(text)
