"""Every error a caller can meet, as one tree. Each class has an HTTP status and a stable code.

DatainfError
├── RequestRefused          the request itself is wrong
│   ├── InvalidRequest · UnknownMethod · MethodNotOffered · PathNotAllowed · DoesNotFit
│   ├── Unauthorised · Forbidden · HostNotAllowed · OriginNotAllowed · NotFound · MethodNotAllowed
│   └── NotAcceptable · TooManyRequests
├── UploadRefused           bytes we were given cannot be used
│   ├── EmptyFile · UnreadableFile · BrokenRow · TooLarge · UnsafeArchive · PickleRefused · UnsupportedFormat
│   └── ColumnsUnmatched · ColumnsAmbiguous
├── CheckpointRefused       base model and adapter do not make a trustworthy model
│   ├── AdapterConfigRefused · AdapterMismatch · AdapterNotFinite · NothingTrainable · UnsupportedModule
│   ├── TokenizerRefused
│   └── BaseModelNotFound · TaskMismatch
├── RowsRefused             rows that would give confident nonsense
│   └── LabelOutOfRange · LabelUnknown · RowMasked · RowTooLong · RowsUnfit · NonFiniteGradients
├── Conflict                the resource is not in a state for this
│   └── IndexNotReady · IndexFailed · ResourceInUse · IdempotencyConflict · Cancelled
└── Unavailable             try again later
    ├── StoreUnavailable · FilesUnavailable · DiskFull · NoWorker · WorkerDied · ShardMissing · OutOfMemory · DeviceLost
    └── TooManyConnections · RecordDamaged · Internal
"""

import errno
from collections.abc import Mapping
from typing import Any, ClassVar

JsonObject = dict[str, Any]


class DatainfError(Exception):
    """Base of the tree.

    `detail` is one sentence about this occurrence, `hint` says what to do next, `extra` carries figures a
    program can read (row numbers, columns seen, progress).
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal"
    title: ClassVar[str] = "Something broke on our side"
    default_hint: ClassVar[str] = "Try again; if it happens again, report the request id."

    def __init__(self, detail: str, *, hint: str | None = None, extra: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.hint = hint or self.default_hint
        self.extra: JsonObject = dict(extra or {})

    def problem(self) -> JsonObject:
        """Render as an RFC 9457 problem object; also the form stored in a failed job."""
        return {
            "type": f"urn:datainf:error:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            "hint": self.hint,
            **{name: value for name, value in self.extra.items() if name not in _RESERVED},
        }


_RESERVED = frozenset({"type", "title", "status", "detail", "code", "hint"})


class RequestRefused(DatainfError):
    status, code, title = 422, "request_refused", "The request cannot be carried out"
    default_hint = "See the API guide for what this call takes."


class InvalidRequest(RequestRefused):
    code, title = "invalid_request", "The request does not fit the API"


class UnknownMethod(RequestRefused):
    code, title = "unknown_method", "No such influence method"


class MethodNotOffered(RequestRefused):
    code, title = "method_not_offered", "This method needs something that the index does not hold"


class PathNotAllowed(RequestRefused):
    status, code, title = 403, "path_not_allowed", "The path lies outside the allowed roots"
    default_hint = "Upload the files, or ask the operator to add the folder to DATAINF_ALLOWED_ROOTS."


class DoesNotFit(RequestRefused):
    code, title = "does_not_fit", "The index would not fit the configured budget"
    default_hint = "Use storage 'compact' or a smaller rank, or raise the budget."


class Unauthorised(RequestRefused):
    status, code, title = 401, "unauthorised", "An API key is needed"
    default_hint = "Send the header 'Authorization: Bearer <key>'; commands take --api-key or DATAINF_API_KEY."


class Forbidden(RequestRefused):
    status, code, title = 403, "forbidden", "This key may not do that"
    default_hint = "Ask the operator for a key with the scope that is named."


class HostNotAllowed(RequestRefused):
    status, code, title = 403, "host_not_allowed", "Requests for this host are not taken"
    default_hint = "Use http://127.0.0.1 with the port, or ask the operator to add the name to DATAINF_ALLOWED_HOSTS."


class OriginNotAllowed(RequestRefused):
    status, code, title = 403, "origin_not_allowed", "Pages of this origin may not change anything"
    default_hint = "Ask the operator to add the origin to DATAINF_ALLOWED_ORIGINS."


class NotFound(RequestRefused):
    status, code, title = 404, "not_found", "No such resource"
    default_hint = "Check the id; list what exists with a GET on the collection."


class MethodNotAllowed(RequestRefused):
    status, code, title = 405, "method_not_allowed", "This path does not take this method"


class NotAcceptable(RequestRefused):
    status, code, title = 406, "not_acceptable", "The answer has no form that the caller accepts"


class TooManyRequests(RequestRefused):
    status, code, title = 429, "too_many_requests", "More is asked for at once than this service takes"
    default_hint = "Wait as long as Retry-After says, then send it again."


class UploadRefused(DatainfError):
    status, code, title = 422, "upload_refused", "The uploaded bytes cannot be used"
    default_hint = "Check the file and send it again."


class EmptyFile(UploadRefused):
    code, title = "empty_file", "The file holds no rows"


class UnreadableFile(UploadRefused):
    code, title = "unreadable_file", "The file cannot be read as what it claims to be"


class BrokenRow(UploadRefused):
    code, title = "broken_row", "A row cannot be read"


class TooLarge(UploadRefused):
    status, code, title = 413, "too_large", "The upload is larger than this service takes"


class UnsafeArchive(UploadRefused):
    code, title = "unsafe_archive", "The archive is refused"
    default_hint = "Zip the adapter folder's plain files and nothing else."


class PickleRefused(UploadRefused):
    code, title = "pickle_refused", "Pickled weights are never loaded"
    default_hint = "Save the adapter as safetensors: model.save_pretrained(folder, safe_serialization=True)."


class UnsupportedFormat(UploadRefused):
    status, code, title = 415, "unsupported_format", "This file format is not taken"
    default_hint = "Send JSONL, a JSON array, CSV or Parquet."


class ColumnsUnmatched(UploadRefused):
    code, title = "columns_unmatched", "The columns do not say what a row is"


class ColumnsAmbiguous(UploadRefused):
    code, title = "columns_ambiguous", "The columns can be read in more than one way"


class CheckpointRefused(DatainfError):
    status, code, title = 422, "checkpoint_refused", "The checkpoint cannot be trusted to give right scores"
    default_hint = "Save the adapter again from the training run that you mean."


class AdapterConfigRefused(CheckpointRefused):
    code, title = "adapter_config_refused", "The adapter's configuration is refused"


class AdapterMismatch(CheckpointRefused):
    code, title = "adapter_mismatch", "Adapter and base model do not fit each other tensor by tensor"
    default_hint = "Name the base model that the adapter was trained on and send all of its tensors."


class AdapterNotFinite(CheckpointRefused):
    code, title = "adapter_not_finite", "The adapter holds NaN or infinite weights"


class BaseNotFinite(CheckpointRefused):
    code, title = "base_not_finite", "The base model holds NaN or infinite weights"
    default_hint = (
        "Download or save the base model again. Where it was merged or converted to float16, numbers may have left its "
        "range: do so in bfloat16 or float32."
    )


class TokenizerRefused(CheckpointRefused):
    code, title = "tokenizer_refused", "The adapter's own tokenizer or chat template is refused"


class NothingTrainable(CheckpointRefused):
    code, title = "nothing_trainable", "No weight of this checkpoint was trained"


class UnsupportedModule(CheckpointRefused):
    code, title = "unsupported_module", "A trainable module has no exact per-row gradient here"


class BaseModelNotFound(CheckpointRefused):
    code, title = "base_model_not_found", "Base model not found"
    default_hint = "Give a hub id, a path under the allowed roots, or a configured alias."


class TaskMismatch(CheckpointRefused):
    code, title = "task_mismatch", "The task does not fit the checkpoint or the rows"


class RowsRefused(DatainfError):
    status, code, title = 422, "rows_refused", "The rows cannot be scored"
    default_hint = "Fix or drop the rows named and send the data set again."


class LabelOutOfRange(RowsRefused):
    code, title = "label_out_of_range", "A label lies outside the classifier's head"


class LabelUnknown(RowsRefused):
    code, title = "label_unknown", "A label name is not one of the checkpoint's"


class RowMasked(RowsRefused):
    code, title = "row_masked", "A row has no token that carries loss"


class RowTooLong(RowsRefused):
    code, title = "row_too_long", "A row is longer than max_length"


class RowsUnfit(RowsRefused):
    code, title = "rows_unfit", "The rows are of another kind than the checkpoint was trained on"


class NonFiniteGradients(RowsRefused):
    code, title = "non_finite_gradients", "Rows have NaN or infinite gradients"
    default_hint = "Build with on_non_finite 'skip' to leave these rows out, or use precision float32."


class Conflict(DatainfError):
    status, code, title = 409, "conflict", "The resource is not in a state for this"
    default_hint = "Read the resource, then decide."


class IndexNotReady(Conflict):
    code, title = "index_not_ready", "The index is still being built"
    default_hint = "Wait for the job named here, then ask again."


class IndexFailed(Conflict):
    code, title = "index_failed", "The index could not be built"
    default_hint = "Read the index's error; send the build again once it is fixed."


class ResourceInUse(Conflict):
    code, title = "resource_in_use", "Other resources depend on this one"


class IdempotencyConflict(Conflict):
    code, title = "idempotency_conflict", "This Idempotency-Key was used for another request"
    default_hint = "Use a new key for a new request."


class Cancelled(Conflict):
    code, title = "cancelled", "The job was cancelled"
    default_hint = "Send the request again to start over."


class Unavailable(DatainfError):
    status, code, title = 503, "unavailable", "Not possible at this moment"
    default_hint = "Try again in a little while."


class StoreUnavailable(Unavailable):
    code, title = "store_unavailable", "The Redis server does not answer"


class FilesUnavailable(Unavailable):
    code, title = "files_unavailable", "The object store of files does not answer"
    default_hint = "Try again in a little while; the operator finds the cause in the log."


class DiskFull(Unavailable):
    status, code, title = 507, "disk_full", "The service's disk has no room left"
    default_hint = "Ask the operator to free space in the data directory, then send it again."


class TooManyConnections(Unavailable):
    code, title = "too_many_connections", "More callers are connected than this process serves"
    default_hint = "Wait as long as Retry-After says, then connect again."


class NoWorker(Unavailable):
    code, title = "no_worker", "No worker is running"
    default_hint = "Start one with 'datainf worker'."


class WorkerDied(Unavailable):
    code, title = "worker_died", "Workers died again and again on the same piece of work"
    default_hint = "See the worker's log; often the kernel ends it for want of memory."


class ShardMissing(Unavailable):
    code, title = "shard_missing", "Part of the index was lost and is being computed again"


class OutOfMemory(Unavailable):
    code, title = "out_of_memory", "One row alone does not fit the device's memory"
    default_hint = "Lower max_length, use precision bfloat16, or a device with more memory."


class DeviceLost(Unavailable):
    code, title = "device_lost", "The worker's device stopped answering"
    default_hint = "Another worker takes the work over; look at this one's driver and log."


class RecordDamaged(Unavailable):
    status, code, title = 500, "record_damaged", "A stored record cannot be read"
    default_hint = "Delete what it is about, then send its request again."


class Internal(Unavailable):
    status, code, title = 500, "internal", "Something broke on our side"
    default_hint = "Try again; if it happens again, report the request id."


def is_disk_full(error: OSError) -> bool:
    """Whether a write failed for want of room: the disk's, a quota's, or that of a single file."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
