"""/docs: the description of the API as a page, which works without the internet."""

import base64
import hashlib
import re

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

#: Script and styles of Swagger UI, from an installed package.
ASSETS = StaticFiles(packages=[("fastapi_offline", "static")])
ASSETS_PATH = "/docs/assets"

router = APIRouter(include_in_schema=False)


def make_page(title: str) -> HTMLResponse:
    """The page, under a policy that lets nothing run but the script that stands in it and the one beside it."""
    page = get_swagger_ui_html(
        openapi_url="/openapi.json",
        title=title,
        swagger_js_url=f"{ASSETS_PATH}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS_PATH}/swagger-ui.css",
        swagger_favicon_url="/ui/static/icon.svg",
    )
    (script,) = re.findall(rb"<script>(.*?)</script>", bytes(page.body), re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    # Swagger UI writes styles into its elements, and its icons are data.
    page.headers["Content-Security-Policy"] = (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    return page


@router.get("/docs")
async def show_docs() -> HTMLResponse:
    """Every call, with a form to try it."""
    return make_page("datainf-service")
