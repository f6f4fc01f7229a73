"""Headers, finiteness, structure and fit, on files made byte by byte."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from influence.checkpoint_files.base_fit import check_base_fit
from influence.checkpoint_files.config import AdapterConfig
from influence.checkpoint_files.finiteness import check_finite
from influence.checkpoint_files.safetensors_header import MAX_TENSORS, TensorInfo, read_header
from influence.checkpoint_files.task.find import HeadFacts, find_task
from influence.checkpoint_files.task.head import count_labels, find_label_names
from influence.checkpoint_files.tensors import AdapterTensors, check_structure
from influence.errors import AdapterMismatch, AdapterNotFinite, TaskMismatch, UnreadableFile

PREFIX = "base_model.model."
QUERY = "bert.encoder.layer.{}.attention.self.query"
Header = dict[str, TensorInfo]


def raw_file(path: Path, header: object, data: bytes = b"") -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def entry(dtype: str, shape: list[Any], start: int, stop: int) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def shapes(**named: tuple[int, ...]) -> Header:
    return {name: TensorInfo("F32", shape, 0, 0) for name, shape in named.items()}


def lora(module: str, rank: int = 4, inner: int = 8, outer: int = 8) -> Header:
    return shapes(
        **{f"{PREFIX}{module}.lora_A.weight": (rank, inner), f"{PREFIX}{module}.lora_B.weight": (outer, rank)}
    )


def config(**fields: Any) -> AdapterConfig:
    plain = {"peft_type": "LORA", "task_type": "SEQ_CLS", "r": 4, "target_modules": ("query",)}
    return AdapterConfig.model_validate({**plain, "modules_to_save": ("classifier", "score"), **fields})


def adapter(layers: int = 2) -> Header:
    header = shapes(**{f"{PREFIX}classifier.weight": (3, 8), f"{PREFIX}classifier.bias": (3,)})
    for layer in range(layers):
        header |= lora(QUERY.format(layer))
    return header


def base(layers: int = 2, prefix: str = "", width: int = 8) -> Header:
    return {
        f"{prefix}{QUERY.format(layer).removeprefix('bert.')}.weight": TensorInfo("F32", (width, width), 0, 0)
        for layer in range(layers)
    }


def test_header_gives_names_types_shapes_and_places(tmp_path: Path) -> None:
    file = raw_file(
        tmp_path / "f",
        {"__metadata__": {"format": "pt"}, "b": entry("F16", [2, 1], 4, 8), "a": entry("F32", [], 0, 4)},
        bytes(8),
    )
    found = read_header(file)
    assert list(found) == ["a", "b"]
    assert (found["b"].dtype, found["b"].shape, found["b"].elements) == ("F16", (2, 1), 2)
    assert found["b"].stop == file.stat().st_size


@pytest.mark.parametrize(
    ("header", "data"),
    [
        (b"", b""),
        (b"{", b""),
        (b"[]", b""),
        (b'{"a": 1}', b""),
        (b"[" * 50_000, b""),
        (b'{"a": %s, "a": %s}' % ((b'{"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}',) * 2), bytes(4)),
        ({"a": entry("F32", [1], 0, 8)}, bytes(8)),
        ({"a": entry("F32", [2], 0, 8)}, bytes(4)),
        ({"a": entry("F32", [1], 0, 4)}, bytes(8)),
        ({"a": entry("F32", [1], 4, 8)}, bytes(8)),
        ({"a": entry("F32", [-1], 0, 4)}, bytes(4)),
        ({"a": entry("F32", [True], 0, 4)}, bytes(4)),
        ({"a": entry("F32", [1.0], 0, 4)}, bytes(4)),
        ({"a": entry("F32", [1 << 62, 4], 0, 4)}, bytes(4)),
        ({"a": entry("F32", [1] * 9, 0, 4)}, bytes(4)),
        ({"a": entry("PICKLE", [1], 0, 4)}, bytes(4)),
        ({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 0, 4)}, bytes(4)),
        ({"a": entry("F32", [1], 0, 4), "b": entry("F32", [1], 2, 6)}, bytes(6)),
    ],
)
def test_unsound_file_is_unreadable(header: object, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile):
        read_header(raw_file(tmp_path / "f", header, data))


def test_tensors_without_end_are_refused_before_they_are_looked_at(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="100,001 tensors"):
        read_header(raw_file(tmp_path / "f", {str(number): 0 for number in range(MAX_TENSORS + 1)}))


@pytest.mark.parametrize("content", [b"", b"1234", struct.pack("<Q", 1 << 60), struct.pack("<Q", 40 << 20) + b"{}"])
def test_header_that_claims_more_than_the_file_holds_is_unreadable(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(UnreadableFile):
        read_header(tmp_path / "f")


def with_float(path: Path, dtype: str, bits: int, width: int) -> tuple[Path, Header]:
    """Three tensors; the middle one is large and has `bits` as its last element."""
    middle = bytearray((5 << 20) // width * width)
    middle[-width:] = bits.to_bytes(width, "little")
    size, count = len(middle), len(middle) // width
    header = {
        "a": entry("F32", [2], 0, 8),
        "b": entry(dtype, [count], 8, 8 + size),
        "c": entry("F32", [0, 4], 8 + size, 8 + size),
    }
    file = raw_file(path, header, np.array([1e38, -1e-38], "<f4").tobytes() + bytes(middle))
    return file, read_header(file)


NOT_FINITE = [
    ("F32", 0x7F800000, 4),
    ("F32", 0xFF800000, 4),
    ("F32", 0x7FC00001, 4),
    ("F16", 0x7C00, 2),
    ("F16", 0xFE00, 2),
    ("BF16", 0x7F80, 2),
    ("BF16", 0xFFC1, 2),
    ("F64", 0x7FF0 << 48, 8),
    ("F64", 0xFFF8 << 48, 8),
]
FINITE = [("F32", 0x7F7FFFFF, 4), ("F16", 0xFBFF, 2), ("BF16", 0x7F7F, 2), ("F64", 0x7FEF << 48, 8), ("F32", 1, 4)]


@pytest.mark.parametrize(("dtype", "bits", "width"), NOT_FINITE)
def test_one_nan_or_infinity_is_found_and_its_tensor_named(dtype: str, bits: int, width: int, tmp_path: Path) -> None:
    with pytest.raises(AdapterNotFinite) as caught:
        check_finite(*with_float(tmp_path / "f", dtype, bits, width))
    assert caught.value.extra["tensors"] == ["b"]


@pytest.mark.parametrize(("dtype", "bits", "width"), FINITE)
def test_largest_and_smallest_numbers_are_finite(dtype: str, bits: int, width: int, tmp_path: Path) -> None:
    check_finite(*with_float(tmp_path / "f", dtype, bits, width))


def test_weights_that_are_no_floats_are_refused(tmp_path: Path) -> None:
    with pytest.raises(AdapterMismatch, match="of a type"):
        check_finite(*with_float(tmp_path / "f", "I32", 0, 4))


def test_whole_adapter_is_sorted_into_modules_and_saved_tensors() -> None:
    tensors = check_structure(config(), adapter())
    assert list(tensors.modules) == [QUERY.format(0), QUERY.format(1)]
    assert tensors.saved == {"classifier.weight": (3, 8), "classifier.bias": (3,)}


def without(name: str) -> Callable[[Header], Header]:
    return lambda header: {key: info for key, info in header.items() if key != PREFIX + name}


FAULTS: dict[str, tuple[Callable[[Header], Header], str, str]] = {
    "no B": (without(QUERY.format(1) + ".lora_B.weight"), "missing", QUERY.format(1) + ".lora_B.weight"),
    "no A": (without(QUERY.format(1) + ".lora_A.weight"), "missing", QUERY.format(1) + ".lora_A.weight"),
    "no head": (
        lambda header: {name: info for name, info in header.items() if "classifier" not in name},
        "missing",
        "classifier.weight",
    ),
    "other module": (lambda header: header | lora("bert.pooler.dense"), "extra", "bert.pooler.dense"),
    "other tensor": (lambda header: header | shapes(**{f"{PREFIX}bert.scale": (3,)}), "extra", "bert.scale"),
    "other rank": (lambda header: header | lora(QUERY.format(1), rank=8), "misshapen", QUERY.format(1)),
    "flat": (
        lambda header: header | shapes(**{f"{PREFIX}{QUERY.format(1)}.lora_A.weight": (4,)}),
        "misshapen",
        QUERY.format(1),
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_structural_fault_is_named(case: str) -> None:
    change, kind, name = FAULTS[case]
    with pytest.raises(AdapterMismatch) as caught:
        check_structure(config(), change(adapter()))
    assert caught.value.extra[kind] == [PREFIX + name]


def test_tensor_without_pefts_prefix_and_empty_adapter_are_refused() -> None:
    with pytest.raises(AdapterMismatch):
        check_structure(config(), shapes(**{"model.layer.lora_A.weight": (4, 8)}))
    with pytest.raises(AdapterMismatch, match="no LoRA tensor"):
        check_structure(config(modules_to_save=None), {})


def test_ranks_by_pattern_dora_and_biases_have_their_tensors() -> None:
    header = adapter(1) | lora(QUERY.format(1), rank=2)
    check_structure(config(rank_pattern={"layer.1.attention.self.query": 2}), header)
    with pytest.raises(AdapterMismatch, match="magnitude"):
        check_structure(config(use_dora=True), adapter())
    biased = adapter() | shapes(**{f"{PREFIX}bert.dense.bias": (8,)})
    check_structure(config(bias="all"), biased)
    with pytest.raises(AdapterMismatch):
        check_structure(config(), biased)


@pytest.mark.parametrize(
    ("fields", "tensor"),
    [
        ({"use_dora": False}, {f"{PREFIX}{QUERY.format(0)}.lora_magnitude_vector": (8,)}),
        ({"lora_bias": False}, {f"{PREFIX}{QUERY.format(0)}.lora_B.bias": (8,)}),
        ({"r": 3}, {}),
        ({"modules_to_save": ("classifier", "pooler")}, {}),
    ],
)
def test_tensors_that_the_configuration_contradicts_are_refused_with_the_field(
    fields: dict[str, Any], tensor: dict[str, tuple[int, ...]]
) -> None:
    with pytest.raises(AdapterMismatch) as caught:
        check_structure(config(**fields), adapter() | shapes(**tensor))
    assert f"'{next(iter(fields))}'" in caught.value.hint


def fit(header: Header, base_header: Header, **base_config: Any) -> None:
    check_base_fit(config(), check_structure(config(), header), base_header, base_config)


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_adapter_fits_its_base_with_or_without_the_models_prefix(prefix: str) -> None:
    fit(adapter(), base(prefix=prefix))


def test_adapter_of_another_base_is_refused() -> None:
    with pytest.raises(AdapterMismatch) as extra:
        fit(adapter(3), base(2))
    assert extra.value.extra["extra"] == [PREFIX + QUERY.format(2)]
    with pytest.raises(AdapterMismatch) as missing:
        fit(adapter(2), base(3))
    assert missing.value.extra["missing"] == [f"{PREFIX}{QUERY.format(2)}.lora_A.weight"]
    with pytest.raises(AdapterMismatch) as misshapen:
        fit(adapter(), base(width=16))
    assert "trained on" in misshapen.value.hint
    with pytest.raises(AdapterMismatch):
        fit(adapter(), shapes(**{"h.0.attn.c_attn.weight": (8, 24)}))


def test_layers_behind_the_last_and_unmatched_names_are_left_to_the_worker() -> None:
    fit(adapter(2), base(3), num_hidden_layers=2)
    fit(adapter(2), shapes(**{"other.tower.query.weight": (8, 8)}))


def test_transposed_weights_of_gpt2_fit() -> None:
    asked = config(target_modules=("c_attn",), modules_to_save=None)
    tensors = check_structure(asked, lora("transformer.h.0.attn.c_attn", outer=24))
    check_base_fit(asked, tensors, shapes(**{"h.0.attn.c_attn.weight": (8, 24)}), {"model_type": "gpt2"})
    with pytest.raises(AdapterMismatch):
        check_base_fit(asked, tensors, shapes(**{"h.0.attn.c_attn.weight": (8, 24)}), {"model_type": "bert"})


def test_task_follows_the_adapter_and_contradictions_are_refused() -> None:
    assert find_task(config(), None, HeadFacts()) == "sequence_classification"
    assert find_task(config(task_type=None), "causal_lm", HeadFacts()) == "causal_lm"
    for fields, asked in [({}, "causal_lm"), ({"task_type": "QUESTION_ANS"}, None), ({"task_type": None}, None)]:
        with pytest.raises(TaskMismatch):
            find_task(config(**fields), asked, HeadFacts())  # type: ignore[arg-type]


def test_labels_are_counted_on_the_head() -> None:
    plain = AdapterTensors(saved={"classifier.weight": (3, 8), "classifier.bias": (3,)})
    deep = AdapterTensors(saved={"classifier.dense.weight": (8, 8), "classifier.out_proj.weight": (4, 8)})
    assert count_labels("sequence_classification", plain, {}) == 3
    assert count_labels("sequence_classification", deep, {}) == 4
    assert count_labels("sequence_classification", AdapterTensors(), {"score.weight": (5, 8)}) == 5
    assert count_labels("causal_lm", AdapterTensors(), {}) is None
    with pytest.raises(TaskMismatch):
        count_labels("causal_lm", plain, {})
    with pytest.raises(TaskMismatch):
        count_labels("sequence_classification", AdapterTensors(saved={"score.weight": (1, 8)}), {})


def test_label_names_come_from_the_caller_or_from_a_configuration_that_says_something() -> None:
    assert find_label_names(2, ["no", "yes"], {}) == ("no", "yes")
    assert find_label_names(2, None, {"id2label": {"0": "no", "1": "yes"}}) == ("no", "yes")
    assert find_label_names(2, None, {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}) is None
    assert find_label_names(2, None, {"id2label": {"0": "no", "1": "no"}}) is None
    assert find_label_names(2, None, {"id2label": ["no", "yes"]}) is None
    named: dict[str, Any] = {"id2label": {"0": "no", "1": "yes"}}
    for numbers in ({"no": 0, "yes": 1}, {"LABEL_0": 0, "LABEL_1": 1}, None, ["no"]):
        assert find_label_names(2, None, {**named, "label2id": numbers}) == ("no", "yes")
    with pytest.raises(TaskMismatch, match="class 0 'no' in id2label"):
        find_label_names(2, None, {**named, "label2id": {"no": 1, "yes": 0}})
    assert find_label_names(2, ["no", "yes"], {**named, "label2id": {"no": 1, "yes": 0}}) == ("no", "yes")
    with pytest.raises(TaskMismatch):
        find_label_names(3, ["no", "yes"], {})
    with pytest.raises(TaskMismatch, match="names 2 classes"):
        find_label_names(3, None, named)
    unsaid = {"LABEL_0": 0, "LABEL_1": 1}
    assert find_label_names(3, None, {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}, "label2id": unsaid}) is None


def test_names_that_only_label2id_has_are_taken_where_they_number_every_output_once() -> None:
    numbers = {"yes": 1, "no": 0}
    for plain in ({}, {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}}):
        assert find_label_names(2, None, {**plain, "label2id": numbers}) == ("no", "yes")
        for odd in ({"yes": 1, "no": 1}, {"yes": 1, "no": 2}, {"yes": 1}, {"yes": True, "no": 0}, ["no", "yes"]):
            assert find_label_names(2, None, {**plain, "label2id": odd}) is None
