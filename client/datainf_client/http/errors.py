"""The one exception of this package."""

from typing import Any

UNREACHABLE = "unreachable"
CONNECTION_LOST = "connection_lost"


class ServiceError(Exception):
    """A call that did not succeed.

    `status` is the answer's, None where none came. `code` is stable, `detail` a sentence, `hint` says what to do,
    `request_id` finds the call in the service's log, `body` is the whole problem with its figures.
    Codes of the service stand in its API guide; those made here are `unreachable`, `connection_lost`,
    `unexpected_answer`, `invalid_request` and `timed_out`.
    """

    def __init__(
        self,
        detail: str,
        *,
        code: str,
        hint: str = "",
        status: int | None = None,
        request_id: str | None = None,
        body: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{detail} {hint}".strip())
        self.detail = detail
        self.code = code
        self.hint = hint
        self.status = status
        self.request_id = request_id
        self.body = body or {"code": code, "detail": detail, "hint": hint}

    @classmethod
    def of(cls, body: dict[str, Any], status: int | None = None) -> "ServiceError":
        """A problem as the service sent it, or as a failed job keeps it."""
        return cls(
            str(body.get("detail") or body.get("title") or "The service refused."),
            code=str(body.get("code") or "unknown"),
            hint=str(body.get("hint") or ""),
            status=body["status"] if status is None and isinstance(body.get("status"), int) else status,
            request_id=body.get("request_id"),
            body=body,
        )

    @property
    def is_absence(self) -> bool:
        """Whether the service was away or not able to answer, and may be back."""
        return self.code in (UNREACHABLE, CONNECTION_LOST) or self.status in (429, 502, 503, 504)
