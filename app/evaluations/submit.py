"""Evaluations: from a request to a job, and from a finished one to its report."""

from dataclasses import dataclass

from app.checks.compatibility import choose_loss
from app.evaluations.feasibility import check_indexed_methods, check_methods, check_rows, check_size, check_source
from app.evaluations.subject import subject_of_index, subject_of_rows
from app.http.context import Context
from app.http.idempotency import Accepted
from influence.contracts.dataset import Dataset
from influence.contracts.evaluation.experiment import EvaluationRequest
from influence.contracts.evaluation.record import Evaluation, Subject
from influence.contracts.evaluation.report import Report
from influence.contracts.work import EVALUATION
from influence.errors import Conflict
from influence.store.store import Store
from influence.store.work import accept, with_job_state


@dataclass(frozen=True)
class Settled:
    """A request that can be carried out, what it is about, and the rows it is made from."""

    request: EvaluationRequest
    subject: Subject
    dataset: Dataset


def submit_evaluation(context: Context, request: EvaluationRequest) -> Accepted:
    """Put the work on the queue. Raises what `settle_evaluation` raises."""
    settled = settle_evaluation(context, request)
    evaluation = Evaluation(**EVALUATION.begin(), name=request.name, request=settled.request, subject=settled.subject)
    accept(context.store, evaluation)
    return Accepted(evaluation.id, evaluation.job_id)


def settle_evaluation(context: Context, request: EvaluationRequest) -> Settled:
    """Check a request and resolve what it names.

    Raises NotFound, InvalidRequest, UnknownMethod, MethodNotOffered, IndexNotReady, IndexFailed, RowsRefused and
    what a base model's name can give.
    """
    check_source(request)
    check_size(request)
    check_methods(request)
    settled, subject, dataset = _settle(context, request)
    check_rows(context.store, settled, subject, dataset)
    return Settled(settled, subject, dataset)


def _settle(context: Context, request: EvaluationRequest) -> tuple[EvaluationRequest, Subject, Dataset]:
    """The request with what it left open: `max_length` and `loss` are those of the index, or what the rows imply."""
    if request.index_id is not None:
        subject, dataset, index = subject_of_index(context, request, request.index_id)
        check_indexed_methods(request, index)
        decided = {"max_length": index.spec.gradients.max_length, "loss": index.spec.gradients.loss}
        return request.model_copy(update=decided), subject, dataset
    subject, dataset = subject_of_rows(context, request, str(request.dataset_id))
    if request.compares_classes:
        return request, subject, dataset
    loss = choose_loss(subject, dataset, request.loss)
    return request.model_copy(update={"loss": loss}), subject, dataset


def require_report(store: Store, evaluation_id: str) -> tuple[Evaluation, Report]:
    """A finished evaluation with its report. Raises NotFound, and Conflict with its state before it is finished."""
    evaluation = with_job_state(store, store.evaluations.require(evaluation_id))
    if evaluation.report is None:
        raise Conflict(
            f"The evaluation {evaluation_id} has no report: it is {evaluation.state}.",
            hint=f"Wait for the job {evaluation.job_id}." if not evaluation.is_final else "Send the request again.",
            extra={"job_id": evaluation.job_id, "state": evaluation.state, "error": evaluation.error},
        )
    return evaluation, evaluation.report
