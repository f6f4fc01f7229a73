"""Copies of records: written, renewed and removed with them; what is damaged or another's is refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from influence.checkpoint_files.base_models import BaseModels
from influence.contracts.checkpoint import BaseModelRef, Checkpoint, Run, RunCheckpoint
from influence.contracts.common import now
from influence.contracts.curation.review import Conflict, DecisionChange, Review
from influence.contracts.dataset import Dataset
from influence.contracts.index import Index, IndexSpec
from influence.contracts.work import INDEX
from influence.store import keys
from influence.store.connections import Connections
from influence.store.data.files import Files
from influence.store.data.sealed import seal, unseal
from influence.store.data.vault.object_store import ObjectVault
from influence.store.recovery.copying import copy_decisions, copy_records
from influence.store.recovery.recover import Outcome, recover
from influence.store.store import Store

DIGEST = "0" * 40
BASE = BaseModelRef(name="tiny/base", kind="hub", location="tiny/base")


@pytest.fixture(params=["data directory", "shared folder"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Files:
    if request.param == "data directory":
        return Files(tmp_path / "data")
    return Files(tmp_path / "data", ObjectVault(f"file://{tmp_path / 'shared'}"), cache_bytes=1 << 30)


@pytest.fixture
def house(connections: Connections, files: Files) -> Store:
    return Store(connections, files)


def run(house: Store, files: Files, roots: tuple[Path, ...] = ()) -> dict[str, Outcome]:
    models = BaseModels(aliases={}, allowed_roots=roots)
    found = list(recover(house, files, models))
    return {"decisions" if outcome.kind == "decisions" else outcome.id: outcome for outcome in found}


def add_dataset(house: Store, files: Files, dataset_id: str = "ds_1") -> Dataset:
    folder = files.datasets / dataset_id
    folder.mkdir()
    (folder / "rows.jsonl").write_text("{}\n")
    files.publish_dataset(dataset_id)
    dataset = Dataset(
        id=dataset_id, kind="classification", columns={}, rows=9, bytes=1, statistics={}, created_at=now()
    )
    house.datasets.create(dataset)
    return dataset


def add_checkpoint(house: Store, files: Files, **fields: Any) -> Checkpoint:
    with files.scratch() as scratch:
        made = scratch / "adapter"
        made.mkdir()
        (made / "adapter_config.json").write_text("{}")
        files.keep_adapter(made, DIGEST)
    known = {"id": "ckpt_1", "base_model": BASE, "task": "causal_lm", "adapter_digest": DIGEST, "created_at": now()}
    checkpoint = Checkpoint(**{**known, **fields})
    house.checkpoints.create(checkpoint)
    return checkpoint


def add_index(house: Store, files: Files, **fields: Any) -> Index:
    spec = IndexSpec(checkpoint_id="ckpt_1", dataset_id="ds_1", storage="compact")
    made: dict[str, Any] = {
        **INDEX.begin("idx_1"),
        "state": "succeeded",
        "spec": spec,
        "rows": 9,
        "shards": 1,
        **fields,
    }
    index = Index(**made)
    house.indexes.create(index)
    files.indexes.write(index.build, [(keys.row_state(index.build, 0, "kept", 0), b"1")], {"0": "c"}, {})
    return index


def lose(house: Store) -> None:
    house.connections.state.flushall()


def test_all_comes_back_as_it_was_and_nothing_is_written_twice(house: Store, files: Files) -> None:
    dataset = add_dataset(house, files)
    house.datasets.update(dataset.id, lambda current: current.model_copy(update={"name": "renamed"}))
    checkpoint, index = add_checkpoint(house, files), add_index(house, files)
    run_of = Run(
        id="run_1",
        base_model=BASE,
        task="causal_lm",
        checkpoints=(RunCheckpoint(checkpoint_id="ckpt_1", folder="a", step=1, weight=1.0),),
        weights_from="equal",
        created_at=now(),
    )
    house.runs.create(run_of)
    lose(house)
    assert {outcome.state for outcome in run(house, files).values()} == {"recovered"}
    assert house.datasets.require("ds_1").name == "renamed"
    assert (house.checkpoints.all(), house.runs.all(), house.indexes.all()) == ([checkpoint], [run_of], [index])
    house.datasets.update(dataset.id, lambda current: current.model_copy(update={"name": "since"}))
    assert {outcome.state for outcome in run(house, files).values()} == {"there"}
    assert house.datasets.require("ds_1").name == "since"


def test_decisions_come_back_with_their_history(house: Store, files: Files) -> None:
    add_dataset(house, files)
    house.reviews.create(Review(id="rev_1", dataset_id="ds_1", rows=9, created_at=now()))
    data = house.review_data
    data.change("rev_1", [DecisionChange(row_index=row, action="remove") for row in range(3)], by="ann", known=None)
    data.change("rev_1", [DecisionChange(row_index=1, action="keep")], by="ben", known=None)
    assert copy_decisions(house) == 1
    assert copy_decisions(house) == 0
    before = (data.counts("rev_1"), data.page("rev_1", 0, 10), data.history("rev_1", 0, 10), data.last_actions("rev_1"))
    lose(house)
    assert run(house, files)["decisions"].state == "recovered"
    assert before == (
        data.counts("rev_1"),
        data.page("rev_1", 0, 10),
        data.history("rev_1", 0, 10),
        data.last_actions("rev_1"),
    )
    standing = Conflict(row_index=1, current=data.find("rev_1", [1])[1])
    assert data.undo("rev_1", "ann") == (2, 3, [standing])  # of what ben has decided since nothing is taken back
    assert run(house, files)["decisions"].state == "there"


def test_what_is_deleted_leaves_no_copy(house: Store, files: Files) -> None:
    add_dataset(house, files)
    house.reviews.create(Review(id="rev_1", dataset_id="ds_1", rows=9, created_at=now()))
    house.review_data.change("rev_1", [DecisionChange(row_index=0, action="keep")], by=None, known=None)
    copy_decisions(house)
    house.reviews.delete("rev_1")
    house.review_data.delete("rev_1")
    house.datasets.delete("ds_1")
    index = add_index(house, files)
    house.indexes.delete_if(index.id, lambda _: True)
    for kind in ("dataset", "review", "decisions", "index"):
        assert list(files.records.ids(kind)) == []


def test_what_an_earlier_version_kept_is_copied_when_an_api_starts(
    connections: Connections, house: Store, files: Files
) -> None:
    without = Store(connections)
    add_dataset(without, files)
    assert list(files.records.ids("dataset")) == []
    assert copy_records(house) == 1
    assert copy_records(house) == 0
    lose(house)
    assert run(house, files)["ds_1"].state == "recovered"


def test_unfinished_and_full_indexes_have_no_copy(house: Store, files: Files) -> None:
    add_index(house, files, state="running")
    assert list(files.records.ids("index")) == []
    house.indexes.update("idx_1", lambda current: current.model_copy(update={"state": "succeeded"}))
    assert list(files.records.ids("index")) == ["idx_1"]


Change = Callable[[bytes], bytes]


def swap(old: bytes, new: bytes) -> Change:
    """Other words in a record, sealed anew: as by somebody who can write to the files."""
    return lambda text: seal(unseal(text).replace(old, new).decode()).encode()


@pytest.mark.parametrize(
    ("kind", "name", "change", "told"),
    [
        ("dataset", "ds_1", lambda text: text.replace(b'"rows":9', b'"rows":8'), "checksum"),
        ("dataset", "ds_1", lambda text: text[:40], "no checksum"),
        ("dataset", "ds_1", unseal, "no checksum"),
        ("dataset", "ds_1", lambda _: b"\xff\x00", "damaged"),
        ("dataset", "ds_1", swap(b'"rows":9', b'"rows":"x"'), "damaged"),
        ("dataset", "ds_1", swap(b"ds_1", b"ds_2"), "it is the dataset 'ds_2'"),
        ("dataset", "ds_1", swap(b'"namespace":"default"', b'"namespace":"a@b"'), "no namespace"),
        ("checkpoint", "ckpt_1", swap(DIGEST.encode(), b"../" * 10), "its adapter is not among"),
        ("checkpoint", "ckpt_1", swap(DIGEST.encode(), b"1" * 40), "its adapter is not among"),
        ("checkpoint", "ckpt_1", swap(b'"kind":"hub"', b'"kind":"path"'), "outside the allowed roots"),
        ("checkpoint", "ckpt_1", swap(b'"location":"tiny/base"', b'"location":"/etc"'), "not where"),
        ("checkpoint", "ckpt_1", swap(f'"adapter_digest":"{DIGEST}"'.encode(), b'"adapter_digest":null'), "nothing"),
        ("index", "idx_1", swap(b'"state":"succeeded"', b'"state":"running"'), "not finished"),
        ("index", "idx_1", swap(b'"job_id":"job_', b'"job_id":"../job_'), "its codes are not among"),
        ("index", "idx_1", swap(b'"shards":1', b'"shards":2'), "of 1 shards"),
        ("index", "idx_1", swap(b'"dataset_id":"ds_1"', b'"dataset_id":"ds_9"'), "ds_9, which it depends on"),
    ],
)
def test_a_copy_that_was_changed_is_refused_by_name(
    house: Store, files: Files, kind: str, name: str, change: Change, told: str
) -> None:
    add_dataset(house, files)
    add_checkpoint(house, files)
    add_index(house, files)
    text = files.records.read(kind, name)
    assert text is not None
    files.records.write(kind, name, change(text))
    assert change(text) != text
    lose(house)
    outcome = run(house, files)[name]
    assert (outcome.kind, outcome.state) == (kind, "refused")
    assert told in (outcome.reason or "")
    assert not house.holds(name)


def test_a_base_model_has_to_lie_where_this_service_may_read(house: Store, files: Files, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    folder = str((tmp_path / "models").resolve())
    add_checkpoint(house, files, base_model=BaseModelRef(name=folder, kind="path", location=folder))
    lose(house)
    assert "outside the allowed roots" in (run(house, files)["ckpt_1"].reason or "")
    assert run(house, files, roots=(tmp_path,))["ckpt_1"].state == "recovered"


def test_what_is_not_among_the_files_is_not_made_a_record(house: Store, files: Files) -> None:
    add_dataset(house, files)
    add_checkpoint(house, files)
    index = add_index(house, files)
    files.indexes.remove(index.build)
    files.remove_dataset("ds_1")
    lose(house)
    found = run(house, files)
    assert {name: outcome.state for name, outcome in found.items()} == {
        "ds_1": "refused",
        "ckpt_1": "recovered",
        "idx_1": "refused",
    }


def test_other_files_beside_the_copies_are_named(house: Store, files: Files) -> None:
    files.vault.write("records/dataset/no id.json", b"{}")
    outcome = run(house, files)["no id"]
    assert (outcome.state, outcome.reason) == ("refused", "its name is no id")


@pytest.mark.parametrize(
    "change",
    [
        swap(b'"row_index":0', b'"row_index":5'),
        swap(b'"version":1,"at"', b'"version":7,"at"'),
        lambda text: text.replace(b"keep", b"kept"),
        lambda _: b"no JSON",
    ],
)
def test_decisions_that_were_changed_are_refused_and_the_review_is_not(
    house: Store, files: Files, change: Change
) -> None:
    add_dataset(house, files)
    house.reviews.create(Review(id="rev_1", dataset_id="ds_1", rows=9, created_at=now()))
    house.review_data.change("rev_1", [DecisionChange(row_index=0, action="keep")], by=None, known=None)
    copy_decisions(house)
    text = files.records.read("decisions", "rev_1")
    assert text is not None
    assert change(text) != text
    files.records.write("decisions", "rev_1", change(text))
    lose(house)
    found = run(house, files)
    assert (found["rev_1"].state, found["decisions"].state) == ("recovered", "refused")
    assert house.review_data.version("rev_1") == 0
