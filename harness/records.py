"""Stored values garbled one at a time: never a wrong score, a dead thread, work without an end, or a failure that
outlives a DELETE.

API and worker are in this process, over a server of their own; what they have made is put back after every trial.
"""

import random
import re
import shutil
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from starlette.testclient import TestClient
from support.api import LocalClient
from support.evaluations import Squares, squares_request
from support.rows import make_ticket_rows
from support.service import add_checkpoint, add_dataset, running_worker
from support.tiny import make_classifier
from support.work import submit_evaluation

from app.main import create_app
from app.settings import ApiSettings
from harness.garbling import WAYS, garble
from influence.store.embedded import EmbeddedServer
from influence.store.store import Store
from workers.runtime.deletions import forget
from workers.runtime.state import Runtime

END_SECONDS = 300.0
#: A build that comes back fits its basis anew.
TOLERANCES = {"full": 1e-3, "compact": 5e-3}
#: What is asked for below each resource, where it has any.
BELOW = {
    "datasets": ("/rows", "/export"),
    "queries": ("/scores",),
    "audits": ("/rows", "/table"),
    "evaluations": ("/report.md", "/pictures/squares.svg"),
    "reviews": ("/decisions", "/history", "/export"),
}
#: In the order in which they can be deleted.
KINDS = ("evaluations", "reviews", "groups", "sweeps", "audits", "queries", "previews", "indexes", "datasets")
_HELPERS = {"housekeeping", "deletions"}
#: What workers write anew every few seconds, and what the queue keeps for itself.
_FLEETING = re.compile(rb"datainf:workers?(:.*)?|datainf-queue:.*|dramatiq:.*")
_VARYING = re.compile(rb"[0-9A-Z]{26}|[0-9a-f]{24,}|\d+")
TEST = [{"text": "late parcel", "label": 0}, {"text": "wrong bill", "label": 1}]


@dataclass
class Story:
    """A service with something of every kind in it, and how it was before anything was garbled."""

    client: TestClient
    store: Store
    runtime: Runtime
    copies: Path
    resources: list[str] = field(default_factory=list)
    indexes: dict[str, str] = field(default_factory=dict)
    scores: dict[str, Any] = field(default_factory=dict)
    kept: dict[bytes, tuple[bytes, int]] = field(default_factory=dict)

    def prepare(self, folder: Path) -> None:
        """Make something of every kind."""
        tiny = make_classifier(folder / "tiny")
        checkpoint = add_checkpoint(self.store, self.runtime.files, tiny, "sequence_classification")
        rows = make_ticket_rows(40)
        dataset = add_dataset(self.store, self.runtime.files, rows, "classification")
        self.resources = [f"/v1/checkpoints/{checkpoint.id}", f"/v1/datasets/{dataset.id}"]
        ids = {"checkpoint_id": checkpoint.id, "dataset_id": dataset.id, "max_length": 64}
        for storage in TOLERANCES:
            self.indexes[storage] = self.make("/v1/indexes", {**ids, "storage": storage})
            self.scores[storage] = self.ask(storage, set())
        index = self.indexes["full"]
        judged = {"dataset_id": dataset.id, "row_indexes": [0, 1, 2]}
        self.make(f"/v1/indexes/{index}/queries", {"examples": TEST})
        audit = self.make(f"/v1/indexes/{index}/audits", {"evaluation": judged})
        self.make(f"/v1/indexes/{index}/sweeps", {"examples": TEST})
        self.make(f"/v1/indexes/{index}/groups", {"by": "label", "evaluation": judged})
        self.make(f"/v1/datasets/{dataset.id}/preview", {"checkpoint_id": checkpoint.id})
        review = self.make("/v1/reviews", {"dataset_id": dataset.id, "audit_id": audit})
        decisions = {"decisions": [{"row_index": 3, "action": "remove", "note": "odd"}], "by": "ada"}
        self.client.patch(f"/v1/reviews/{review}/decisions", json=decisions).raise_for_status()
        evaluation = submit_evaluation(self.store, squares_request(4))
        self.resources.append(f"/v1/evaluations/{evaluation.id}")
        self.settle()
        self.keep()

    def make(self, path: str, body: dict[str, Any]) -> str:
        """POST and wait; answers the id."""
        made = self.client.post(path, json=body).raise_for_status().json()
        if "job_id" in made:
            state = self.wait(made["job_id"])
            assert state == "succeeded", f"{path}: {state}"
        kind = {"preview": "previews"}.get(path.rpartition("/")[2], path.rpartition("/")[2])
        self.resources.append(f"/v1/{kind}/{made['id']}")
        return str(made["id"])

    def wait(self, job_id: str) -> str:
        """The state in which a job ends; "damaged" where its record cannot be read any more."""
        deadline = time.monotonic() + END_SECONDS
        while time.monotonic() < deadline:
            job = self.client.get(f"/v1/jobs/{job_id}")
            state = str(job.json().get("state", "damaged"))
            if state not in ("queued", "running"):
                return state
            time.sleep(0.01)
        return "hanging"

    def settle(self) -> list[str]:
        """Wait until no work is under way; answers what does not end."""
        deadline = time.monotonic() + END_SECONDS
        while left := [job.id for job in self.store.jobs.open()]:
            if time.monotonic() > deadline:
                return [f"{job_id} does not end" for job_id in left]
            time.sleep(0.01)
        return []

    def keep(self) -> None:
        """Remember every key and file."""
        state: Any = self.store.connections.state
        names = [name for name in state.scan_iter() if not _FLEETING.fullmatch(name)]
        found = {name: (state.dump(name), max(0, state.pttl(name))) for name in names}
        # The listing of open jobs goes a moment after the last of them has ended.
        self.kept = {name: (content, ttl) for name, (content, ttl) in found.items() if content is not None}
        shutil.rmtree(self.copies, ignore_errors=True)
        for folder in self._folders():
            shutil.copytree(folder, self.copies / folder.name)

    def _folders(self) -> tuple[Path, ...]:
        return (self.runtime.files.datasets, self.runtime.files.adapters)

    def put_back(self) -> None:
        """Everything as it was remembered; nothing of it in memory."""
        state: Any = self.store.connections.state
        for name in [name for name in state.scan_iter() if not _FLEETING.fullmatch(name)]:
            state.delete(name)
        for name, (content, ttl) in self.kept.items():
            state.restore(name, ttl, content, replace=True)
        for folder in self._folders():
            shutil.copytree(self.copies / folder.name, folder, dirs_exist_ok=True)
        self.forget()

    def forget(self) -> None:
        """Let the worker read anew."""
        for index in self.indexes.values():
            forget(self.runtime, index)

    def groups(self) -> dict[bytes, list[bytes]]:
        """Keys by what they are for."""
        found = defaultdict(list)
        for name in sorted(self.kept):
            found[_VARYING.sub(b"#", name)].append(name)
        return found

    def ask(self, storage: str, refused: set[str]) -> Any:
        """Influence of every row, or None where it is refused with a cause; that is added to `refused`. First rows are
        computed exactly always: whether 'auto' has the time for it depends on how busy the machine is."""
        body = {"examples": TEST, "exact": True}
        answer = self.client.post(f"/v1/indexes/{self.indexes[storage]}/queries", json=body)
        if answer.status_code != 202:
            refused.add(answer.json()["code"])
            return None
        job_id, query_id = answer.json()["job_id"], answer.json()["id"]
        if (state := self.wait(job_id)) != "succeeded":
            error = self.client.get(f"/v1/jobs/{job_id}").json().get("error") or {"code": state}
            refused.add(error["code"])
            return None
        found = self.client.get(f"/v1/queries/{query_id}/scores").json()["influence"]
        self.client.delete(f"/v1/queries/{query_id}")
        return np.array(found, dtype=np.float64)


@contextmanager
def opened_story(folder: Path) -> Iterator[Story]:
    """A story until the block ends."""
    server = EmbeddedServer(folder / "redis")
    server.start()
    kind = Squares()
    kind.go.set()
    try:
        with running_worker(server.url, folder / "data", kinds={"lds": kind}) as runtime:
            settings = ApiSettings(redis_url=server.url, data_dir=runtime.files.root, hub_offline=True)
            settings = settings.model_copy(update={"max_requests_per_minute": 10**9})
            with LocalClient(create_app(settings, store=runtime.store, files=runtime.files)) as client:
                story = Story(client, runtime.store, runtime, folder / "copies")
                story.prepare(folder)
                yield story
    finally:
        server.stop()


def check(story: Story) -> list[str]:
    """What is wrong with the service as it is now."""
    wrong = [*_lists(story), *_scores(story)]
    wrong += story.settle()
    wrong += _scores(story)  # what could come back has done so
    wrong += _heal(story)
    alive = {thread.name for thread in threading.enumerate()}
    wrong += [f"the thread '{name}' is dead" for name in sorted(_HELPERS - alive)]
    return wrong


def _lists(story: Story) -> list[str]:
    paths = [f"/v1/{kind}" for kind in (*KINDS, "checkpoints", "jobs") if kind != "previews"]
    answers = {path: story.client.get(path) for path in [*paths, "/metrics"]}
    return [
        f"{path} -> {answer.status_code}: {answer.text[:200]}" for path, answer in answers.items() if answer.is_error
    ]


def _scores(story: Story) -> list[str]:
    wrong = []
    for storage, truth in story.scores.items():
        refused: set[str] = set()
        found = story.ask(storage, refused)
        if found is None:
            wrong += [f"a query is {code}" for code in refused & {"internal", "hanging"}]
        elif found.shape != truth.shape or np.abs(found - truth).max() > TOLERANCES[storage] * np.abs(truth).max():
            wrong.append(f"wrong scores of the {storage} index")
    return wrong


def _heal(story: Story) -> list[str]:
    """Ask for everything; what fails is deleted, and has to be gone then."""
    failing = {resource for resource in story.resources if _fails(story, resource)}
    wrong = []
    for kind in (*KINDS, "checkpoints"):  # whatever might hold what fails goes first
        of_kind = [resource for resource in story.resources if resource.split("/")[2] == kind]
        for resource in of_kind if failing else []:
            answer = story.client.delete(resource)
            if answer.status_code not in (204, 404):
                wrong.append(f"DELETE {resource} -> {answer.status_code}: {answer.text[:200]}")
            elif (left := story.client.get(resource).status_code) != 404:
                wrong.append(f"{resource} -> {left} after its deletion")
    return wrong + (_lists(story) if failing else [])


def _fails(story: Story, resource: str) -> bool:
    paths = [resource, *(resource + below for below in BELOW.get(resource.split("/")[2], ()))]
    return any(story.client.get(path).status_code >= 500 for path in paths)


def run_records(folder: Path, *, seed: int, trials: int) -> tuple[Counter[str], list[str]]:
    """(trials by what was garbled, what was found wrong): keys of every kind in turn, ways by the seed's dice."""
    with opened_story(folder) as story:
        return try_many(story, random.Random(seed), trials)


def try_many(story: Story, dice: random.Random, trials: int) -> tuple[Counter[str], list[str]]:
    """So many trials on a story that is there."""
    done, wrong, groups = Counter[str](), list[str](), story.groups()
    turns = sorted(groups) * (1 + trials // len(groups))
    dice.shuffle(turns)
    for group in turns[:trials]:
        name, way = dice.choice(groups[group]), dice.choice(sorted(WAYS))
        wrong += try_one(story, name, way, dice)
        done[f"{way} {group.decode()}"] += 1
    return done, wrong


def try_one(story: Story, name: bytes, way: str, dice: random.Random) -> list[str]:
    """Garble one value in one way, look at everything, put everything back; answers what was wrong."""
    where = garble(story.store.connections.state, name, WAYS[way], dice)
    story.forget()
    wrong = [f"{way} {name.decode(errors='replace')}{where}: {line}" for line in check(story)]
    story.put_back()
    return wrong
