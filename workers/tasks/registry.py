"""What every task does with rows and a model: the class that stands for each declaration."""

from collections.abc import Callable

from influence.contracts.tasks import TaskName
from workers.tasks.base import Materials, Task
from workers.tasks.kinds.causal_lm import CausalLM
from workers.tasks.kinds.direct_preference import DirectPreference
from workers.tasks.kinds.image_classification import ImageClassification
from workers.tasks.kinds.multi_label_classification import MultiLabelClassification
from workers.tasks.kinds.pairwise_reward import PairwiseReward
from workers.tasks.kinds.regression import Regression
from workers.tasks.kinds.sequence_classification import SequenceClassification
from workers.tasks.kinds.sequence_to_sequence import SequenceToSequence
from workers.tasks.kinds.text_to_image import TextToImage
from workers.tasks.kinds.token_classification import TokenClassification

_CLASSES = (
    SequenceClassification,
    Regression,
    MultiLabelClassification,
    TokenClassification,
    CausalLM,
    SequenceToSequence,
    DirectPreference,
    PairwiseReward,
    TextToImage,
    ImageClassification,
)

#: Makes the task of a loaded checkpoint; may raise TaskMismatch.
MAKERS: dict[TaskName, Callable[[Materials], Task]] = {task.name: task.make for task in _CLASSES}
