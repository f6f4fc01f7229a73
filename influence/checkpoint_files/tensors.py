"""The tensors of an adapter: which module each belongs to, and whether they agree with the configuration."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from influence.checkpoint_files.adapters.names import EMBEDDINGS, PREFIX
from influence.checkpoint_files.config import AdapterConfig
from influence.checkpoint_files.safetensors_header import TensorInfo
from influence.checkpoint_files.selection import ModuleSelector
from influence.errors import AdapterMismatch

#: PEFT lists both for every classifier; a model has one of them.
HEADS = ("classifier", "score")
#: What models of images call theirs, one layer at the very top: further below these are other layers.
TOP_HEADS = ("fc", "head", "dist_head")
_OTHER_HEADS = ("classification_head", "logits_proj")
#: Endings of a LoRA tensor's name -> the part it is.
_PARTS = {
    ".lora_A.weight": "A",
    ".lora_B.weight": "B",
    ".lora_B.bias": "bias",
    ".lora_embedding_A": "embedding_A",
    ".lora_embedding_B": "embedding_B",
    ".lora_magnitude_vector": "magnitude",
}
_TOKENS, _BASE = ".token_adapter.trainable_tokens_delta", ".base_layer.weight"
Shape = tuple[int, ...]


@dataclass(frozen=True)
class AdapterTensors:
    """Shapes by base model name: `modules` has the parts of each adapted module, `saved` whole tensors (a head).

    `tokens` are rows of an embedding that were trained; `replaced` are embeddings of the base, which PEFT saves where
    they are adapted or were resized: they take the place of the base's and were not trained.
    """

    modules: dict[str, dict[str, Shape]] = field(default_factory=dict)
    saved: dict[str, Shape] = field(default_factory=dict)
    tokens: dict[str, Shape] = field(default_factory=dict)
    replaced: dict[str, Shape] = field(default_factory=dict)

    @property
    def factors(self) -> list[Shape]:
        """Shapes of what LoRA itself trains."""
        return [shape for module in self.modules.values() for shape in module.values()]

    @property
    def trained(self) -> list[Shape]:
        """Shapes of all that was trained."""
        return [*self.factors, *self.saved.values(), *self.tokens.values()]


def is_of_head(name: str) -> bool:
    """Whether a tensor, by its name in the base model, is one of a classifier's head."""
    return any(f".{head}." in f".{name}" for head in HEADS) or name.rpartition(".")[0] in TOP_HEADS


def check_structure(config: AdapterConfig, header: Mapping[str, TensorInfo]) -> AdapterTensors:
    """Sort the tensors, named as PEFT names them, and check them against the configuration alone.

    Raises AdapterMismatch with `missing`, `extra` and `misshapen` tensors in `extra`.
    """
    selector = ModuleSelector(config)
    tensors = _sort(header, selector)
    missing = [*_missing_parts(config, tensors), *_missing_saved(config, tensors)]
    extra = [PREFIX + name for name in tensors.modules if not selector.adapts(name)]
    extra += [name for name in header if not name.startswith(PREFIX)]
    extra += [PREFIX + name for name in tensors.saved if not _is_wanted(config, selector, name)]
    extra += [PREFIX + name + _TOKENS for name in tensors.tokens if config.trainable_token_indices is None]
    extra += [PREFIX + name for name, parts in tensors.modules.items() if _has_unsaid(parts, config)]
    misshapen = [PREFIX + name for name, parts in tensors.modules.items() if not _has_rank(parts, name, selector)]
    refuse_tensors(missing=missing, extra=extra, misshapen=misshapen, hint=_hint(config, tensors, misshapen))
    if not tensors.modules:
        raise AdapterMismatch("The adapter holds no LoRA tensor.")
    return tensors


def _has_unsaid(parts: Mapping[str, Shape], config: AdapterConfig) -> bool:
    """Whether a module has parts of a kind that the configuration denies; PEFT would leave them out without a word."""
    return ("bias" in parts and not config.lora_bias) or ("magnitude" in parts and not config.use_dora)


def _hint(config: AdapterConfig, tensors: AdapterTensors, misshapen: Iterable[str]) -> str:
    """Which fields the tensors contradict: at this point no base model was looked at."""
    modules = tensors.modules.values()
    if any(_is_grouped(parts) for parts in modules):
        return (
            "LoRA of a convolution in groups has factors of another shape, and is not scored: train on other layers, "
            "target_modules without it."
        )
    contradicted = {
        "use_dora": any(config.use_dora != ("magnitude" in parts) for parts in modules),
        "lora_bias": any(
            config.lora_bias != ("bias" in parts) for parts in modules if not parts.keys() & {"embedding_A"}
        ),
        "r": any(True for _ in misshapen),
        "modules_to_save": bool(_missing_saved(config, tensors)),
    }
    named = " and ".join(f"'{name}'" for name, is_so in contradicted.items() if is_so)
    told = f"{named} in adapter_config.json says otherwise than the tensors. " if named else ""
    left_out = " A module that was not trained can be left out of 'modules_to_save'." * contradicted["modules_to_save"]
    return f"{told}Send adapter_config.json and adapter_model.safetensors as one save_pretrained wrote them.{left_out}"


def _is_grouped(parts: Mapping[str, Shape]) -> bool:
    """Whether B of a convolution reads a part of what A gives, as where the layer has groups."""
    first, second = parts.get("A", ()), parts.get("B", ())
    return len(first) == len(second) > 2 and 0 < second[1] < first[0] and first[0] % second[1] == 0


def refuse_tensors(
    *, missing: Iterable[str] = (), extra: Iterable[str] = (), misshapen: Iterable[str] = (), hint: str | None = None
) -> None:
    """Raise AdapterMismatch where a list is not empty."""
    lists = {"missing": sorted(missing), "extra": sorted(extra), "misshapen": sorted(misshapen)}
    words = {"missing": "missing", "extra": "not asked for", "misshapen": "of the wrong shape"}
    faults = [f"{len(names)} {words[kind]} (first: {names[0][:200]})" for kind, names in lists.items() if names]
    if faults:
        raise AdapterMismatch(
            f"The adapter's tensors do not fit: {'; '.join(faults)}.",
            hint=hint,
            extra={kind: names[:100] for kind, names in lists.items()},
        )


def _sort(header: Mapping[str, TensorInfo], selector: ModuleSelector) -> AdapterTensors:
    tensors = AdapterTensors()
    for name, tensor in header.items():
        base_name = name.removeprefix(PREFIX)
        ending = next((ending for ending in _PARTS if base_name.endswith(ending)), None)
        if ending is not None:
            tensors.modules.setdefault(base_name.removesuffix(ending), {})[_PARTS[ending]] = tensor.shape
        elif base_name.endswith(_TOKENS):
            tensors.tokens[base_name.removesuffix(_TOKENS)] = tensor.shape
        elif (embedding := replaced_embedding(base_name)) and not selector.keeps(base_name):
            tensors.replaced[embedding] = tensor.shape
        else:
            tensors.saved[base_name] = tensor.shape
    return tensors


def replaced_embedding(name: str) -> str | None:
    """The embedding whose whole weight a tensor's name stands for, if it does; `saved` ones have such names, too."""
    module = name.removesuffix(_BASE) if name.endswith(_BASE) else name.removesuffix(".weight")
    return module if module != name and module.rpartition(".")[2] in EMBEDDINGS else None


def _missing_parts(config: AdapterConfig, tensors: AdapterTensors) -> list[str]:
    missing = []
    for name, parts in tensors.modules.items():
        kind = "embedding_" if any(part.startswith("embedding") for part in parts) else ""
        wanted = [f"{kind}A", f"{kind}B"] + ["magnitude"] * config.use_dora + ["bias"] * (config.lora_bias and not kind)
        endings = {part: ending for ending, part in reversed(_PARTS.items())}
        missing += [PREFIX + name + endings[part] for part in wanted if part not in parts]
    return missing


def _missing_saved(config: AdapterConfig, tensors: AdapterTensors) -> list[str]:
    """Saved modules of which no tensor is there. Of the two heads that PEFT lists by itself one is enough, and none is
    needed of a model whose head has another name."""
    present = {saved for saved in config.modules_to_save or () for name in tensors.saved if f".{saved}." in f".{name}."}
    wanted = {*(config.modules_to_save or ())}
    heads = sorted(wanted.intersection(HEADS))
    has_head = bool(present.intersection((*HEADS, *_OTHER_HEADS)))
    wanted -= {*(heads if has_head else heads[1:])}
    return [f"{PREFIX}{name}.weight" for name in wanted - present]


def _is_wanted(config: AdapterConfig, selector: ModuleSelector, name: str) -> bool:
    return selector.keeps(name) or (config.bias != "none" and name.endswith(".bias"))


def _has_rank(parts: Mapping[str, Shape], name: str, selector: ModuleSelector) -> bool:
    """A is (r, in, ...), B is (out, r, ...), for embeddings the same with the vocabulary as `in`.

    Of parameters both are as long as all their experts' factors together.
    """
    factors = {part: shape for part, shape in parts.items() if part not in ("magnitude", "bias")}
    if any(len(shape) < 2 or min(shape) < 1 for shape in factors.values()):
        return False
    ranks = {shape[0 if part.endswith("A") else 1] for part, shape in factors.items()}
    return ranks == {selector.rank(name)} if selector.selects(name) else len(ranks) == 1
