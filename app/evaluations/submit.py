"""Evaluations: from a request to a job, and from a finished one to its report."""

from app.checks.compatibility import choose_loss
from app.evaluations.feasibility import check_indexed_methods, check_methods, check_rows, check_size, check_source
from app.evaluations.subject import subject_of_index, subject_of_rows
from app.http.context import Context
from app.http.idempotency import Made
from app.presenting import present_work
from influence.contracts.common import now
from influence.contracts.dataset import Dataset
from influence.contracts.evaluation import Evaluation, EvaluationRequest, Report, Subject
from influence.contracts.job import FINAL_STATES
from influence.digests import new_id
from influence.errors import Conflict
from influence.store.store import Store


def submit_evaluation(context: Context, request: EvaluationRequest) -> Made:
    """Check a request, resolve what it names, and put the work on the queue.

    Raises NotFound, InvalidRequest, UnknownMethod, MethodNotOffered, IndexNotReady, IndexFailed, RowsRefused and
    what a base model's name can give.
    """
    store = context.store
    check_source(request)
    check_size(request)
    check_methods(request)
    settled, subject, dataset = _settle(context, request)
    check_rows(store, settled, subject, dataset)
    evaluation_id, job_id = new_id("eval"), new_id("job")
    evaluation = Evaluation(
        id=evaluation_id, job_id=job_id, state="queued", request=settled, subject=subject, created_at=now()
    )
    store.jobs.create(job_id, "evaluation", evaluation_id, f"/v1/evaluations/{evaluation_id}")
    store.evaluations.create(evaluation)
    store.queue.submit("plan_evaluation", evaluation_id=evaluation_id)
    return Made(evaluation_id, job_id)


def _settle(context: Context, request: EvaluationRequest) -> tuple[EvaluationRequest, Subject, Dataset]:
    """The request with what it left open: `max_length` and `loss` are those of the index, or what the rows imply."""
    if request.index_id is not None:
        subject, dataset, index = subject_of_index(context, request, request.index_id)
        check_indexed_methods(request, index)
        decided = {"max_length": index.spec.gradients.max_length, "loss": index.spec.gradients.loss}
        return request.model_copy(update=decided), subject, dataset
    subject, dataset = subject_of_rows(context, request, str(request.dataset_id))
    if request.kind == "class-attribution":
        return request, subject, dataset
    loss = choose_loss(subject.task, dataset.kind, request.loss)
    return request.model_copy(update={"loss": loss}), subject, dataset


def require_report(store: Store, evaluation_id: str) -> tuple[Evaluation, Report]:
    """A finished evaluation with its report. Raises NotFound, and Conflict with its state before it is finished."""
    evaluation = present_work(store, store.evaluations.require(evaluation_id))
    if evaluation.report is None:
        waiting = evaluation.state not in FINAL_STATES
        raise Conflict(
            f"The evaluation {evaluation_id} has no report: it is {evaluation.state}.",
            hint=f"Wait for the job {evaluation.job_id}." if waiting else "Send the request again.",
            extra={"job_id": evaluation.job_id, "state": evaluation.state, "error": evaluation.error},
        )
    return evaluation, evaluation.report


def delete_evaluation(store: Store, evaluation_id: str) -> None:
    """Stop the work if it is not done and remove everything of the evaluation. Raises NotFound."""
    evaluation = store.evaluations.require(evaluation_id)
    store.jobs.cancel(evaluation.job_id)
    store.evaluation_data.delete(evaluation_id)
    store.evaluations.delete(evaluation_id)
