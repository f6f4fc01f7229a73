"""Exit 0 when a worker process of this container has announced itself recently."""

import os
import socket
import sys

from influence.settings import StorageSettings
from influence.store.connections import StoreError, connect
from influence.store.store import Store


def main() -> int:
    """Look for our own name among the workers that are alive."""
    settings = StorageSettings()
    ours = os.environ.get("DATAINF_WORKER_NAME") or socket.gethostname()
    connections = connect(settings.redis_url, settings.cache_url)
    try:
        alive = [str(worker.get("name", "")) for worker in Store(connections).workers.alive()]
    except StoreError as error:
        print(f"the store does not answer: {error}")
        return 1
    finally:
        connections.close()
    if any(name.startswith(ours) for name in alive):
        return 0
    print(f"no worker named {ours}* is alive; alive are: {', '.join(alive) or 'none'}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
