"""The client: one object with everything that the service offers."""

import os
from types import TracebackType

import httpx

from datainf_client.collections.asked import (
    AllGroups,
    Audits,
    Evaluations,
    Indexes,
    Jobs,
    Previews,
    Queries,
    Reviews,
    Sweeps,
    Webhooks,
)
from datainf_client.collections.sent import Checkpoints, Datasets
from datainf_client.generated.models import MethodDescription
from datainf_client.http.retries import Retries
from datainf_client.http.session import DEFAULT_URL, Json, Session


class Client:
    """Speaks to one service.

    `url` and `api_key` are taken from DATAINF_URL and DATAINF_API_KEY where they are left out. Calls that fail raise
    ServiceError. What can be sent again without doing work twice is, after lost connections, 429 and 503, as `retries`
    say. `http` makes calls that have no method here. Use it in a `with` block, or `close` it.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        where = url or os.environ.get("DATAINF_URL") or DEFAULT_URL
        key = api_key or os.environ.get("DATAINF_API_KEY") or None
        self.http = Session(where, key, retries=retries, transport=transport)
        self.checkpoints = Checkpoints(self.http)
        self.datasets = Datasets(self.http)
        self.indexes = Indexes(self.http)
        self.queries = Queries(self.http)
        self.audits = Audits(self.http)
        self.reviews = Reviews(self.http)
        self.groups = AllGroups(self.http)
        self.evaluations = Evaluations(self.http)
        self.sweeps = Sweeps(self.http)
        self.previews = Previews(self.http)
        self.jobs = Jobs(self.http)
        self.webhooks = Webhooks(self.http)

    def methods(self) -> list[MethodDescription]:
        """What a query can name as `method`; baselines are marked."""
        return [MethodDescription.model_validate(one) for one in self.http.get("/v1/methods")["data"]]

    def readiness(self) -> Json:
        """What the service says of itself: `status`, `workers`, `notes`."""
        return self.http.readiness()

    def close(self) -> None:
        """Let go of the connections."""
        self.http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.http.url}>"
