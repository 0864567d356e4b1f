"""GET /docs: Swagger UI from files that are installed with the service, so that it works without the internet."""

from __future__ import annotations

from importlib.resources import files

from fastapi import APIRouter, FastAPI, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse
from fastapi.staticfiles import StaticFiles

router = APIRouter()
PREFIXES = ("",)

ASSETS = "/docs-assets"
# Swagger UI has no dark style of its own.
DARK = """<style>
@media (prefers-color-scheme: dark) {
  body { background: #12161b }
  .swagger-ui { filter: invert(88%) hue-rotate(180deg) }
  .swagger-ui .opblock-summary-method, .swagger-ui .info .title small pre { color: #000; text-shadow: none }
  .swagger-ui .highlight-code, .swagger-ui .microlight { filter: invert(100%) hue-rotate(180deg) }
}
</style>"""


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> HTMLResponse:
    root = str(request.scope.get("root_path", "")).rstrip("/")
    page = get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="Stepscore API",
        swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{root}{ASSETS}/favicon.png",
    )
    return HTMLResponse(bytes(page.body).decode().replace("</head>", f"{DARK}</head>"))


def mount_assets(app: FastAPI) -> None:
    """The files of Swagger UI, as the package fastapi-offline carries them."""
    app.mount(ASSETS, StaticFiles(directory=str(files("fastapi_offline").joinpath("static"))))
