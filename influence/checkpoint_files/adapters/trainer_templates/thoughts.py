"""What trainers make of the thoughts of answers, and of answers without one, where a template has thoughts."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from influence.checkpoint_files.adapters.trainer_templates.jinja import quoted, refusal
from influence.contracts.checkpoint import ThoughtRule

#: What both write where an answer has no thought.
NO_THOUGHT = "<think>\n\n</think>\n\n"


@dataclass(frozen=True, slots=True)
class Thoughts:
    """Statements of Jinja: `before` all turns, and on the `content` of each of the assistant's, which may leave in
    `lead` what stands before it as a piece of its own. `in_header` belongs to the header of every answer.
    """

    on_content: str
    before: str = ""
    in_header: str = ""


_ONE_THOUGHT = (
    "content.count('<think>\n') == 1 and content.count('\n</think>\n\n') == 1 and content.count('<think>') == 1 "
    "and content.count('</think>') == 1"
)
#: By LLaMA-Factory's `enable_thinking`: with it answers without a thought get an empty one, which carries loss;
#: without, thoughts are taken out, and the empty one belongs to the header.
OF_FACTORY: Mapping[bool, Thoughts] = {
    True: Thoughts(
        "{% if '<think>' not in content and '</think>' not in content %}"
        f"{{% set lead = {quoted(NO_THOUGHT)} %}}{{% endif %}}"
    ),
    False: Thoughts(
        "{% if '<think>' in content or '</think>' in content %}"
        f"{{% if not ({_ONE_THOUGHT}) %}}{refusal('it is not known how training took this thought out')}{{% endif %}}"
        "{% set content = content.split('<think>\n')[0] + content.split('\n</think>\n\n')[1] %}{% endif %}"
        "{% set content = content.lstrip('\n') %}",
        in_header=NO_THOUGHT,
    ),
}

_FIND_LAST = (
    "{% set last = namespace(asked=-1) %}{% for message in turns %}"
    "{% if message['role'] == 'user' %}{% set last.asked = loop.index0 %}{% endif %}{% endfor %}"
)
_REMOVE_FORMER = "{% if loop.index0 < last.asked %}{% set content = content.split('</think>')[-1].strip() %}{% endif %}"
#: An empty thought with all space behind it, and what begins any thought; others than the first, and ends without a
#: beginning, differ by version.
_REFUSE_OTHERS = (
    "{% if content.count('<think>') > 1 or ('<think>' in content and not content.startswith('<think>')) "
    "or content.startswith(('</think>', '</mm:think>', '<seed:think>', '<|channel>')) %}"
    f"{refusal('it is not known which of these thoughts carried loss')}{{% endif %}}"
)
_MUTE_EMPTY = (
    "{% if content.startswith('<think>') and '</think>' in content and "
    "not content[7:].split('</think>')[0].strip() %}"
    "{% set rest = content.split('</think>', 1)[1].lstrip() %}"
    "{% set lead = content[:content|length - rest|length] %}{% set content = rest %}{% endif %}"
)
_MUTE_OPENING = (
    "{% if not lead and content.startswith('<think>') %}"
    "{% set lead = '<think>\n' if content.startswith('<think>\n') else '<think>' %}"
    "{% set content = content[lead|length:] %}{% endif %}"
)


def of_swift(rules: Collection[ThoughtRule], *, empty: str) -> Thoughts:
    """By ms-swift 3.12 and 4: what its settings say of training, and the empty thought of a template that has one."""
    where = {"empty_written": "", "last_empty_written": " and loop.index0 > last.asked"}
    written = [
        f"{{% if not content.startswith('<think>'){condition} %}}"
        f"{{% set content = {quoted(empty)} + content %}}{{% endif %}}"
        for rule, condition in where.items()
        if empty and rule in rules
    ]
    removed = [_REMOVE_FORMER] if "former_removed" in rules else []
    muting: dict[ThoughtRule, str] = {"empty_without_loss": _MUTE_EMPTY, "opening_without_loss": _MUTE_OPENING}
    muted = [statement for rule, statement in muting.items() if rule in rules]
    refused = [_REFUSE_OTHERS] if muted else []
    return Thoughts("".join((*written, *removed, *refused, *muted)), before=_FIND_LAST)
