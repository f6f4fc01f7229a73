"""A service with something of every kind in it, and the bodies that made it: what a fuzzer bends is valid before."""

import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from support.rows import make_ticket_rows
from support.tiny import LABELS, TinyCheckpoint

from influence.digests import canonical_json

_ROWS = 12


@dataclass
class Furnished:
    """`ids` by the names of paths' parameters; `bodies` that were accepted, by (method, path of the document)."""

    client: Any
    ids: dict[str, list[str]] = field(default_factory=dict)
    bodies: dict[tuple[str, str], list[Any]] = field(default_factory=dict)

    def send(self, name: str, path: str, fields: dict[str, str], **files: bytes) -> dict[str, Any]:
        """An upload."""
        self.bodies.setdefault(("POST", path), []).append({**fields, **files})
        return self._keep(name, self.client.post(path, data=fields, files={key: (key, v) for key, v in files.items()}))

    def ask(self, name: str, template: str, body: dict[str, Any], *, method: str = "POST") -> dict[str, Any]:
        """A request below the newest of what its path names; its job is waited for."""
        self.bodies.setdefault((method, template), []).append(body)
        path = template.format(**{key: values[-1] for key, values in self.ids.items()})
        return self._keep(name, self.client.request(method, path, json=body))

    def _keep(self, name: str, answer: Any) -> dict[str, Any]:
        if not answer.is_success:
            raise RuntimeError(f"not furnished: {answer.text}")
        made: dict[str, Any] = answer.json()
        if name:
            self.ids.setdefault(f"{name}_id", []).append(made["id"])
        if job := made.get("job_id"):
            self.ids.setdefault("job_id", []).append(job)
            events = self.client.get(f"/v1/jobs/{job}/events")  # ends with the job
            if '"state":"succeeded"' not in events.text.replace(" ", ""):
                raise RuntimeError(f"not furnished: {events.text[-500:]}")
        return made


def furnish(client: Any, tiny: TinyCheckpoint) -> Furnished:
    """Everything once, by the calls that its users make. Raises RuntimeError where one is refused."""
    made = Furnished(client)
    form = {"base_model": "tiny", "label_names": canonical_json(list(LABELS)).decode()}
    checkpoint = made.send("checkpoint", "/v1/checkpoints", form, adapter=_zipped(tiny.adapter))["id"]
    rows = [{**row, "source": "web" if at % 3 else "mail"} for at, row in enumerate(make_ticket_rows(_ROWS))]
    lines = b"\n".join(canonical_json(row) for row in rows)
    dataset = made.send("dataset", "/v1/datasets", {"name": "tickets"}, file=lines)["id"]
    built = {"checkpoint_id": checkpoint, "dataset_id": dataset, "max_length": 64}
    for storage in ("full", "compact"):
        made.ask("index", "/v1/indexes", {**built, "storage": storage})
    chosen = {"dataset_id": dataset, "row_indexes": [0, 1, 2]}
    below = "/v1/indexes/{index_id}/"
    made.ask("query", below + "queries", {"examples": [{"text": "late parcel", "label": 0}], "k": 3})
    made.ask("query", below + "queries", {"rows": chosen, "method": "auto", "order": "both", "include": ["tokens"]})
    made.ask("sweep", below + "sweeps", {"rows": chosen, "damping_scales": [0.1, 1.0]})
    made.ask("audit", below + "audits", {})
    made.ask("groups", below + "groups", {"by": "source", "evaluation": chosen})
    made.ask("", "/v1/groups/{groups_id}/what-if", {"remove": {"row_indexes": [1]}})
    made.ask("preview", "/v1/datasets/{dataset_id}/preview", {"checkpoint_id": checkpoint})
    made.ask("review", "/v1/reviews", {"dataset_id": dataset, "audit_id": made.ids["audit_id"][0]})
    decisions = [{"row_index": 0, "action": "relabel", "label": LABELS[1]}, {"row_index": 1, "action": "remove"}]
    made.ask("", "/v1/reviews/{review_id}/decisions", {"decisions": decisions}, method="PATCH")
    made.ask("", "/v1/reviews/{review_id}/decisions/bulk", {"top": 2, "action": "later", "dry_run": True})
    return made


def _zipped(folder: Path) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    return packed.getvalue()
