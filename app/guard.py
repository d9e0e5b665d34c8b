"""What every answer carries and every question must keep to, whoever asks: one small ASGI layer."""

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST_BYTES = 256 * 1024
"""Two hundred titles of 300 characters fit; anything longer is not a history."""
# Gradio builds its templates in the browser (unsafe-eval), styles them inline; nothing comes from elsewhere.
POLICY = "; ".join(
    [
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    ]
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Guard:
    """Adds security headers to all answers; refuses long or unmeasured bodies of programs' questions."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        refusal = _refusal(scope)
        await (self.app if refusal is None else refusal)(scope, receive, with_headers)


def _refusal(scope: Scope) -> JSONResponse | None:
    if scope["method"] != "POST" or not scope["path"].startswith(("/api/", "/mcp")):
        return None
    length = Headers(scope=scope).get("content-length", "")
    if not length.isdigit():
        return JSONResponse({"detail": "Send the length of the body (Content-Length)."}, status_code=411)
    if int(length) > MOST_BYTES:
        return JSONResponse({"detail": f"The body is longer than {MOST_BYTES} bytes."}, status_code=413)
    return None
