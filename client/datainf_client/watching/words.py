"""How far a job is, in words."""

import json

from datainf_client.generated.models import Job
from datainf_client.text import count, duration_text, plain

FINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})


def describe_phase(job: Job) -> str:
    """`sampling (3 of 6)`: the phase of the job, and which of its phases that is."""
    phases = job.progress.phases or []
    name = plain(job.progress.phase, 40)
    return f"{name} ({phases.index(job.progress.phase) + 1} of {len(phases)})" if job.progress.phase in phases else name


def share_done(job: Job) -> float | None:
    """How much of its phase is done, from 0 to 1; None where nobody knows."""
    progress = job.progress
    if progress.share is None and not progress.total:
        return None
    return min(1.0, progress.done / progress.total if progress.share is None else progress.share)


def describe_progress(job: Job) -> str:
    """`1,200 of 2,000 rows · 310 rows/s · 3 s left`, and what the service remarks."""
    progress = job.progress
    parts = []
    if progress.total:
        parts.append(f"{count(progress.done)} of {count(progress.total)} {plain(progress.unit, 20)}")
    if progress.rate:
        parts.append(f"{count(progress.rate) if progress.rate >= 10 else progress.rate} {plain(progress.unit, 20)}/s")
    if progress.eta_seconds is not None and job.state not in FINAL_STATES:
        parts.append(f"{duration_text(progress.eta_seconds)} left")
    if progress.note:
        parts.append(plain(progress.note.get("message", json.dumps(progress.note)), 120))
    return " · ".join(parts) or plain(job.state, 20)
