"""A trainer's template as a chat template."""

from dataclasses import dataclass

from influence.checkpoint_files.adapters.trainer_templates.jinja import expression, quoted, refusal
from influence.checkpoint_files.adapters.trainer_templates.thoughts import Thoughts

_OF_SEVERAL = refusal("training put an end on tokens between its turns that is no token of it")
_NOT_PLAIN = "message['tool_calls'] or message['reasoning_content'] or message['content'] is not string"


@dataclass(frozen=True, slots=True)
class TrainerTemplate:
    """What a trainer writes around each turn; `{}` stands for its words, `{bos}` and `{eos}` for tokens by these names.

    `answer` is the header of the assistant's turn, `said` the turn itself, and `said_last` the last turn of all where
    it ends otherwise. `default_system` is written where a row has no system prompt. With `in_user` the system prompt
    stands before the words of the first turn, not in one of its own. `thoughts` is there for a template that has some.
    With `is_single` it is known for one question and its answer alone.
    """

    user: str
    answer: str
    said: str
    system: str = "{}"
    default_system: str = ""
    start: str = ""
    in_user: bool = False
    said_last: str | None = None
    thoughts: Thoughts | None = None
    is_single: bool = False

    def as_jinja(self) -> str:
        """The same as a chat template, for conversations of plain texts between a user and the assistant."""
        thoughts = self.thoughts or Thoughts("")
        system = expression(self.system, "system")
        alone = "" if self.in_user else f"{{% if system %}}{{{{ {system} }}}}{{% endif %}}"
        first = f"({system} if loop.first and system else '') + " if self.in_user else ""
        answer = expression(self.answer + thoughts.in_header)
        alone += f"{{% if turns|length > 2 %}}{_OF_SEVERAL}{{% endif %}}" if self.is_single else ""
        return (
            f"{{{{ {expression(self.start)} }}}}"
            f"{{% set system = {quoted(self.default_system)} %}}{{% set turns = messages %}}"
            "{% if messages and messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}"
            "{% set system = messages[0]['content'] or system %}{% endif %}"
            f"{alone}{thoughts.before}{{% for message in turns %}}"
            f"{{% if {_NOT_PLAIN} %}}{refusal('it is not known how training wrote more than texts')}{{% endif %}}"
            f"{{% set content = {first}message['content'] %}}"
            f"{{% if message['role'] == 'user' %}}{{{{ {expression(self.user)} }}}}"
            f"{{% elif message['role'] == 'assistant' %}}{thoughts.on_content}{self._write_answer(answer, thoughts)}"
            f"{{% else %}}{refusal('it is not known how training wrote this role')}{{% endif %}}"
            f"{{% endfor %}}{{% if add_generation_prompt %}}{{{{ {answer} }}}}{{% endif %}}"
        )

    def _write_answer(self, answer: str, thoughts: Thoughts) -> str:
        said = expression(self.said)
        if self.said_last is not None:
            said = f"({expression(self.said_last)} if loop.last else {said})"
        if thoughts.is_marked:
            return f"{{{{ {answer} + silent }}}}{{% generation %}}{{{{ {said} }}}}{{% endgeneration %}}"
        return f"{{{{ {answer} + {said} }}}}"
