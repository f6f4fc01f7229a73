"""A conversation's text as its tokenizer's chat template writes it."""

from collections.abc import Callable

import jinja2

from workers.tasks.chat.contents import find_unread, have_parts, in_parts, in_texts
from workers.tasks.chat.conversation import Conversation, Messages
from workers.tasks.encoding import TextEncoder

Edit = Callable[[str], str]


class UnknownMask(Exception):
    """Nobody can tell which tokens of this conversation carried loss. The task turns it into a refusal of rows."""


def write_text(encoder: TextEncoder, conversation: Conversation, *, ask: bool = False, edit: Edit | None = None) -> str:
    """The conversation's text; with `ask`, followed by the header of the assistant's next turn. Raises UnknownMask.

    `edit` changes the template before.
    """
    return write_messages(encoder, conversation, ask=ask, edit=edit)[1]


def write_messages(
    encoder: TextEncoder, conversation: Conversation, *, ask: bool = False, edit: Edit | None = None
) -> tuple[Messages, str]:
    """The messages as the template gets them, and their text.

    A template that fails on contents in parts gets their texts; one that takes them and does not read them is refused.
    """

    def write(messages: Messages) -> tuple[Messages, str]:
        return messages, _write(encoder, conversation, messages, ask, edit)

    messages = conversation.messages
    if encoder.reads_lists_alone(conversation.context.get("tools")):
        return write(in_parts(messages, all_of_them=True))
    if not have_parts(messages):
        return write(messages)
    try:
        found = write(in_parts(messages))
    except UnknownMask:
        return write(in_texts(messages))
    # A template may leave out words of any content, such as thoughts, but prints no list.
    unread = list(find_unread(messages, found[1]))
    if any(words in found[1] for words in unread) or (unread and _writes_any(unread, write, in_texts(messages))):
        raise UnknownMask(
            "the chat template takes contents in parts and does not read them: write contents as text, as training "
            "read them"
        )
    return found


def _writes_any(unread: list[str], write: Callable[[Messages], tuple[Messages, str]], messages: Messages) -> bool:
    _, text = write(messages)
    return any(words in text for words in unread)


def _write(encoder: TextEncoder, conversation: Conversation, messages: Messages, ask: bool, edit: Edit | None) -> str:
    try:
        text = encoder.apply_template(messages, edit, **conversation.context, tokenize=False, add_generation_prompt=ask)
    except (jinja2.TemplateError, AttributeError, TypeError, IndexError, KeyError, ValueError) as error:
        raise UnknownMask(f"the chat template refuses it ({str(error).strip()[:120]})") from error
    return str(text)
