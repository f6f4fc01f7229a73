"""Which modules of a model an adapter configuration selects, by PEFT's rules, and at which rank and alpha."""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Generic, TypeVar

from influence.checkpoint_files.adapters.former_names import LayerNames
from influence.checkpoint_files.adapters.names import EMBEDDINGS
from influence.checkpoint_files.config import AdapterConfig, is_module_name
from influence.checkpoint_files.patterns import SafePattern

#: PEFT's word for every linear layer but the output layer.
ALL_LINEAR = "all-linear"
_NESTED = re.compile(r"(\.base_layer)+$")
Figure = TypeVar("Figure", int, float)


class ModuleSelector:
    """Answers for one configuration. Module names are the base model's own, such as `bert.encoder.layer.0...query`."""

    def __init__(self, config: AdapterConfig, names: LayerNames | None = None) -> None:
        """`names` are those of the model by now and formerly: a configuration may speak of either."""
        self._config = config
        self._names = names or LayerNames(None)
        self._targets = _matcher(config.target_modules, "target_modules")
        self._excludes = _matcher(config.exclude_modules or (), "exclude_modules")
        self._ranks = _Figures(config.rank_pattern, "rank_pattern")
        self._alphas = _Figures(config.alpha_pattern, "alpha_pattern")

    @property
    def takes_all_linear(self) -> bool:
        return self._config.target_modules == ALL_LINEAR

    def selects(self, name: str) -> bool:
        """Whether PEFT adapts this module; with `all-linear` the caller passes linear modules only."""
        former = self._names.former(name)
        if former == name:
            return self._selects(name)
        return (all if self.takes_all_linear else any)(self._selects(spelling) for spelling in (name, former))

    def _selects(self, name: str) -> bool:
        if self._excludes(name) or self.saves(name):
            return False
        if self.takes_all_linear:
            return True
        if not self._targets(name):
            return False
        targets = self._config.target_modules
        # PEFT does not ask for the layer of a module that is called by its whole name.
        return isinstance(targets, str) or name in targets or self._is_in_layers(name)

    def adapts(self, name: str) -> bool:
        """Whether a module of the adapted model has factors: it is selected, or a parameter of its own is.

        Where several parameters of a module are, PEFT nests them: `experts`, `experts.base_layer` and so on. With
        `ensure_weight_tying` an embedding that is tied to a selected one has them, too.
        """
        module = _NESTED.sub("", name)
        owners = [parameter.rpartition(".")[0] for parameter in self._config.target_parameters or ()]
        is_tied = self._config.ensure_weight_tying and module.rpartition(".")[2] in EMBEDDINGS
        return self.selects(module) or is_tied or any(not owner or _ends(module, owner) for owner in owners)

    def targets(self, parameter: str) -> bool:
        """Whether a parameter is adapted by itself; `parameter` is its name in the base model."""
        return any(_ends(parameter, target) for target in self._config.target_parameters or ())

    def saves(self, name: str) -> bool:
        """Whether the module is, or lies in, one of `modules_to_save`."""
        dotted = f".{name}."
        return any(f".{saved}." in dotted for saved in self._config.modules_to_save or ())

    def keeps(self, tensor: str) -> bool:
        """Whether a tensor lies in a saved module. PEFT compares ends here: `classifier` keeps `pre_classifier`."""
        saved = self._config.modules_to_save or ()
        parts = tensor.split(".")
        return bool(saved) and any(".".join(parts[:stop]).endswith(saved) for stop in range(1, len(parts)))

    def rank(self, name: str) -> int:
        """r of a module."""
        return self._figure(self._ranks, name, self._config.r)

    def alpha(self, name: str) -> float:
        """lora_alpha of a module."""
        return self._figure(self._alphas, name, self._config.lora_alpha)

    def _figure(self, figures: "_Figures[Figure]", name: str, default: Figure) -> Figure:
        found = figures(name, default)
        return figures(self._names.former(name), default) if found == default else found

    def find_torn(self, names: Iterable[str]) -> str | None:
        """A module that keys with different alphas fit: which one counts hangs on their order, which saving changes."""
        return next((name for name in names if len(set(self._alphas.fitting(name))) > 1), None)

    def scaling(self, name: str) -> float:
        """What the module's update B A is multiplied by."""
        rank = self.rank(name)
        return self.alpha(name) / (math.sqrt(rank) if self._config.use_rslora else rank)

    def _is_in_layers(self, name: str) -> bool:
        if not self._config.layers_to_transform:
            return True
        return _layer_of(name.split("."), self._config.layers_pattern) in self._config.layers_to_transform


class _Names:
    """Matches a name, or the last parts of a longer one."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def __call__(self, name: str) -> bool:
        return any(ending in self._names for ending in _endings(name))


class _Expression:
    """Matches what a regular expression matches as a whole."""

    def __init__(self, expression: str, field: str) -> None:
        self._pattern = SafePattern(expression, field)

    def __call__(self, name: str) -> bool:
        return self._pattern.matches(name)


class _Figures(Generic[Figure]):
    """Ranks or alphas by name: the first key in the configuration's order whose name or expression fits."""

    def __init__(self, figures: Mapping[str, Figure], field: str) -> None:
        self._order = {key: place for place, key in enumerate(figures)}
        self._figures: Mapping[str, Figure] = figures
        self._expressions = [
            (key, SafePattern(rf"(.*\.)?({key})", field)) for key in figures if not is_module_name(key)
        ]

    def fitting(self, name: str) -> list[Figure]:
        """What every key that fits a name says."""
        return [self._figures[key] for key in self._keys(name)]

    def __call__(self, name: str, default: Figure) -> Figure:
        keys = self._keys(name)
        return self._figures[min(keys, key=self._order.__getitem__)] if keys else default

    def _keys(self, name: str) -> list[str]:
        keys = [ending for ending in _endings(name) if ending in self._order]
        return keys + [key for key, pattern in self._expressions if pattern.matches(name)]


def _ends(name: str, ending: str) -> bool:
    return f".{name}".endswith(f".{ending}")


def _endings(name: str) -> Iterator[str]:
    """`a.b.c`, `b.c`, `c`."""
    parts = name.split(".")
    return (".".join(parts[start:]) for start in range(len(parts)))


def _matcher(selector: tuple[str, ...] | str, field: str) -> _Names | _Expression:
    return _Expression(selector, field) if isinstance(selector, str) else _Names(selector)


def _layer_of(parts: list[str], patterns: tuple[str, ...] | None) -> int | None:
    """The number of the layer a module lies in: the first that stands after a layer list's name."""
    for pattern in patterns or ("",):
        words = pattern.split(".") if pattern else []
        for place in range(max(len(words), 0 if words else 2), len(parts) - 1):
            if parts[place].isdecimal() and (not words or parts[place - len(words) : place] == words):
                return int(parts[place])
    return None
