"""The page's server in the daemon's own loop: it can neither end the daemon nor hold it up, nor the other way round."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator

import structlog
import uvicorn

from collector.config import Config, Http
from collector.expose.app import make_app
from collector.expose.faults import PortTakenError
from collector.expose.health import Health
from collector.expose.site import SHARED_S, Origin, Site

log = structlog.get_logger()

CONNECTIONS = 64  # at one time; beyond, an answer 503
KEEP_ALIVE_S = 5
HEADER_BYTES = 16_384  # of a request, before it is refused
STOP_S = 2  # for answers on their way when the daemon ends
BACKLOG = 64  # connections that wait to be accepted


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: the daemon has its own."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


class PageServer:
    """Serves page and API while the daemon runs."""

    def __init__(
        self,
        config: Config,
        http: Http,
        health: Health,
        shared_s: float = SHARED_S,
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        origin = Origin(config.collector, config.store, health, now_ms)
        self.site = Site(origin, shared_s)
        app = make_app(self.site, (http.host, *http.names))
        self._http = http
        self._server = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                ws="none",
                http="h11",
                loop="none",
                limit_concurrency=CONNECTIONS,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=STOP_S,
                h11_max_incomplete_event_size=HEADER_BYTES,
            )
        )
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where the page is."""
        host = f"[{self._http.host}]" if ":" in self._http.host else self._http.host
        return f"http://{host}:{self._http.port}/"

    def start(self) -> None:
        """Listen and say where; when the port is taken it says so, and the daemon goes on without a page."""
        try:
            listening = listen(self._http)
        except PortTakenError as error:
            log.error("no page", fault=str(error))
            return
        self._task = asyncio.create_task(self._server.serve([listening]), name="page")
        self._task.add_done_callback(_ended)
        log.info("page", url=self.url)

    async def stop(self) -> None:
        """End, with the answers that are on their way."""
        if self._task is not None:
            self._server.should_exit = True
            await asyncio.gather(self._task, return_exceptions=True)


def listen(http: Http) -> socket.socket:
    """A socket that listens.

    Raises:
        PortTakenError: somebody else does, or the address is not of this machine.
    """
    family = socket.AF_INET6 if ":" in http.host else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((http.host, http.port))
        made.listen(BACKLOG)
    except OSError as error:
        made.close()
        raise PortTakenError("a free port", str(error.strerror), f"{http.host}:{http.port}") from None
    return made


def _ended(task: asyncio.Task[None]) -> None:
    """The page may end by a fault of its own: it is said, and readings are received all the same."""
    fault = None if task.cancelled() else task.exception()
    if fault is not None:
        log.error("the page ended", fault=repr(fault))
