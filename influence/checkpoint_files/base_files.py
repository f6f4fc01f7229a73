"""The files of a local base model: which there are, what they weigh in at, and whether they are safe to load."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from influence.checkpoint_files.bases.json_file import read_json
from influence.checkpoint_files.bases.packing import refuse_packed
from influence.checkpoint_files.safetensors_header import TensorInfo, have_same_bytes, read_header
from influence.checkpoint_files.tokenizers.template_files import find_named
from influence.errors import BaseModelNotFound, PathNotAllowed, PickleRefused

_SINGLE, _INDEX, CONFIG_FILE = "model.safetensors", "model.safetensors.index.json", "config.json"
_PICKLES = (".bin", ".pt", ".pth", ".ckpt")
#: Files that decide how text becomes ids, how a chat is rendered and how an image becomes pixels.
_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "preprocessor_config.json",
)


#: What a batch normalisation keeps of the rows that training saw.
_OF_BATCHES = ".running_mean"
_ADAPTER = "adapter_config.json"
#: Endings of tensors that a file leaves out where they are another one.
_MAY_BE_TIED = ("lm_head.weight", "embed_out.weight", "embed_tokens.weight", "shared.weight", "output.weight")
_HEADS = ("lm_head.weight", "embed_out.weight")
_INPUTS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embed_in.weight", "shared.weight")
#: What is to be known of a base model beside whose weights an adapter lies.
LEFT_ADAPTER = (
    "The base model's folder holds an adapter, too: only the model's own weights are loaded, though transformers would "
    "put that adapter on them. Right where it was merged into them."
)


class BaseFiles:
    """One folder. Raises BaseModelNotFound, PickleRefused, PathNotAllowed and UnsupportedModule on construction.

    With `roots`, every file has to lie below one of them once links are followed.
    """

    def __init__(self, folder: Path, roots: Sequence[Path] = ()) -> None:
        self.folder = folder
        if not (folder / CONFIG_FILE).is_file():
            raise BaseModelNotFound(f"{folder} has no config.json.")
        self.config = read_json(folder / CONFIG_FILE)
        if not isinstance(self.config.get("model_type", ""), str | None):
            raise BaseModelNotFound(f"The 'model_type' of {folder / CONFIG_FILE} is no name of a kind of models.")
        refuse_packed(self.config)
        #: Names of tensors by the index, where there is one.
        self._listed: list[str] = []
        self.weights = self._find_weights()
        templates = (str(file.relative_to(folder)) for file in find_named(folder).values())
        tokenizer = (name for name in _TOKENIZER_FILES if (folder / name).is_file())
        self.names = (CONFIG_FILE, *self.weights, *tokenizer, *templates)
        for name in self.names:
            resolved = (folder / name).resolve()
            if roots and not any(resolved.is_relative_to(root) for root in roots):
                raise PathNotAllowed(f"{folder / name} leads out of the allowed roots.")

    def tensors(self) -> dict[str, TensorInfo]:
        """All tensors by name; places are those within their own file."""
        found: dict[str, TensorInfo] = {}
        for file in self.weights:
            held = read_header(self.folder / file)
            if both := sorted(held.keys() & found.keys()):
                raise BaseModelNotFound(
                    f"{both[0][:120]} lies in {file[:120]} and in a file before it: which of the two is meant is not "
                    "known.",
                    hint="Save the base model again with save_pretrained.",
                )
            found |= held
        self._refuse_incomplete(found)
        refuse_packed(self.config, found)
        return found

    def _refuse_incomplete(self, found: Mapping[str, TensorInfo]) -> None:
        """Raise BaseModelNotFound where the index lists tensors that no file holds. A tied head need not be there."""
        missing = [name for name in self._listed if name not in found and not name.endswith(_MAY_BE_TIED)]
        if missing:
            raise BaseModelNotFound(
                f"{_INDEX} lists {len(missing)} tensors that its files do not hold, {missing[0][:120]!r} for one.",
                hint="Download the base model again, or save it with save_pretrained.",
                extra={"missing": [name[:200] for name in missing[:100]]},
            )

    def find_doubts(self, adapter: Path | None = None) -> Iterator[str]:
        """What is to be known of the folder, in sentences. `adapter` is the folder of the adapter that is sent with it:
        where that is the one that lies here, there is nothing to say."""
        own = self.folder / _ADAPTER
        sent = None if adapter is None else adapter / _ADAPTER
        if own.is_file() and (sent is None or sent.read_bytes() != own.read_bytes()):
            yield LEFT_ADAPTER
        if isinstance(code := self.config.get("auto_map"), dict) and code:
            yield (
                "config.json of the base model names code of its own (auto_map), which is never run: the model is "
                f"transformers' own {str(self.config.get('model_type'))[:60]!r}. Scores are right only if that "
                "computes the same, or if training did without trust_remote_code, too."
            )
        if any(name.endswith(_OF_BATCHES) for name in self.tensors()):
            yield (
                "The base model normalises by batches (BatchNorm): unless training left that in evaluation mode, the "
                "loss of each row depended on those beside it, and moved statistics that no adapter holds. Scores are "
                "by the statistics in the base model's files."
            )
        if self.config.get("tie_word_embeddings") is True and (head := self._find_own_head()):
            yield (
                f"config.json ties the output embedding to the input's, and the files hold one of its own, "
                f"{head[:120]!r}, that differs: it is used, as transformers 5 does. Earlier versions took one tensor "
                "for both: if one of them trained the adapter, leave it out of the files. Else set tie_word_embeddings "
                "to false, and nothing is said."
            )

    def _find_own_head(self) -> str | None:
        """An output embedding that the files hold beside another input embedding of its shape."""
        places = {name: (file, info) for file in self.weights for name, info in read_header(self.folder / file).items()}
        heads = [name for name in places if name.endswith(_HEADS)]
        inputs = [name for name in places if name.endswith(_INPUTS)]
        if len(heads) != 1 or len(inputs) != 1:
            return None
        (one, head), (other, embedding) = (places[name] for name in (*heads, *inputs))
        is_same = have_same_bytes(self.folder / one, head, embedding, self.folder / other)
        return None if is_same or head.shape != embedding.shape else heads[0]

    def _find_weights(self) -> tuple[str, ...]:
        if (self.folder / _SINGLE).is_file():
            return (_SINGLE,)
        if (self.folder / _INDEX).is_file():
            return (_INDEX, *self._indexed_files())[1:]
        raise _without_weights(str(self.folder), (file.name for file in self.folder.iterdir()))

    def _indexed_files(self) -> list[str]:
        listed = read_json(self.folder / _INDEX).get("weight_map")
        self._listed = [*map(str, listed)] if isinstance(listed, dict) else []
        files = sorted({str(name) for name in listed.values()}) if isinstance(listed, dict) else []
        for name in files:
            is_plain = name.endswith(".safetensors") and "/" not in name and "\\" not in name and "\0" not in name
            if not is_plain or not (self.folder / name).is_file():
                raise BaseModelNotFound(f"{_INDEX} names {name[:120]!r}, which is no file beside it.")
        if not files:
            raise BaseModelNotFound(f"{_INDEX} names no file.")
        return files


def check_names(called: str, names: Collection[str]) -> None:
    """Raise BaseModelNotFound or PickleRefused where files of these names are no model that can be loaded."""
    if CONFIG_FILE not in names:
        raise BaseModelNotFound(f"{called} has no {CONFIG_FILE}.")
    if _SINGLE not in names and _INDEX not in names:
        raise _without_weights(called, names)


def _without_weights(called: str, names: Iterable[str]) -> BaseModelNotFound | PickleRefused:
    if any(name.endswith(_PICKLES) for name in names):
        return PickleRefused(
            f"{called} has its weights as pickles only.",
            hint="Save the base model again: model.save_pretrained(folder, safe_serialization=True).",
        )
    return BaseModelNotFound(f"{called} has no {_SINGLE}.")
