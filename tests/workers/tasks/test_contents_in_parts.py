"""Contents that are lists of parts go to the chat template as trainers hand them on, or rows are refused."""

from typing import Any

import pytest
from support.uploads.chat_tasks import CHATML, make_task, supervised_text

from influence.errors import BrokenRow, RowsUnfit
from influence.rows.conversations.messages import as_messages
from workers.tasks.kinds.causal_lm import CausalLM

#: Writes each part by itself, as templates of multimodal models do.
BY_PARTS = (
    "{% for message in messages %}<{{ message['role'] }}>{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'text' %}"
    "[{{ part['text'] | trim }}]{% endif %}{% endfor %}{% endif %}|{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
#: As SmolVLM's: of a text it writes nothing.
LISTS_ALONE = (
    "{% for message in messages %}<{{ message['role'] }}>{% for line in message['content'] %}"
    "{% if line['type'] == 'text' %}{{ line['text'] }}{% endif %}{% endfor %}|{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
#: Fails on a list, as most templates of text models do.
ADDING = (
    "{% for message in messages %}{{ '<' + message['role'] + '>' + message['content'] + '|' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
#: Passes over a list.
TEXTS_ALONE = ADDING.replace("message['content'] +", "(message['content'] if message['content'] is string else '') +")


def parts(*texts: str) -> list[dict[str, str]]:
    return [{"type": "text", "text": text} for text in texts]


def said(*contents: Any) -> dict[str, Any]:
    """A row as it is kept, of a question and answers in turn."""
    given = [{"role": ("user", "assistant")[place % 2], "content": one} for place, one in enumerate(contents)]
    return {"messages": as_messages(given, "messages")}


def text_of(task: CausalLM, row: dict[str, Any]) -> str:
    return task.render({"id": "r", **row}).text


def test_a_template_that_reads_parts_gets_them() -> None:
    task = make_task(template=BY_PARTS)
    row = said(parts(" hi", "there "), parts("hello ", "you"), "why?", parts("so"))
    assert text_of(task, row) == "<user>[hi][there]|<assistant>[hello][you]|<user>why?|<assistant>[so]|"
    assert supervised_text(task, row) == "[hello][you]|[so]|"


def test_a_template_that_fails_on_parts_gets_their_texts_as_one() -> None:
    task = make_task(template=ADDING)
    assert text_of(task, said(parts("hi ", "there"), parts("hello"))) == "<user>hi there|<assistant>hello|"


@pytest.mark.parametrize("template", [CHATML, TEXTS_ALONE])
def test_rows_are_refused_where_the_template_prints_the_list_or_passes_over_it(template: str) -> None:
    task = make_task(template=template)
    with pytest.raises(RowsUnfit, match="contents in parts and does not read them: write contents as text"):
        text_of(task, said(parts("hi"), parts("hello")))
    assert "hello" in text_of(task, said("hi", "hello"))


def test_a_template_that_reads_lists_alone_gets_every_content_as_one() -> None:
    task = make_task(template=LISTS_ALONE)
    row = said("hi", "hello")
    assert text_of(task, row) == "<user>hi|<assistant>hello|"
    assert supervised_text(task, row) == "hello|"


def test_parts_stay_with_the_row_and_come_back_as_they_were_written() -> None:
    (message,) = as_messages([{"role": "user", "content": parts("hi ", "there")}], "messages")
    assert message == {"role": "user", "content": "hi there", "content_parts": ["hi ", "there"]}
    assert as_messages([message], "messages") == [message]
    with pytest.raises(BrokenRow, match="not its content in parts"):
        as_messages([{**message, "content": "other"}], "messages")
