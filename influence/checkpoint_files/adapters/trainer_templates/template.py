"""A trainer's template as a chat template."""

from dataclasses import dataclass

from influence.checkpoint_files.adapters.trainer_templates.jinja import (
    APART,
    MUTED,
    WITH_LOSS,
    WITHOUT_LOSS,
    expression,
    quoted,
    refusal,
)
from influence.checkpoint_files.adapters.trainer_templates.thoughts import Thoughts

_OF_SEVERAL = refusal("training put an end on tokens between its turns that is no token of it")
_NOT_PLAIN = "message['tool_calls'] or message['reasoning_content'] or message['content'] is not string"


@dataclass(frozen=True, slots=True)
class TrainerTemplate:
    """What a trainer writes around each turn; `{}` stands for its words, `{bos}` and `{eos}` for tokens by these names.

    `answer` is the header of the assistant's turn, `said` the turn itself, and `said_last` the last turn of all where
    it ends otherwise. `default_system` is written where a row has no system prompt. With `in_user` the system prompt
    stands before the words of the first turn, not in one of its own. `thoughts` is there for a template that has some.
    With `is_single` it is known for one question and its answer alone. `by_loss`: pieces that are encoded apart begin
    where loss does and where it ends, not at each turn and each answer.
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
    by_loss: bool = False

    def as_jinja(self) -> str:
        """The same as a chat template, for conversations of plain texts between a user and the assistant."""
        thoughts = self.thoughts or Thoughts("")
        system = expression(self.system, "system")
        alone = "" if self.in_user else f"{{% if system %}}{{{{ {system} }}}}{{% endif %}}"
        first = f"({system} if loop.first and system else '') + " if self.in_user else ""
        turn, said = (WITHOUT_LOSS, WITH_LOSS) if self.by_loss else (APART, APART)
        alone += f"{{% if turns|length > 2 %}}{_OF_SEVERAL}{{% endif %}}" if self.is_single else ""
        return (
            f"{{{{ {expression(self.start)} }}}}{turn}"
            f"{{% set system = {quoted(self.default_system)} %}}{{% set turns = messages %}}"
            "{% if messages and messages[0]['role'] == 'system' %}{% set turns = messages[1:] %}"
            "{% set system = messages[0]['content'] or system %}{% endif %}"
            f"{alone}{thoughts.before}{{% for message in turns %}}"
            f"{{% if {_NOT_PLAIN} %}}{refusal('it is not known how training wrote more than texts')}{{% endif %}}"
            f"{{% set content = {first}message['content'] %}}"
            f"{{% if message['role'] == 'user' %}}{turn}{{{{ {expression(self.user)} }}}}"
            f"{{% elif message['role'] == 'assistant' %}}{{% set lead = {quoted(thoughts.in_header)} %}}"
            f"{thoughts.on_content}{{{{ {expression(self.answer)} }}}}{MUTED if self.by_loss else APART}{{{{ lead }}}}"
            f"{said}{self._write_said()}"
            f"{{% else %}}{refusal('it is not known how training wrote this role')}{{% endif %}}"
            "{% endfor %}"
            f"{{% if add_generation_prompt %}}{{{{ {expression(self.answer + thoughts.in_header)} }}}}{{% endif %}}"
        )

    def _write_said(self) -> str:
        if self.said_last is None:
            return f"{{{{ {expression(self.said)} }}}}"
        last = f"{{{{ {expression(self.said_last)} }}}}"
        if self.said.startswith(self.said_last):
            rest = f"{{% if not loop.last %}}{{{{ {expression(self.said[len(self.said_last) :])} }}}}{{% endif %}}"
            # What stands between turns alone carries no loss.
            return last + (WITHOUT_LOSS if self.by_loss else "") + rest
        return f"{{% if loop.last %}}{last}{{% else %}}{{{{ {expression(self.said)} }}}}{{% endif %}}"
