"""`python -m app`: the API in one process, configured by the environment."""

import sys

import uvicorn
from pydantic import ValidationError

from app.main import app_from
from app.settings import ApiSettings
from influence.logs import configure_logs

#: Time for running requests to end, when the process is asked to stop.
STOP_SECONDS = 10


def main() -> int:
    """Serve until Ctrl-C or SIGTERM; answers the exit status."""
    try:
        settings = ApiSettings()
    except ValidationError as error:
        for problem in error.errors():
            where = ".".join(str(part) for part in problem["loc"])
            print(f"datainf: {where + ': ' if where else ''}{problem['msg']}", file=sys.stderr)
        return 2
    configure_logs(settings.log_level, as_json=settings.log_json)
    uvicorn.run(
        app_from(settings),
        host=settings.host,
        port=settings.port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        server_header=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
