"""The stages of one audit."""

from dataclasses import dataclass

from workers.auditing.evaluation import EvaluationStage
from workers.auditing.labels import LabelStage
from workers.auditing.self_influence import SelfInfluenceStage
from workers.auditing.stages import Stage


@dataclass(frozen=True)
class Work:
    """Stages in the order in which they are worked on; None where no signal needs one."""

    labels: LabelStage | None
    evaluation: EvaluationStage | None
    self_influence: SelfInfluenceStage | None

    @property
    def stages(self) -> list[Stage]:
        found: list[Stage | None] = [self.labels, self.evaluation, self.self_influence]
        return [stage for stage in found if stage is not None]
