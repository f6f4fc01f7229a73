"""Entry point of one worker process: `python -m workers.process.start --slot 0`."""

import gc
import os


def main() -> None:
    """Load what a worker needs, and work.

    Torch, transformers and peft make a million objects that stay: a fifth of the start went into looking for garbage
    among them, and so would a part of every later look.
    """
    # Read when numpy is loaded. Its products and eigenvectors of codes are small, and of its own threads one spins
    # beside torch's after each of them: fitting a basis took a third longer.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.disable()
    from workers.process.worker import main as work

    gc.freeze()
    gc.enable()
    work()


if __name__ == "__main__":
    main()
