"""The model hub: an adapter's files and nothing else, and the commit that a moving name stands for."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import (
    HfHubHTTPError,
    HFValidationError,
    HTTPError,  # of whichever HTTP client this version of the library is built on
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from app.intake.adapters import ADAPTER_FILES
from influence.contracts.checkpoint import BaseModelRef
from influence.errors import InvalidRequest, NotFound, TooLarge, Unavailable

_TIMEOUT_SECONDS = 30.0


def fetch_adapter(
    hub_id: str, *, revision: str | None, folder: Path, max_bytes: int, endpoint: str | None = None
) -> None:
    """Download the adapter's files into `folder`, all of one commit.

    Raises NotFound, InvalidRequest, TooLarge, Unavailable.
    """
    with _hub_errors(hub_id):
        info = HfApi(endpoint=endpoint).model_info(
            hub_id, revision=revision, files_metadata=True, timeout=_TIMEOUT_SECONDS
        )
        sizes = {file.rfilename: file.size or 0 for file in info.siblings or [] if file.rfilename in ADAPTER_FILES}
        if sum(sizes.values()) > max_bytes:
            raise TooLarge(f"The adapter has {sum(sizes.values()):,} bytes.", extra={"max_bytes": max_bytes})
        for name in sizes:
            hf_hub_download(
                hub_id, name, revision=info.sha, local_dir=folder, endpoint=endpoint, etag_timeout=_TIMEOUT_SECONDS
            )


def pin_revision(base: BaseModelRef, *, endpoint: str | None = None) -> BaseModelRef:
    """The same base model at the commit that its revision (or `main`) stands for now.

    A checkpoint's id is an address of contents: it must not depend on a name that moves.
    Raises NotFound, InvalidRequest, Unavailable.
    """
    with _hub_errors(base.location):
        info = HfApi(endpoint=endpoint).model_info(base.location, revision=base.revision, timeout=_TIMEOUT_SECONDS)
    return base.model_copy(update={"revision": info.sha})


@contextmanager
def _hub_errors(hub_id: str) -> Iterator[None]:
    """What the client raises, as errors of ours."""
    try:
        yield
    except HFValidationError as error:
        raise InvalidRequest(f"{hub_id[:120]!r} is no hub id.", hint="A hub id looks like 'owner/name'.") from error
    except (RepositoryNotFoundError, RevisionNotFoundError) as error:
        raise NotFound(
            f"The hub has no model {hub_id[:120]!r} at this revision, or it is private.",
            hint="Check id and revision; for private or gated models the service needs a token (HF_TOKEN).",
        ) from error
    except OfflineModeIsEnabled as error:
        raise Unavailable(
            "The service does not reach for the hub.", hint="Upload the adapter, or unset HF_HUB_OFFLINE."
        ) from error
    except (HfHubHTTPError, HTTPError, OSError) as error:
        raise Unavailable(
            f"The hub does not give {hub_id[:120]!r}: {type(error).__name__}.",
            hint="Try again later, or upload the adapter.",
        ) from error
