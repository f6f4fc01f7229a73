"""Where the loss of a conversation falls: first turns, prompts set apart, turns without loss, what templates read."""

from typing import Any

import pytest
from support.uploads.chat_tasks import CHATML, MARKED, TALK, make_task, supervised_text

from influence.errors import RowsUnfit

#: Writes a system prompt of its own where there is none, and tools into it.
WITH_PREAMBLE = (
    "<bos>{% if messages[0].role != 'system' %}<|im_start|>system\nhelp"
    "{% if tools %} with {{ tools|tojson }}{% endif %}<|im_end|>\n{% endif %}" + CHATML
)
#: Refuses a system prompt alone.
NOT_ALONE = (
    "{% if messages[0].role == 'system' and messages|length == 1 %}{{ raise_exception('alone') }}{% endif %}" + CHATML
)
#: Wants a turn of the user, wherever it is.
WANTS_A_USER = (
    "{% if not messages|selectattr('role', 'equalto', 'user')|list %}{{ raise_exception('no user') }}{% endif %}"
    + CHATML
)
#: Shows nothing before a turn of the assistant.
WITHOUT_HEADER = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
READS_ALL = (
    "{% if thinking %}<deep>{% endif %}{% for d in documents or [] %}<{{ d.text }}>{% endfor %}"
    "{% for m in messages %}{{ m.role }}|{{ m.name }}|{{ m.reasoning_content }}|{{ m.content }};{% endfor %}"
    "{% if add_generation_prompt %}assistant|{% endif %}"
)
WELCOME = [{"role": "assistant", "content": "Welcome!"}, *TALK]
SYSTEM = {"role": "system", "content": "s"}


@pytest.mark.parametrize("template", [CHATML, WITH_PREAMBLE, NOT_ALONE, WANTS_A_USER])
@pytest.mark.parametrize("before", [[], [SYSTEM]])
def test_the_first_turn_may_be_the_assistants(template: str, before: list[Any]) -> None:
    row = {"messages": [*before, *WELCOME], "tools": [{"name": "f"}]}
    expected = "Welcome!<|im_end|>\nhello<|im_end|>\nbecause<|im_end|>\n"
    assert supervised_text(make_task(template=template), row) == expected


def test_a_conversation_of_the_assistant_alone_is_read() -> None:
    assert supervised_text(make_task(), {"messages": WELCOME[:1]}) == "Welcome!<|im_end|>\n"


def test_a_header_inside_the_text_is_not_taken_for_the_turns_own() -> None:
    tricky = {"role": "assistant", "content": "see <|im_start|>assistant\nhere"}
    expected = "see <|im_start|>assistant\nhere<|im_end|>\n"
    assert supervised_text(make_task(), {"messages": [tricky]}) == expected


def test_a_first_turn_is_found_behind_a_header_that_is_shown_with_its_words_alone() -> None:
    assert supervised_text(make_task(template=WITHOUT_HEADER), {"messages": WELCOME}) == "Welcome!\nhello\nbecause\n"


def test_a_first_turn_that_cannot_be_found_is_refused() -> None:
    silent = WITHOUT_HEADER + "{% if add_generation_prompt %}{% endif %}"
    with pytest.raises(RowsUnfit, match="does not show where"):
        make_task(template=silent).tokenise([{"id": "r", "messages": WELCOME}])


#: Ends a whole conversation with EOS (Phi-3).
ENDS_WITH_EOS = CHATML.replace("{% endif %}", "{% else %}{{ eos_token }}{% endif %}")


@pytest.mark.parametrize(
    ("template", "end", "last"),
    [
        (WITHOUT_HEADER, "\n", ""),
        ("{% for m in messages %}[{{ m.role }}] {{ m.content }}|{% endfor %}", "|", ""),
        (ENDS_WITH_EOS, "<|im_end|>\n", "<eos>"),
        # No header at all: all that follows the prompt is the answer's (Mistral).
        (
            "{% for m in messages %}{{ m.content if m.role == 'assistant' else '[' + m.content + ']' }};{% endfor %}",
            ";",
            "",
        ),
    ],
)
def test_turns_are_found_whatever_the_template_writes_around_them(template: str, end: str, last: str) -> None:
    task = make_task(template=template)
    assert supervised_text(task, {"messages": TALK}) == f"hello{end}because{end}{last}"
    assert supervised_text(task, {"messages": TALK[:2]}) == f"hello{end}{last}"
    assert supervised_text(task, {"messages": [*TALK, TALK[0]]}) == f"hello{end}because{end}"
    alike = [{**message, "content": "a"} for message in TALK]
    assert supervised_text(task, {"messages": alike}) == f"a{end}a{end}{last}"
    apart = {"messages": TALK, "completion_from": 3}
    assert supervised_text(make_task(template=template, scope="completion"), apart) == f"because{end}{last}"


def test_consecutive_turns_of_one_role_carry_loss_each() -> None:
    twice = [TALK[0], TALK[1], {"role": "assistant", "content": "more"}, TALK[2], TALK[2], TALK[3]]
    expected = "hello<|im_end|>\nmore<|im_end|>\nbecause<|im_end|>\n"
    assert supervised_text(make_task(), {"messages": twice}) == expected


APART = {"messages": [*TALK, TALK[2], {"role": "tool", "content": "t"}, TALK[3]], "completion_from": 3}


@pytest.mark.parametrize(
    ("scope", "template", "expected"),
    [
        (
            "completion",
            CHATML,
            "because<|im_end|>\n<|im_start|>user\nwhy?<|im_end|>\n<|im_start|>tool\nt<|im_end|>\n"
            "<|im_start|>assistant\nbecause<|im_end|>\n",
        ),
        ("assistant", CHATML, "because<|im_end|>\nbecause<|im_end|>\n"),
        ("assistant", MARKED, "because|because|"),
        ("completion", MARKED, "because|<user>why?|<tool>t|<assistant>because|"),
    ],
)
def test_the_loss_of_a_prompt_set_apart_falls_after_it(scope: Any, template: str, expected: str) -> None:
    assert supervised_text(make_task(template=template, scope=scope), APART) == expected


def test_a_prompt_that_the_completion_does_not_follow_is_refused() -> None:
    odd = {"messages": [*TALK], "completion_from": 2}
    with pytest.raises(RowsUnfit, match="rewrites the prompt"):
        make_task(scope="completion").tokenise([{"id": "r", **odd}])


@pytest.mark.parametrize("field", [{"weight": 0}, {"train": False}])
@pytest.mark.parametrize(
    ("template", "scope", "expected"),
    [
        (CHATML, None, "because<|im_end|>\n"),
        (MARKED, None, "because|"),
        (CHATML, "all", None),
    ],
)
def test_turns_that_say_that_they_carried_no_loss_carry_none(
    field: dict[str, Any], template: str, scope: Any, expected: str | None
) -> None:
    row = {"messages": [TALK[0], {**TALK[1], **field}, *TALK[2:]]}
    found = supervised_text(make_task(template=template, scope=scope), row)
    assert found == expected or (expected is None and "hello" in found)


def test_the_template_reads_all_that_the_row_has() -> None:
    messages = [
        {"role": "user", "content": "q", "name": "Ann"},
        {"role": "assistant", "content": "a", "reasoning_content": "hm"},
    ]
    row = {"messages": messages, "documents": [{"text": "doc"}], "chat_template_kwargs": {"thinking": True}}
    task = make_task(template=READS_ALL)
    assert task.render(row).text == "<deep><doc>user|Ann||q;assistant||hm|a;"
    # What the template writes of the turn beside its content carries loss with it.
    assert supervised_text(task, row) == "|hm|a;"


def test_the_answer_of_a_prompt_set_apart_takes_the_whole_completions_place() -> None:
    from workers.tasks.base import Prediction

    found = make_task().with_prediction(APART, Prediction(text="new"))
    assert found["messages"] == [*TALK[:3], {"role": "assistant", "content": "new"}]
    assert found["completion_from"] == 3
