"""`python -m app`: the API in one process, configured by the environment."""

import gc
import sys

# What is loaded stays: a third of the start went into looking for garbage in it.
gc.disable()

from pydantic import ValidationError
from pydantic_settings import SettingsError

from app.http.serving.server import serve
from app.main import app_from
from app.settings import ApiSettings
from influence.errors import InvalidRequest
from influence.process.heap import return_large_blocks
from influence.process.logs import configure_logs
from influence.process.tracing import configure_traces
from influence.settings import EXIT_SETTINGS, describe_problems
from influence.store.connections import check_servers


def main() -> int:
    """Serve until Ctrl-C or SIGTERM; answers the exit status."""
    gc.freeze()
    gc.enable()
    try:
        settings = ApiSettings()
    except (ValidationError, SettingsError) as error:
        for sentence in describe_problems(error):
            print(f"datainf: {sentence}", file=sys.stderr)
        return EXIT_SETTINGS
    return_large_blocks()
    configure_logs(settings.log_level, as_json=settings.log_json)
    configure_traces("datainf-api", is_wanted=settings.traces)
    try:
        app = app_from(settings)
        check_servers(app.state.context.store.connections)
    except InvalidRequest as error:
        print(f"datainf: {error.detail} {error.hint}", file=sys.stderr)
        return EXIT_SETTINGS
    serve(app, settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
