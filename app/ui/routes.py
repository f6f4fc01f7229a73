"""Serves the page. Every path below `/ui` that is no file answers `index.html`: the page routes by its own address."""

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from app.ui.modules import list_shared_modules

STATIC = Path(__file__).with_name("static").resolve()
#: Nothing from elsewhere, nothing inline, no markup from strings: rows hold whatever strangers wrote.
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; img-src 'self' blob:; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; "
    "form-action 'self'; require-trusted-types-for 'script'"
)
#: A browser asks every time and is told 304 while a file is what it was: no stale page after an upgrade.
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-cache",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
#: The document also says what it will need, which costs it no byte of its own.
PRELOADED = ", ".join(f"</ui/static/{module}>; rel=modulepreload" for module in list_shared_modules(STATIC))

router = APIRouter(include_in_schema=False)


class PageFiles(StaticFiles):
    """Static files under the page's policy."""

    def file_response(self, *args: object, **kwargs: object) -> Response:
        """The file, or 304, with HEADERS."""
        response = super().file_response(*args, **kwargs)  # type: ignore[arg-type]
        response.headers.update(HEADERS)
        return response


@router.get("/")
async def welcome(request: Request) -> Response:
    """A browser is sent to the page; a program is told where things are."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/ui/", status_code=307)
    return JSONResponse({"name": "datainf-service", "ui": "/ui/", "docs": "/docs", "openapi": "/openapi.json"})


@router.get("/ui")
@router.get("/ui/{path:path}")
async def show_page() -> Response:
    """The one document of the page."""
    return FileResponse(STATIC / "index.html", media_type="text/html", headers={**HEADERS, "Link": PRELOADED})
