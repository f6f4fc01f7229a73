"""Checkpoints over HTTP, with real adapters of a tiny model."""

import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient
from support.answered import present
from support.problems import assert_problem
from support.tiny import TinyCheckpoint, make_causal, make_classifier

from influence.contracts.checkpoint import Checkpoint
from influence.store.data.files import Files
from influence.store.store import Store


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_classifier(tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_causal(tmp_path_factory.mktemp("causal"))


@pytest.fixture
def aliased(make_client: Callable[..., TestClient], tiny: TinyCheckpoint, other: TinyCheckpoint) -> TestClient:
    return make_client(
        base_model_aliases={"tiny": str(tiny.base), "other": str(other.base)}, allowed_roots=[tiny.adapter.parent]
    )


def zip_folder(folder: Path, leave_out: str = "") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in sorted(folder.iterdir()):
            if file.is_file() and file.name != leave_out:
                archive.write(file, file.name)
    return buffer.getvalue()


def send(client: TestClient, archive: bytes, **fields: str) -> Any:
    data = {"base_model": "tiny", **fields}
    return client.post("/v1/checkpoints", files={"adapter": ("adapter.zip", archive)}, data=data)


def test_a_zip_becomes_a_checkpoint_and_the_same_content_the_same_one(
    aliased: TestClient, tiny: TinyCheckpoint, files: Files
) -> None:
    first, again = (send(aliased, zip_folder(tiny.adapter)) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json() == again.json()
    checkpoint = Checkpoint.model_validate(first.json())
    assert (checkpoint.task, checkpoint.num_labels) == ("sequence_classification", 3)
    assert (files.adapter(present(checkpoint.adapter_digest)) / "adapter_model.safetensors").is_file()
    assert list((files.root / "tmp").iterdir()) == []


def test_where_the_base_model_lies_on_the_server_is_not_told(
    aliased: TestClient, tiny: TinyCheckpoint, store: Store
) -> None:
    made = send(aliased, zip_folder(tiny.adapter))
    shown = (made, aliased.get(f"/v1/checkpoints/{made.json()['id']}"), aliased.get("/v1/checkpoints"))
    assert [answer.json().get("base_model", {}).get("location") for answer in shown] == ["tiny", "tiny", None]
    assert [answer for answer in shown if str(tiny.base) in answer.text] == []
    assert store.checkpoints.require(made.json()["id"]).base_model.location == str(tiny.base.resolve())


def test_a_folder_under_an_allowed_root_is_the_same_checkpoint(aliased: TestClient, tiny: TinyCheckpoint) -> None:
    sent = send(aliased, zip_folder(tiny.adapter)).json()
    named = aliased.post("/v1/checkpoints", json={"base_model": "tiny", "adapter": str(tiny.adapter)})
    assert named.json()["id"] == sent["id"]
    assert named.status_code == 200


def test_a_checkpoint_takes_the_name_that_is_sent_with_it_and_keeps_it_where_none_is(
    aliased: TestClient, tiny: TinyCheckpoint
) -> None:
    sent = send(aliased, zip_folder(tiny.adapter), name="Tickets of May").json()
    assert sent["name"] == "Tickets of May"
    body = {"base_model": "tiny", "adapter": str(tiny.adapter)}
    assert aliased.post("/v1/checkpoints", json=body).json() == sent
    renamed = aliased.post("/v1/checkpoints", json=body | {"name": "of June"}).json()
    assert renamed == sent | {"name": "of June"}


def test_label_names_give_another_checkpoint_on_the_same_files(
    aliased: TestClient, tiny: TinyCheckpoint, files: Files
) -> None:
    plain = send(aliased, zip_folder(tiny.adapter)).json()
    named = send(aliased, zip_folder(tiny.adapter), label_names='["x", "y", "z"]').json()
    assert named["id"] != plain["id"]
    assert aliased.delete(f"/v1/checkpoints/{plain['id']}").status_code == 204
    assert files.adapter(named["adapter_digest"]).is_dir()
    assert aliased.delete(f"/v1/checkpoints/{named['id']}").status_code == 204
    assert not files.adapter(named["adapter_digest"]).exists()


def test_adapters_that_would_give_nonsense_are_refused(
    aliased: TestClient, tiny: TinyCheckpoint, other: TinyCheckpoint, store: Any
) -> None:
    archive = zip_folder(tiny.adapter)
    assert_problem(send(aliased, b"no zip"), 422, "unreadable_file")
    assert_problem(send(aliased, zip_folder(tiny.adapter, "adapter_config.json")), 422, "adapter_config_refused")
    assert_problem(send(aliased, zip_folder(tiny.adapter, "adapter_model.safetensors")), 422, "adapter_mismatch")
    assert_problem(send(aliased, archive, task="causal_lm"), 422, "task_mismatch")
    assert_problem(send(aliased, archive, base_model="other"), 422, "adapter_mismatch")
    assert_problem(send(aliased, archive, base_model="../../etc"), 422, "base_model_not_found")
    assert_problem(send(aliased, archive, base_model="/etc"), 403, "path_not_allowed")
    assert_problem(send(aliased, archive, base_model=""), 422, "invalid_request")
    assert_problem(send(aliased, archive, taks="causal_lm"), 422, "invalid_request")
    assert store.checkpoints.all() == []


def test_a_pickle_in_the_zip_is_refused(aliased: TestClient) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("adapter_config.json", "{}")
        archive.writestr("adapter_model.bin", b"\x80\x04")
    assert_problem(send(aliased, buffer.getvalue()), 422, "pickle_refused")


def test_a_path_outside_the_roots_is_refused(aliased: TestClient, other: TinyCheckpoint) -> None:
    answer = aliased.post("/v1/checkpoints", json={"base_model": "tiny", "adapter": str(other.adapter)})
    assert_problem(answer, 403, "path_not_allowed")


def test_an_adapter_over_the_limit_is_refused(make_client: Callable[..., TestClient], tiny: TinyCheckpoint) -> None:
    small = make_client(max_adapter_bytes=100, base_model_aliases={"tiny": str(tiny.base)})
    assert_problem(send(small, zip_folder(tiny.adapter)), 413, "too_large")


def test_a_checkpoint_under_an_index_stays(client: TestClient, index: dict[str, Any]) -> None:
    answer = client.delete(f"/v1/checkpoints/{index['spec']['checkpoint_id']}")
    assert assert_problem(answer, 409, "resource_in_use")["indexes"] == [index["id"]]


def test_hub_adapters_need_the_hub(make_client: Callable[..., TestClient]) -> None:
    offline = make_client(hub_offline=True)
    answer = offline.post("/v1/checkpoints", json={"base_model": "org/base", "adapter": "org/adapter"})
    assert_problem(answer, 422, "invalid_request")


def rewritten(adapter: Path, name: str, old: bytes, new: bytes) -> bytes:
    """An adapter's zip with one file changed; a header of tensors keeps its length."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in adapter.iterdir():
            content = file.read_bytes()
            archive.writestr(file.name, content.replace(old, new) if file.name == name else content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("adapter_model.safetensors", b'"base_model', b'"\\ud800odel'),
        ("adapter_model.safetensors", b'"base_model', b'"\xed\xa0\x80se_model'),
        ("adapter_config.json", b'"task_type"', b'"\\ud800"'),
        ("adapter_config.json", b'"query"', b'"\\ud800"'),
        ("adapter_config.json", b'"LORA"', b'"\\ud800"'),
        ("adapter_config.json", b'"query"', b"[" * 500 + b"]" * 500),
        ("adapter_config.json", b'"query"', b"[" * 50_000 + b"]" * 50_000),
    ],
)
def test_names_in_an_adapter_that_are_no_unicode_are_refused(
    aliased: TestClient, tiny: TinyCheckpoint, name: str, old: bytes, new: bytes
) -> None:
    archive = rewritten(tiny.adapter, name, old, new)
    assert archive != rewritten(tiny.adapter, name, b"", b"")
    answer = send(aliased, archive)
    assert answer.status_code == 422, answer.text
    assert answer.json()["code"] != "internal"


def test_an_index_follows_what_the_trainer_left_beside_the_adapter(
    aliased: TestClient, other: TinyCheckpoint, tmp_path: Path
) -> None:
    shutil.copytree(other.adapter, tmp_path / "dpo")
    (tmp_path / "dpo" / "args.json").write_text('{"rlhf_type": "dpo", "beta": 0.3, "max_length": 64}')
    made = send(aliased, zip_folder(tmp_path / "dpo"), base_model="other").json()
    assert (made["task"], made["training"]["trainer"]) == ("direct_preference", "ms-swift")
    rows = {"file": ("rows.jsonl", '{"prompt": "p", "chosen": "a", "rejected": "b"}')}
    dataset = aliased.post("/v1/datasets", files=rows).json()
    body = {"checkpoint_id": made["id"], "dataset_id": dataset["id"], "max_length": 64}
    index = aliased.post("/v1/indexes", json=body).json()
    (told,) = index["warnings"]
    assert index["spec"]["gradients"]["beta"] == 0.3
    assert told.startswith("ms-swift writes a prompt and its answer as turns of a conversation")


def test_what_files_beside_an_adapter_say_is_shown_as_it_came_last(
    aliased: TestClient, other: TinyCheckpoint, tmp_path: Path
) -> None:
    shutil.copytree(other.adapter, tmp_path / "sft")
    first = send(aliased, zip_folder(tmp_path / "sft"), base_model="other", task="causal_lm").json()
    noted = '{"rlhf_type": null, "loss_scale": null, "label_smoothing_factor": 0.1}'
    (tmp_path / "sft" / "args.json").write_text(noted)
    again = send(aliased, zip_folder(tmp_path / "sft"), base_model="other", task="causal_lm")
    assert (again.status_code, again.json()["id"]) == (200, first["id"])
    assert "label_smoothing_factor 0.1" in again.json()["warnings"][-1]
    assert send(aliased, zip_folder(tmp_path / "sft"), base_model="other").json()["code"] == "task_mismatch"
