"""Paths named in requests: only those under the configured roots, symbolic links resolved."""

from collections.abc import Sequence
from pathlib import Path

from influence.errors import NotFound, PathNotAllowed


def resolve_allowed(text: str, roots: Sequence[Path]) -> Path:
    """The real path of an existing file or folder under one of the roots.

    Raises PathNotAllowed, also for what does not exist outside the roots, and NotFound inside them.
    """
    try:
        path = Path(text).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise PathNotAllowed("This is not a path.") from error
    if not Path(text).is_absolute() or not any(path.is_relative_to(root.resolve()) for root in roots):
        raise PathNotAllowed(f"The path '{text[:200]}' lies outside the allowed roots.")
    if not path.exists():
        raise NotFound(f"There is nothing at '{text[:200]}'.", hint="Check the path on the machine of the service.")
    return path
