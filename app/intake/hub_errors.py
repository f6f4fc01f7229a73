"""What the hub's client raises, as errors of ours; for models and data sets alike."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub.errors import (
    EntryNotFoundError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # of whichever HTTP client this version of the library is built on
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from influence.errors import DiskFull, InvalidRequest, NotFound, Unavailable, is_disk_full
from influence.settings import OFFLINE


@contextmanager
def translate_hub_errors(hub_id: str, revision: str | None, *, kind: str, example: str, instead: str) -> Iterator[None]:
    """Raise NotFound, InvalidRequest or Unavailable in the client's place.

    `kind` is what is asked for, `example` an id of that kind, `instead` what to do without the hub.
    """
    called = f"{hub_id[:120]!r}" + (f" at revision {revision[:80]!r}" if revision else "")
    try:
        yield
    except HFValidationError as error:
        raise InvalidRequest(f"{called} is no hub id.", hint=f"A hub id looks like '{example}'.") from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise NotFound(
            f"The hub has no {kind} {called}, or it is private.",
            hint=f"Check id and revision; for private or gated {kind}s the service needs a token (HF_TOKEN).",
        ) from error
    except OfflineModeIsEnabled as error:
        raise Unavailable(OFFLINE, hint=f"{instead[0].upper()}{instead[1:]}, or unset HF_HUB_OFFLINE.") from error
    except (EntryNotFoundError, HfHubHTTPError, HTTPError, OSError) as error:
        if isinstance(error, OSError) and is_disk_full(error):
            raise DiskFull("There is no room for what the hub gives.") from error
        raise Unavailable(
            f"The hub does not give {called}: {_short(error)}.", hint=f"Try again later, or {instead}."
        ) from error


def _short(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
