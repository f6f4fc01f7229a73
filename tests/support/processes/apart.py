"""What runs coroutines, in tests: the browser of other tests keeps a loop running in the main thread."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

Result = TypeVar("Result")
Asked = ParamSpec("Asked")


def call_apart(function: Callable[Asked, Result], *args: Asked.args, **options: Asked.kwargs) -> Result:
    """What a function answers that begins a loop of its own, called in a thread of its own."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(function, *args, **options).result()


def run_apart(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine, run in a thread of its own."""
    return call_apart(lambda: asyncio.run(coroutine))
