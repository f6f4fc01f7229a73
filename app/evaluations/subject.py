"""What an evaluation is about: its model, rows and labels, resolved once when the request is accepted."""

from pathlib import Path

from app.checks.base_model import resolve_base_model
from app.checks.readiness import require_ready
from app.http.context import Context
from influence.checkpoint_files.adapters.former_names import LayerNames
from influence.checkpoint_files.base_files import BaseFiles
from influence.checkpoint_files.bases.pipelines import is_pipeline
from influence.checkpoint_files.multimodal import refuse_inexact
from influence.checkpoint_files.task.head import names_head
from influence.checkpoint_files.task.image_layers import require_usual_layers
from influence.checkpoint_files.trainable import match_tensors, normalise_patterns
from influence.contracts.checkpoint import BaseModelRef, Checkpoint
from influence.contracts.dataset import Dataset
from influence.contracts.evaluation.experiment import Experiment
from influence.contracts.evaluation.record import Subject
from influence.contracts.index import Index
from influence.contracts.tasks import TASKS, TaskDeclaration, training_task
from influence.errors import BaseModelNotFound, InvalidRequest, RowsUnfit, TaskMismatch
from influence.rows.file import RowFile
from influence.store.class_names import checkpoint_of

#: Taken for classification where no base model is named.
DEFAULT_BASE_MODEL = "minilm-l6"
#: A head with more classes than this is a misread column.
MAX_CLASSES = 1000
#: What an index has decided already.
_OF_THE_INDEX = ("base_model", "revision", "lora", "trainable", "max_length", "loss", "reduction")


def subject_of_index(context: Context, request: Experiment, index_id: str) -> tuple[Subject, Dataset, Index]:
    """The model and rows of an index. Raises NotFound, IndexNotReady, IndexFailed, InvalidRequest."""
    given = [name for name in _OF_THE_INDEX if name in request.model_fields_set]
    if given:
        raise InvalidRequest(
            f"'{given[0]}' is decided by the index {index_id[:80]}.",
            hint=f"Leave {', '.join(given)} out, or name a 'dataset_id' instead of 'index_id'.",
        )
    index = require_ready(context.store, index_id)
    checkpoint = checkpoint_of(context.store, index)
    _require_training(TASKS[checkpoint.task])
    _require_retrainable(request, checkpoint)
    _require_loss(request, index)
    subject = Subject(
        task=checkpoint.task,
        base_model=checkpoint.base_model,
        dataset_id=index.spec.dataset_id,
        num_labels=checkpoint.num_labels,
        label_names=checkpoint.label_names,
    )
    return subject, context.store.datasets.require(index.spec.dataset_id), index


def _require_training(task: TaskDeclaration) -> None:
    """Raise TaskMismatch where models of a task are not trained here, as every evaluation does."""
    if not task.trains_anew:
        raise TaskMismatch(
            f"Evaluations train models anew, which is not offered for task '{task.name}'.",
            hint="Judge an index of such a model by queries about rows whose source you know, or by groups.",
        )


def _require_loss(request: Experiment, index: Index) -> None:
    """Raise InvalidRequest where scores of no loss would be scaled to changes of one."""
    diffusion = index.spec.gradients.diffusion
    if request.needs_index and diffusion is not None and not diffusion.is_loss:
        raise InvalidRequest(
            f"Scores of {index.id} are gradients of no loss, so there is no factor to a change of one.",
            hint="Calibrate an index with 'measurement' and 'timestep_weighting' left out, or ask for 'lds'.",
        )


def _require_retrainable(request: Experiment, checkpoint: Checkpoint) -> None:
    """Raise InvalidRequest or TaskMismatch where an index cannot be judged by training on its rows again."""
    if request.evaluation_dataset_id is None or request.flips:
        raise InvalidRequest(
            "An index was trained on all of its rows and on their labels as they are.",
            hint="Name test points with 'evaluation_dataset_id', and leave 'flip_share' out.",
        )
    if checkpoint.trainable is not None:
        raise TaskMismatch(
            f"{checkpoint.id} is a plain model: its files contain only trained weights, "
            "so there is nothing to retrain from.",
            hint="Name the rows in 'dataset_id', in 'base_model' what it was trained from, its modules in 'trainable'.",
        )
    if (checkpoint.adapter or {}).get("init_lora_weights") == "eva":
        raise TaskMismatch(
            f"The adapter of {checkpoint.id} was made by 'eva' before training, from data that this service lacks.",
            hint="Evaluate a model to train by 'dataset_id' and 'base_model'.",
        )


def subject_of_rows(context: Context, request: Experiment, dataset_id: str) -> tuple[Subject, Dataset]:
    """A model to train on a data set.

    Raises NotFound, RowsUnfit, BaseModelNotFound, NothingTrainable and what a bad name gives.
    """
    dataset = context.store.datasets.require(dataset_id)
    _require_training(training_task(dataset.kind))
    base = None if request.base_model is None else resolve_base_model(context, request.base_model, request.revision)
    task = training_task(dataset.kind, _architectures(base))
    if base is not None:
        _require_pipeline(task, base)
    if task.head is None:
        if request.base_model is None and (task.is_pipeline or not request.compares_classes):
            raise InvalidRequest(
                "A model is trained many times over, and no base model is named.",
                hint="Name an alias, path or hub id in 'base_model'.",
            )
        _check_trainable(request, task, base)
        return Subject(task=task.name, base_model=base, dataset_id=dataset.id), dataset
    numbers: int | None = dataset.statistics.get("numbers_per_row")
    if base is None and task.reads == "image":
        raise InvalidRequest(
            "A model of images is trained, and no base model is named.",
            hint="Name an alias, path or hub id in 'base_model': its folder holds preprocessor_config.json, too.",
        )
    names, count = _labels(context, dataset) if numbers is None else (None, numbers)
    base = base or _default_encoder(context)
    _check_trainable(request, task, base)
    _check_layers(request, task, base)
    subject = Subject(
        task=task.name,
        base_model=base,
        dataset_id=dataset.id,
        num_labels=count,
        label_names=names,
    )
    return subject, dataset


def _require_pipeline(task: TaskDeclaration, base: BaseModelRef) -> None:
    """Raise TaskMismatch where rows are images to be made and the base model makes none, or the other way round."""
    makes_images = base.kind == "path" and is_pipeline(Path(base.location))
    if makes_images == task.is_pipeline:
        return
    what = "no folder of a diffusion pipeline" if task.is_pipeline else "a diffusion pipeline"
    raise TaskMismatch(
        f"The rows are for the task '{task.name}', and the base model is {what}.",
        hint="Name a base model of the task: for images with captions the folder that save_pretrained wrote.",
    )


def _check_trainable(request: Experiment, task: TaskDeclaration, base: BaseModelRef | None) -> None:
    """Raise InvalidRequest, TaskMismatch or NothingTrainable for modules that no model to train has, as far as the
    files on this machine say. A head may be made anew: only the worker knows its name."""
    if request.trainable is None:
        return
    patterns = normalise_patterns(request.trainable)
    if task.is_pipeline:
        raise TaskMismatch(
            "Image pipelines are trained by a LoRA of their UNet.", hint="Leave 'trainable' out, or shape 'lora'."
        )
    if base is None:
        raise InvalidRequest(
            "'trainable' names modules of a base model, and none is named.", hint="Name it in 'base_model', too."
        )
    if base.kind == "path":
        files = BaseFiles(Path(base.location))
        known = [pattern for pattern in patterns if task.head is None or not names_head(pattern)]
        match_tensors(known, files.tensors(), LayerNames.of(files.config))


def _check_layers(request: Experiment, task: TaskDeclaration, base: BaseModelRef) -> None:
    """Raise UnsupportedModule where nobody names layers for the LoRA of a model of images, and none are usual; and
    TaskMismatch where the model cannot be scored. Only the worker reads a model on the hub."""
    if task.reads != "image" or base.kind != "path":
        return
    config = BaseFiles(Path(base.location)).config
    refuse_inexact(config, task.name)
    if request.trainable is None and request.lora.target_modules is None:
        require_usual_layers(str(config.get("model_type")))


def _architectures(base: BaseModelRef | None) -> list[str]:
    """Classes of a base model on this machine, as its configuration says; only a worker reads one on the hub."""
    is_model = base is not None and base.kind == "path" and not is_pipeline(Path(base.location))
    config = BaseFiles(Path(base.location)).config if base is not None and is_model else {}
    return [name for name in config.get("architectures") or () if isinstance(name, str)]


def _default_encoder(context: Context) -> BaseModelRef:
    try:
        return resolve_base_model(context, DEFAULT_BASE_MODEL, None)
    except BaseModelNotFound as error:
        raise BaseModelNotFound(
            f"No base model was given and the default '{DEFAULT_BASE_MODEL}' is not installed.",
            hint=f"Name an alias, path or hub id in 'base_model'. Or: {error.hint}",
        ) from error


def _labels(context: Context, dataset: Dataset) -> tuple[tuple[str, ...] | None, int]:
    """Names of the classes where they have any, in the order of the head, and their number."""
    if "labels" not in dataset.statistics:
        raise RowsUnfit(
            f"The rows of {dataset.id} have spans, which do not say which classes a head has.",
            hint="Send words with their tags, or evaluate an index of a checkpoint with 'index_id'.",
        )
    names, counts = dataset.label_names, dataset.statistics["labels"]
    if (width := dataset.statistics.get("label_vector")) is not None:
        return names, width
    if names is None and _are_named(context, dataset):
        names = tuple(sorted(counts))
    count = len(names) if names is not None else 1 + max(map(int, counts))
    if len(counts) < 2:
        raise RowsUnfit(f"The rows of {dataset.id} are all of one class.", hint="Send rows of at least two classes.")
    if count > MAX_CLASSES or dataset.statistics["classes"] > len(counts):
        raise RowsUnfit(
            f"The rows of {dataset.id} have more than {MAX_CLASSES} classes.",
            hint="Number the classes from 0 without gaps; name the column of class labels in 'columns'.",
        )
    return names, count


def _are_named(context: Context, dataset: Dataset) -> bool:
    """Whether labels are names: statistics write a class number and a name '3' alike, rows do not."""
    with RowFile(context.files.dataset(dataset.id)) as file:
        labels = (row["label"] for row in file)
        classes = (one for label in labels for one in (label if isinstance(label, list) else [label]))
        return isinstance(next((one for one in classes if one is not None), None), str)
