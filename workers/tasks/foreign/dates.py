"""The day that chat templates are told it is: always the same one, or a row's gradient would change overnight."""

from influence.checkpoint_files.tokenizers.template import TEMPLATE_DATE, asks_date

_DIRECTIVES = ("-d", "-m", "-H", "-I", "-j", "-M", "-S", *"aAbBcdHIjmMpSUwWxXyYfz")


def pin_date(template: str) -> str:
    """The template with `strftime_now` of its own, where it asks for the date.

    transformers gives templates nothing that can be called, and its own function tells the present day. The line break
    goes with the macro, so that the template begins where it did.
    """
    if not asks_date(template):
        return template
    return f"{{% macro strftime_now(format) %}}{{{{ format{_REPLACED} }}}}{{% endmacro %}}\n{template}"


_REPLACED = "".join(f".replace('%{name}', '{TEMPLATE_DATE.strftime(f'%{name}')}')" for name in _DIRECTIVES)
