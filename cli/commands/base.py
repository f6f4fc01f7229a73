"""Commands that speak to a service: what all of them take, and how they end."""

import inspect
from collections.abc import Callable
from inspect import Parameter
from typing import Any

from cli.options.fields import Options
from cli.options.shared import ApiKey, AsJson, Url
from cli.printing.output import Output
from datainf_client import Client
from datainf_client.http.session import DEFAULT_URL

_HANDED_OVER = ("service", "output", "settings")
_COMMON = (
    Parameter("url", Parameter.KEYWORD_ONLY, default=DEFAULT_URL, annotation=Url),
    Parameter("api_key", Parameter.KEYWORD_ONLY, default=None, annotation=ApiKey),
    Parameter("as_json", Parameter.KEYWORD_ONLY, default=False, annotation=AsJson),
)


def client_command(*added: Options) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make a command of `run(service, output, settings, *, <its own options>)`.

    `settings` is what the `added` options say, as part of a request; without any it is not handed over.
    Errors of our tree become words and exit code 1.
    """

    def decorate(run: Callable[..., None]) -> Callable[..., None]:
        def command(**written: Any) -> None:
            own = {name: written[name] for name in names}
            output = Output(as_json=written["as_json"])
            with output.reporting(), Client(written["url"], written["api_key"]) as service:
                settings = {name: value for options in added for name, value in options.read(written).items()}
                run(service, output, *([settings] if added else []), **own)

        parameters = inspect.signature(run, eval_str=True).parameters.values()
        own_parameters = [parameter for parameter in parameters if parameter.name not in _HANDED_OVER]
        names = [parameter.name for parameter in own_parameters]
        everything = [*own_parameters, *(parameter for options in added for parameter in options.parameters), *_COMMON]
        command.__doc__ = run.__doc__
        command.__signature__ = inspect.Signature(everything)  # type: ignore[attr-defined]
        command.__annotations__ = {parameter.name: parameter.annotation for parameter in everything}
        return command

    return decorate
