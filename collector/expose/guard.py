"""What every request passes before anything else: its host name, its method; and what every answer carries.

There is no login: the page listens on the loopback address, and a host name that is not ours is refused, because a web
page of somebody else could otherwise have the browser ask us under its own name (DNS rebinding).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from collector.expose.faults import HostRefusedError, MethodRefusedError
from collector.expose.views import Problem
from protocols.errors import PlombaError

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
METHODS = ("GET", "HEAD")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
NO_STORE = (b"cache-control", b"no-store")
PROBLEM = "application/problem+json"
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(?::[0-9]{1,5})?")


class Guard:
    """Refuses foreign host names and everything but reading; adds the headers."""

    def __init__(self, app: ASGIApp, names: Iterable[str]) -> None:
        self._app = app
        self._names = frozenset({*LOOPBACK, *(_bracketed(each.lower()) for each in names)})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request (or the life of the app)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = list(message.get("headers", ()))
                cached = any(name == NO_STORE[0] for name, _ in headers)
                message = {**message, "headers": [*headers, *HEADERS, *(() if cached else (NO_STORE,))]}
            await send(message)

        fault = self._fault(scope)
        if fault is not None:
            await _refuse(fault, answer)
            return
        await self._app({**scope, "method": "GET"}, receive, answer)  # the server leaves the body of a HEAD out

    def _fault(self, scope: Scope) -> PlombaError | None:
        hosts = [value.decode("latin-1").lower() for name, value in scope["headers"] if name == b"host"]
        found = _HOST.fullmatch(hosts[0]) if len(hosts) == 1 else None
        if found is None or found.group(1).removesuffix(".") not in self._names:
            return HostRefusedError("a host name of this collector", ", ".join(hosts)[:120] or "none", "Host")
        if scope["method"] not in METHODS:
            return MethodRefusedError("GET or HEAD", str(scope["method"])[:20], "the request")
        return None


def problem(fault: PlombaError, status: int) -> Problem:
    """An error as RFC 9457 has it."""
    where = f" in {fault.where}" if fault.where else ""
    return Problem(
        title=(type(fault).__doc__ or "").strip().split("\n")[0],
        status=status,
        detail=f"expected {fault.expected}, got {fault.got}{where}",
        code=fault.code,
        expected=fault.expected,
        got=fault.got,
        do=fault.do,
    )


async def _refuse(fault: PlombaError, send: Send) -> None:
    status = 405 if isinstance(fault, MethodRefusedError) else 400
    body = json.dumps(problem(fault, status).model_dump()).encode()
    headers = [(b"content-type", PROBLEM.encode()), (b"content-length", str(len(body)).encode())]
    headers += [(b"allow", b"GET, HEAD")] if status == 405 else []
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def _bracketed(name: str) -> str:
    return f"[{name}]" if ":" in name and not name.startswith("[") else name
