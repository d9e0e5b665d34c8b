"""Who may ask, and how often: HTTP Basic for a shared password, and a limit per address."""

import base64
import binascii
import hmac
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from quant.errors import IloraError

OPEN_PATHS = frozenset({"/health"})
"""A container's health check knows no password."""
ASKING = ("/api/", "/mcp", "/gradio_api/queue/join", "/gradio_api/call/", "/gradio_api/run/")
"""What reaches the model; pictures, scripts and search as one types are not counted."""
OTHER_PAGE = re.compile(r"^/data/[^/]*(?=/)")
"""Stands before all paths of the page of a further data set."""
MOST_ADDRESSES = 10_000


class AccessError(IloraError):
    """A password or limit that cannot be used."""


@dataclass(frozen=True)
class Login:
    """One shared name and password."""

    user: str
    password: str

    @classmethod
    def parse(cls, text: str) -> "Login":
        """ "name:password" -> Login. Raises AccessError."""
        user, colon, password = text.partition(":")
        if not (user and colon and password):
            raise AccessError("--auth needs a name and a password with a colon between: --auth team:secret.")
        return cls(user, password)

    def admits(self, header: str) -> bool:
        """Whether an Authorization header carries them; takes equally long whatever is wrong."""
        scheme, _, encoded = header.partition(" ")
        try:
            given = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError):
            given = b""
        same = hmac.compare_digest(given, f"{self.user}:{self.password}".encode())
        return same and scheme.lower() == "basic"


class Rate:
    """At most `per_minute` questions of one address, spread evenly with a burst of as many (token bucket).

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self._clock = per_minute, clock
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> (tokens, when)

    def wait(self, address: str) -> float:
        """Take one question; 0 if it may be asked, else the seconds until the next may."""
        now = self._clock()
        tokens, when = self._left.pop(address, (float(self.per_minute), now))
        tokens = min(float(self.per_minute), tokens + (now - when) * self.per_minute / 60)
        allowed = tokens >= 1
        self._left[address] = (tokens - 1 if allowed else tokens, now)
        if len(self._left) > MOST_ADDRESSES:  # whoever asked longest ago has a full bucket again anyway
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) * 60 / self.per_minute


class Access:
    """Asks for the password, then counts; what it refuses, nobody behind it sees."""

    def __init__(self, app: ASGIApp, login: Login | None, rate: Rate | None) -> None:
        self.app, self.login, self.rate = app, login, rate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._refusal(scope) if scope["type"] in ("http", "websocket") else None
        await (self.app if refusal is None else refusal)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        path = scope["path"]
        if (
            self.login is not None
            and path not in OPEN_PATHS
            and not self.login.admits(Headers(scope=scope).get("authorization", ""))
        ):
            told = {"kind": "Unauthorized", "detail": "A name and a password are needed."}
            challenge = {"WWW-Authenticate": 'Basic realm="ilora", charset="UTF-8"'}
            return JSONResponse(told, 401, headers=challenge)
        if self.rate is None or not OTHER_PAGE.sub("", path).startswith(ASKING):
            return None
        address = (scope.get("client") or ("unknown", 0))[0]
        seconds = self.rate.wait(address)
        if seconds == 0:
            return None
        told = {
            "kind": "TooMany",
            "detail": f"More than {self.rate.per_minute} questions a minute: wait {seconds:.0f} s.",
        }
        return JSONResponse(told, 429, headers={"Retry-After": str(max(1, round(seconds)))})
