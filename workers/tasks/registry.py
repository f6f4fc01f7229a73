"""What every task does with rows and a model: the class that stands for each declaration."""

from collections.abc import Callable

from influence.contracts.tasks import CAUSAL_LM, SEQUENCE_CLASSIFICATION, SEQUENCE_REGRESSION, TaskName
from workers.tasks.base import Materials, Task
from workers.tasks.causal_lm import CausalLM
from workers.tasks.regression import Regression
from workers.tasks.sequence_classification import SequenceClassification

#: Makes the task of a loaded checkpoint; may raise TaskMismatch.
MAKERS: dict[TaskName, Callable[[Materials], Task]] = {
    SEQUENCE_CLASSIFICATION.name: SequenceClassification.make,
    SEQUENCE_REGRESSION.name: Regression.make,
    CAUSAL_LM.name: CausalLM.make,
}
