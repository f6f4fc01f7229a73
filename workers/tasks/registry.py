"""What every task does with rows and a model: the class that stands for each declaration."""

from collections.abc import Callable

from influence.contracts.tasks import (
    CAUSAL_LM,
    MULTI_LABEL_CLASSIFICATION,
    SEQUENCE_CLASSIFICATION,
    SEQUENCE_REGRESSION,
    TaskName,
)
from workers.tasks.base import Materials, Task
from workers.tasks.causal_lm import CausalLM
from workers.tasks.multi_label_classification import MultiLabelClassification
from workers.tasks.regression import Regression
from workers.tasks.sequence_classification import SequenceClassification

#: Makes the task of a loaded checkpoint; may raise TaskMismatch.
MAKERS: dict[TaskName, Callable[[Materials], Task]] = {
    SEQUENCE_CLASSIFICATION.name: SequenceClassification.make,
    SEQUENCE_REGRESSION.name: Regression.make,
    MULTI_LABEL_CLASSIFICATION.name: MultiLabelClassification.make,
    CAUSAL_LM.name: CausalLM.make,
}
