"""Serves the page. Every path below `/ui` that is no file answers `index.html`: the page routes by its own address."""

from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response

from app.ui.files import answer_file, read_files
from app.ui.first_calls import find_first_calls
from app.ui.modules import find_modules
from influence.errors import NotFound

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
FILES = read_files(STATIC)
#: What the page offers to whoever has no data at hand: it sends these files by the calls that anyone's own go by.
SAMPLE = read_files(STATIC.with_name("sample"))
#: The document also says what its view will need, which costs it no byte of its own.
MODULES = find_modules(STATIC)

router = APIRouter(include_in_schema=False)


@router.get("/")
async def welcome(request: Request) -> Response:
    """A browser is sent to the page; a program is told where things are."""
    if "text/html" in request.headers.get("accept", ""):
        return RedirectResponse("/ui/", status_code=307)
    return JSONResponse({"name": "datainf-service", "ui": "/ui/", "docs": "/docs", "openapi": "/openapi.json"})


@router.get("/ui/static/{path:path}")
async def read_file(path: str, request: Request) -> Response:
    """A file of the page. Raises NotFound."""
    if path not in FILES:
        raise NotFound("The page has no such file.", hint="Load the page anew: it may be of another version.")
    return answer_file(FILES[path], request.headers, HEADERS)


@router.get("/ui/sample/{name}")
async def read_sample(name: str, request: Request) -> Response:
    """A file of the sample set. Raises NotFound."""
    if name not in SAMPLE:
        raise NotFound("The sample set has no such file.")
    return answer_file(SAMPLE[name], request.headers, HEADERS)


@router.get("/ui")
@router.get("/ui/{path:path}")
async def show_page(request: Request, path: str = "") -> Response:
    """The one document of the page."""
    calls = await find_first_calls(request, f"/{path}")
    links = [
        *(f"</ui/static/{module}>; rel=modulepreload" for module in MODULES(f"/{path}")),
        *(f"<{call}>; rel=preload; as=fetch; crossorigin" for call in calls),
    ]
    return Response(FILES["index.html"].content, media_type="text/html", headers={**HEADERS, "Link": ", ".join(links)})
