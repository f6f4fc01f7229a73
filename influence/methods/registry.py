"""All methods and baselines by name."""

import difflib
from typing import Any, Literal

from influence.contracts.index import IndexSpec, Metric, Storage
from influence.contracts.method import MethodDescription
from influence.errors import MethodNotOffered, UnknownMethod
from influence.methods.base import Method
from influence.methods.baselines import BASELINES, Baseline
from influence.methods.cosine import Cosine
from influence.methods.datainf import DataInf
from influence.methods.ekfac import Ekfac
from influence.methods.hessian_free import HessianFree
from influence.methods.relative import Relative
from influence.methods.solves.exact import Exact
from influence.methods.solves.joint import Joint
from influence.methods.solves.lissa import Lissa
from influence.methods.solves.lissa_paper import LissaPaper
from influence.methods.solves.preconditioned import Preconditioned
from influence.methods.solves.proximal import Proximal
from influence.methods.tracin import TracIn

#: The method of a query that names none.
DEFAULT_METHOD = DataInf.name

#: One line per method, in the order in which they are listed to people.
METHODS: dict[str, Method[Any]] = {
    method.name: method
    for method in (
        DataInf(),
        Proximal(),
        Preconditioned(),
        HessianFree(),
        Cosine(),
        Relative(),
        Exact(),
        Joint(),
        Ekfac(),
        Lissa(),
        LissaPaper(),
        TracIn(),
    )
}


def get_method(name: str, storage: Storage | None = None) -> Method[Any]:
    """The influence method of a name: as `find_method`, and MethodNotOffered for a baseline."""
    found = find_method(name, storage)
    if isinstance(found, Baseline):
        raise found.refuse_as_method()
    return found


def find_method(name: str, storage: Storage | None = None) -> Method[Any] | Baseline:
    """The method or baseline of a name.

    Raises UnknownMethod with the closest name, and MethodNotOffered where `storage` is given and lacks what the
    method needs.
    """
    if name in BASELINES:
        return BASELINES[name]
    if name not in METHODS:
        raise UnknownMethod(f"There is no influence method '{name}'.", hint=_suggest(name), extra=_offer())
    method = METHODS[name]
    if storage is not None and storage not in method.storages:
        offered = [other.name for other in METHODS.values() if storage in other.storages]
        start = f"Use '{method.stand_in}' in its place" if method.stand_in else f"Use one of {', '.join(offered)}"
        raise MethodNotOffered(
            f"Method '{name}' is not offered on storage '{storage}'.",
            hint=f"{start}, or build an index with storage '{min(method.storages)}'.",
            extra={"methods": offered},
        )
    return method


def get_offered(name: str, spec: IndexSpec) -> Method[Any]:
    """The method of a name, where an index built by this specification holds all that it needs.

    Raises UnknownMethod and MethodNotOffered.
    """
    method = get_method(name, spec.storage)
    if method.needs_factors and not spec.kronecker:
        raise MethodNotOffered(
            f"Method '{name}' needs Kronecker factors, and this index was built without.",
            hint=f"Build it with kronecker true, or use '{method.stand_in}'.",
        )
    if method.metric not in metrics_of(spec):
        check_metric(method, spec.metric)
    return method


def code_methods(metric: Metric) -> list[Method[Any]]:
    """The methods that codes fitted to a metric can answer."""
    return [method for method in METHODS.values() if method.on_codes is not None and method.metric == metric]


def default_method(metric: Metric) -> str:
    """The method that codes of a metric are made for."""
    return DEFAULT_METHOD if metric == "gradient" else Preconditioned.name


def metrics_of(spec: IndexSpec) -> tuple[Metric, ...]:
    """Metrics that an index answers in: whole gradients in both, codes in their own."""
    return ("gradient", "optimizer") if spec.storage == "full" else (spec.metric,)


def check_metric(method: Method[Any], metric: Metric) -> None:
    """Raise MethodNotOffered for a method whose inner products are of another metric than the codes."""
    if method.metric != metric:
        offered = [other.name for other in code_methods(metric)]
        raise MethodNotOffered(
            f"Method '{method.name}' needs codes of metric '{method.metric}'; this index's are of metric '{metric}'.",
            hint=f"Use '{default_method(metric)}', or build an index with metric '{method.metric}' or storage 'full'.",
            extra={"methods": offered},
        )


def find_offered(name: str, spec: IndexSpec) -> Method[Any] | Baseline:
    """A method as `get_offered` finds it, or a baseline, which any index can answer."""
    return BASELINES[name] if name in BASELINES else get_offered(name, spec)


def describe_methods() -> list[MethodDescription]:
    """What there is, methods first."""
    known: list[Method[Any] | Baseline] = [*METHODS.values(), *BASELINES.values()]
    return [
        MethodDescription(
            name=found.name,
            title=found.title,
            summary=found.summary,
            is_baseline=found.is_baseline,
            storages=tuple(sorted(found.storages, reverse=True)),
            default_damping_scale=found.default_damping_scale,
            has_self_influence=found.has_self_influence,
            on_codes=_describe_codes(found),
            metric="gradient" if isinstance(found, Baseline) else found.metric,
            cost=found.cost,
        )
        for found in known
    ]


def _describe_codes(method: Method[Any] | Baseline) -> Literal["exact", "measured"] | None:
    if isinstance(method, Baseline) or method.on_codes is None:
        return None
    return "measured" if method.on_codes.has_curvature else "exact"


def _suggest(name: str) -> str:
    known = [*METHODS, *BASELINES]
    close = difflib.get_close_matches(name.lower().replace("-", "_"), known, n=1)
    start = f"Did you mean '{close[0]}'? " if close else ""
    return f"{start}Methods are {', '.join(METHODS)}; a baseline is {', '.join(BASELINES)}."


def _offer() -> dict[str, Any]:
    return {"methods": list(METHODS)}
