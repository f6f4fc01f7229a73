"""Settings of a worker process, read from the environment once."""

from typing import Literal

from pydantic import Field

from influence.settings import StorageSettings


class WorkerSettings(StorageSettings):
    """How a worker computes. Prefix DATAINF_."""

    device: str = Field("auto", description="'auto' (one process per GPU, else CPU), 'cpu' or 'cuda'.")
    cpu_threads: int = Field(0, ge=0, description="Threads of a CPU worker; 0 takes every core it may use.")
    token_budget: int = Field(0, ge=0, description="Tokens a micro-batch, padding included; 0 finds one.")
    memory_budget_bytes: int = Field(4 << 30, ge=0, description="Memory for hot indexes; the least used leave.")
    partition_bytes: int = Field(
        256 << 20,
        ge=0,
        description="A compact index that does not fit memory_budget_bytes is cut into ranges of rows of about so many "
        "bytes, which all workers share out; 0 cuts none.",
    )
    gradient_cache_bytes: int = Field(256 << 20, ge=0, description="Memory for gradients recomputed by queries.")
    test_gradient_bytes: int = Field(
        256 << 20,
        ge=0,
        description="Memory for test gradients kept for the next query about the same points; a sum over checkpoints "
        "keeps as much between its passes.",
    )
    hot_models: int = Field(2, ge=1, description="Checkpoints kept loaded.")
    query_threads: int = Field(2, ge=1, description="Large queries, audits and the like worked on at once.")
    query_batch: int = Field(
        16,
        ge=1,
        le=256,
        description="Small queries worked on at once, which share passes over model and index; 1 computes each alone.",
    )
    shard_seconds: float = Field(20.0, gt=0, description="How long a shard of a build should take.")
    load_in_bits: int | None = Field(None, description="4 or 8: load base models quantised (needs bitsandbytes).")
    device_map: Literal["", "auto", "balanced", "sequential"] = Field(
        "", description="Spread base models over all visible GPUs in one process: 'auto', 'balanced' or 'sequential'."
    )
    worker_name: str = Field("", description="Name under which this worker is seen; made up when empty.")
