"""What a report of linear datamodelling scores says of the ceiling: how much of the truth is chance."""

from collections.abc import Mapping

from influence.contracts.common import Json
from influence.contracts.evaluation.experiment import LdsRequest
from influence.contracts.evaluation.report import Table
from influence.evaluating.reliability import Ceiling


def tabulate_ceiling(request: LdsRequest, ceiling: Ceiling) -> Table:
    """How far trainings of one subset agree, and the highest score that this leaves."""
    rows = (
        ("one training per subset", ceiling.reliability, ceiling.one),
        (f"the mean of {ceiling.trainings} trainings per subset", ceiling.of_mean, ceiling.mean),
    )
    return Table(
        name="ceiling",
        title="How far trainings agree, and the ceiling of any scores",
        columns=("truth", "reliability", "ceiling"),
        rows=rows,
        note=f"Reliability: Spearman's correlation over {request.subsets} subsets of trainings from other seeds, mean "
        "over pairs and test points; of a mean by Spearman and Brown. The ceiling is its root: what scores that know "
        "nothing of the seeds can be expected to reach. Scores above are against the mean.",
    )


def read_ceiling(ceiling: Ceiling, found: Mapping[str, Json]) -> tuple[str, ...]:
    """The ceiling, and what share of it the best method reaches."""
    if ceiling.mean is None:
        return (
            "Trainings of one subset do not agree at all: nothing here can be predicted; train longer or on more rows.",
        )
    best = max(found, key=lambda name: float(found[name]["lds"]))
    share, low, high = found[best]["share_of_ceiling"]
    return (
        f"Two trainings of one subset agree to {ceiling.reliability:.2f}: against the mean of {ceiling.trainings} no "
        f"scores can be expected above {ceiling.mean:.2f}. '{best}' reaches {share:.0%} of that ({low:.0%} to "
        f"{high:.0%}).",
    )
