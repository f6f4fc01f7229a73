"""What commands print: results on stdout, everything else on stderr; with `--json` only JSON on stdout."""

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TextIO

import typer
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from cli.printing.text import plain
from datainf_client import ServiceError
from influence.contracts.common import Json
from influence.errors import DatainfError, Unavailable

EXIT_FAILED = 1
_WIDTH_IN_FILES = 160
#: Usage errors are typer's; 130 is what shells use for 'ended by Ctrl-C'.
EXIT_USAGE, EXIT_KILLED = 2, 130


def make_console(stream: TextIO) -> Console:
    """A console on a stream; a file or a pipe gets lines wide enough to keep ids in one piece."""
    wide = None if stream.isatty() or "COLUMNS" in os.environ else _WIDTH_IN_FILES
    return Console(file=stream, highlight=False, width=wide)


class Output:
    """One command's printing."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.results = make_console(sys.stdout)
        self.notices = make_console(sys.stderr)

    def note(self, text: str) -> None:
        """Say something beside the result."""
        self.notices.print(Text(text), soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a result for people; on stderr where stdout is for JSON."""
        (self.notices if self.as_json else self.results).print(Text(text), soft_wrap=True)

    def busy(self, text: str) -> AbstractContextManager[object]:
        """A spinner while something takes its time."""
        return self.notices.status(Text(plain(text)))

    def show_json(self, value: Json) -> None:
        """Print a JSON document; ASCII only, so that no text in it can steer a terminal."""
        print(json.dumps(value, indent=2))

    def show(self, value: Json, print_words: Callable[[], None]) -> None:
        """Print a result: as JSON where that was asked for, else in words."""
        if self.as_json:
            self.show_json(value)
        else:
            print_words()

    def show_problem(self, error: DatainfError | ServiceError) -> None:
        """Print what went wrong and what to do."""
        self.notices.print(Text("Error: ", "bold red") + Text(plain(error.detail)), soft_wrap=True)
        self.notices.print(Text("Hint:  ", "bold") + Text(plain(error.hint)), soft_wrap=True)
        if self.as_json:
            self.show_json(error.body if isinstance(error, ServiceError) else error.problem())

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn errors of our tree and the service's into words and exit code 1, Ctrl-C into exit code 130."""
        try:
            yield
        except (DatainfError, ServiceError) as error:
            self.show_problem(error)
            raise typer.Exit(EXIT_FAILED) from error
        except ValidationError as error:
            self.show_problem(
                Unavailable(
                    f"Unexpected response from the service: {error.error_count()} fields failed validation.",
                    hint="Are client and service of the same version? --json shows answers as they come.",
                )
            )
            raise typer.Exit(EXIT_FAILED) from error
        except KeyboardInterrupt as error:
            raise typer.Exit(EXIT_KILLED) from error
