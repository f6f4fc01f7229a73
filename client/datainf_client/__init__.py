"""Ask a fine-tuned model from Python which training rows taught it a behaviour.

from datainf_client import Client

client = Client("http://127.0.0.1:8321")
index = client.indexes.create(checkpoint, client.datasets.create(frame)).wait()
index.query({"text": "where is my refund", "label": "billing"}, k=5).to_pandas()
"""

from datainf_client.client import Client
from datainf_client.http.errors import ServiceError
from datainf_client.http.retries import Retries
from datainf_client.resources.audit import Audit
from datainf_client.resources.dataset import Dataset
from datainf_client.resources.groups import Groups
from datainf_client.resources.index import Index
from datainf_client.resources.query import Query
from datainf_client.resources.review import Review
from datainf_client.resources.small import Checkpoint, Evaluation, Job, Preview, Sweep
from datainf_client.version import VERSION as __version__

__all__ = [
    "Audit",
    "Checkpoint",
    "Client",
    "Dataset",
    "Evaluation",
    "Groups",
    "Index",
    "Job",
    "Preview",
    "Query",
    "Retries",
    "Review",
    "ServiceError",
    "Sweep",
    "__version__",
]
