"""The pipe over MQTT 3.1.1 and TLS with client certificates; the only file that touches aiomqtt and paho.

The broker is asked to remember nothing: clean sessions, nothing retained, a new random client id per connection (a
stolen id would evict a session otherwise). QoS 1 is used so that the broker's PUBACK paces the sender; what it says
about a message's fate is worth nothing here (the uplink's own signed acknowledgements are what counts), and an incoming
message is acknowledged to the broker when it is received, not when it is used.

A packet over `PACKET_LIMIT` closes the connection before its payload is buffered: paho offers no such limit, so its
private `_sock_recv`, which is asked for the payload's whole length first, is replaced on the client (paho is pinned to
its minor version for that). A half-open connection is found within 60 s: by keep-alive pings (25 s and 25 s more), and
by the kernel when data wait for 30 s without an answer.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TypeVar, cast

import aiomqtt
from paho.mqtt.client import Client as Paho

from protocols.errors import LinkError
from protocols.transports.pipe import (
    FIXED_HEADER,
    PACKET_LIMIT,
    PUBLISH_OVERHEAD,
    ConnectError,
    LinkLostError,
    PacketTooLongError,
    PipeCounters,
    PipeSettings,
    PublishTimeoutError,
    SubscribeError,
    new_client_id,
    socket_options,
)
from protocols.transports.tls import TlsContext, client_context, diagnose

# MQTT 3.1.1, 3.9.3: the return code of a refused subscription.
SUBACK_FAILURE = 0x80

# A polite end may take this long; then the socket is closed.
_SAME_READ_S = 0.1  # turns of the loop, not of the network
_FAREWELL_S = 2.0

T = TypeVar("T")

# aiomqtt and paho log what they also raise; the raised error is what we report, once, where it is handled.
_SILENT = logging.getLogger("plomba.mqtt")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_SILENT.setLevel(logging.CRITICAL + 1)


class Pipe:
    """One live connection to the broker; made by `connect`, of no use after it."""

    def __init__(self, client: aiomqtt.Client, guard: _Guard, settings: PipeSettings) -> None:
        self._client = client
        self._guard = guard
        self._settings = settings
        self.counters = guard.counters

    @property
    def client_id(self) -> str:
        """The random id of this connection."""
        return self._client.identifier

    def peer_certificate(self) -> bytes:
        """The broker's certificate (DER), for `tls.check_dates` once there is a time to check against."""
        secured = self._guard.paho.socket()
        der = secured.getpeercert(binary_form=True) if isinstance(secured, ssl.SSLSocket) else None
        if der is None:
            raise self._guard.error()
        return der

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Receive what is published on `topics` from now on (QoS 1).

        Raises:
            SubscribeError: refused or unanswered.
            LinkLostError: the connection ended.
        """
        wanted = list(topics)
        place = ", ".join(wanted)
        call = self._client.subscribe([(topic, 1) for topic in wanted], timeout=self._settings.connect_timeout_s)
        try:
            granted = await self._guard.while_connected(call)
        except aiomqtt.MqttError as error:
            raise SubscribeError("a subscription", str(error), place) from error
        codes = [code if isinstance(code, int) else code.value for code in granted]
        refused = [topic for topic, code in zip(wanted, codes, strict=True) if code >= SUBACK_FAILURE]
        if refused:
            raise SubscribeError("a subscription", "a refusal", ", ".join(refused))

    async def unsubscribe(self, topics: Iterable[str]) -> None:
        """Receive what is published on `topics` no longer: as they were subscribed to.

        Raises:
            SubscribeError: unanswered.
            LinkLostError: the connection ended.
        """
        wanted = list(topics)
        call = self._client.unsubscribe(wanted, timeout=self._settings.connect_timeout_s)
        try:
            await self._guard.while_connected(call)
        except aiomqtt.MqttError as error:
            raise SubscribeError("the end of a subscription", str(error), ", ".join(wanted)) from error

    async def publish(self, topic: str, payload: bytes) -> None:
        """Hand a message to the broker and wait for its PUBACK, which proves nothing.

        A broker acknowledges what its permissions deny, and may lose what it acknowledged: only the peer's own signed
        acknowledgement counts. Returning means that the broker is alive and the line has room. After a timeout the
        message is still under way: leave the connection.

        Raises:
            PacketTooLongError: the packet would be over `PACKET_LIMIT`; nothing was sent.
            PublishTimeoutError: no PUBACK within `publish_timeout_s`.
            LinkLostError: the connection ended.
        """
        length = PUBLISH_OVERHEAD + len(topic.encode()) + len(payload)
        if length > PACKET_LIMIT:
            raise PacketTooLongError(f"at most {PACKET_LIMIT} bytes", f"{length}", f"a message to {topic}")
        call = self._client.publish(topic, payload, qos=1, timeout=self._settings.publish_timeout_s)
        try:
            await self._guard.while_connected(call)
        except aiomqtt.MqttError as error:
            raise PublishTimeoutError("a PUBACK", str(error), topic) from error

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """Topic and payload of what comes in, until the connection ends.

        Raises:
            PacketTooLongError: the other side sent a packet over the limit; the connection is closed.
            LinkLostError: the connection ended otherwise.
        """
        incoming = self._client.messages
        while True:
            try:
                message = await anext(incoming)
            except aiomqtt.MqttError as error:
                raise self._guard.error() from error
            payload = message.payload
            yield message.topic.value, payload if isinstance(payload, bytes) else b""

    async def closed(self) -> None:
        """Return when the connection has ended, for whatever reason."""
        await self._guard.lost.wait()

    def abort(self) -> None:
        """Drop the connection without a farewell: the broker publishes the last will."""
        self._guard.drop()
        if not self._client._disconnected.done():
            self._client._disconnected.set_result(None)


class _Inbox(asyncio.Queue[aiomqtt.Message]):
    """Bounded by messages and by bytes; what does not fit is dropped by aiomqtt and counted here."""

    def __init__(self, settings: PipeSettings, counters: PipeCounters) -> None:
        super().__init__(settings.inbox_messages)
        self._room = settings.inbox_bytes
        self._counters = counters

    def put_nowait(self, item: aiomqtt.Message) -> None:
        if self.full() or _length(item) > self._room:
            self._counters.dropped += 1
            raise asyncio.QueueFull
        self._room -= _length(item)
        super().put_nowait(item)

    def _get(self) -> aiomqtt.Message:
        item = super()._get()
        self._room += _length(item)
        return item


class _Guard:
    """Watches one paho client: refuses long packets before they are read and knows when the connection has ended."""

    def __init__(self, paho: Paho, counters: PipeCounters) -> None:
        self.paho = paho
        self.counters = counters
        self.lost = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._receive = paho._sock_recv
        self._on_disconnect = paho.on_disconnect
        paho._sock_recv = self._bounded_receive  # type: ignore[method-assign]
        paho.on_disconnect = self._disconnected

    async def while_connected(self, call: Coroutine[None, None, T]) -> T:
        """The result of `call`, or the loss of the connection if that comes first."""
        answer = asyncio.ensure_future(call)
        loss = asyncio.ensure_future(self.lost.wait())
        try:
            await asyncio.wait({answer, loss}, return_when=asyncio.FIRST_COMPLETED)
            if self.lost.is_set() and not (answer.done() and answer.exception() is None):
                raise self.error()
            return answer.result()
        finally:
            loss.cancel()
            answer.cancel()

    def error(self) -> LinkError:
        """Why the connection ended."""
        if self.counters.too_long:
            return PacketTooLongError(
                f"packets of at most {PACKET_LIMIT} bytes", "a longer one", "what the broker sent"
            )
        return LinkLostError("a live connection", "its end", "the pipe")

    def watch(self, ended: asyncio.Future[None]) -> None:
        """From now on `ended`, which is aiomqtt's own, says as well that the connection is lost."""
        ended.add_done_callback(self._ended)

    def drop(self) -> None:
        """Close the socket at once."""
        self.lost.set()
        if self.paho.socket() is not None:
            self.paho._sock_close()

    def _ended(self, ended: asyncio.Future[None]) -> None:
        if not ended.cancelled():
            ended.exception()  # looked at, so that asyncio does not report it as forgotten
        self.lost.set()

    def _bounded_receive(self, bufsize: int) -> bytes:
        if bufsize > PACKET_LIMIT - FIXED_HEADER:
            self.counters.too_long += 1
            raise OSError("packet over the limit")
        return self._receive(bufsize)

    def _disconnected(self, *arguments: object) -> None:
        self._loop.call_soon_threadsafe(self.lost.set)
        if self._on_disconnect is not None:
            cast("Callable[..., None]", self._on_disconnect)(*arguments)


@asynccontextmanager
async def connect(settings: PipeSettings) -> AsyncIterator[Pipe]:
    """One connection to the broker, closed politely at the end; it never connects again by itself.

    Raises:
        ConnectError: none came about, with the reason in words.
        PacketTooLongError, LinkLostError: it ended as soon as it had come about.
        TlsFileError: our certificate files cannot be used.
    """
    context = await asyncio.to_thread(
        client_context,
        settings.ca,
        settings.certificate,
        settings.key,
        server_name=settings.server_name,
        ignore_dates=settings.ignore_dates,
    )
    client, guard = _client(settings, context)
    await _open(client, guard, settings, context)
    guard.watch(client._disconnected)  # a new one since the entry
    try:
        yield Pipe(client, guard, settings)
    finally:
        with suppress(aiomqtt.MqttError, TimeoutError):
            await asyncio.wait_for(client.__aexit__(None, None, None), _FAREWELL_S)
        guard.drop()


def _client(settings: PipeSettings, context: TlsContext) -> tuple[aiomqtt.Client, _Guard]:
    counters = PipeCounters()
    inbox = _Inbox(settings, counters)
    will = None
    if settings.will_topic is not None:
        will = aiomqtt.Will(settings.will_topic, settings.will_payload, qos=1, retain=False)
    client = aiomqtt.Client(
        settings.host,
        settings.port,
        logger=_SILENT,
        identifier=new_client_id(),
        queue_type=cast("type[asyncio.Queue[aiomqtt.Message]]", lambda maxsize: inbox),
        protocol=aiomqtt.ProtocolVersion.V311,
        will=will,
        clean_session=True,
        timeout=settings.connect_timeout_s,
        keepalive=settings.keepalive_s,
        tls_context=context,
        socket_options=socket_options(),
    )
    client._client.connect_timeout = settings.connect_timeout_s
    return client, _Guard(client._client, counters)


async def _open(client: aiomqtt.Client, guard: _Guard, settings: PipeSettings, context: TlsContext) -> None:
    """Enter the client, or say why it does not come about.

    aiomqtt waits for its timeout when a broker refuses our certificate, and says only "Operation timed out": the early
    end of the connection is noticed here, and a handshake of its own finds the words.
    """
    guard.watch(client._disconnected)
    entering = asyncio.ensure_future(client.__aenter__())
    loss = asyncio.ensure_future(guard.lost.wait())
    try:
        await asyncio.wait({entering, loss}, timeout=settings.connect_timeout_s, return_when=asyncio.FIRST_COMPLETED)
        if guard.lost.is_set():  # CONNACK and the end may come in one read: the entry needs another turn of the loop
            await asyncio.wait({entering}, timeout=_SAME_READ_S)
    except asyncio.CancelledError:
        _discard(entering, guard)
        raise
    finally:
        loss.cancel()
    failure = entering.exception() if entering.done() else TimeoutError("no answer in time")
    if failure is None and not guard.lost.is_set():
        return
    _discard(entering, guard)
    if failure is None:
        raise guard.error()
    words = await asyncio.to_thread(diagnose, settings.host, settings.port, context)
    raise ConnectError("a connection", words or str(failure), f"{settings.host}:{settings.port}")


def _discard(entering: asyncio.Future[aiomqtt.Client], guard: _Guard) -> None:
    """Close what there is now, and what a thread that is still connecting may yet open."""

    def close(entered: asyncio.Future[aiomqtt.Client]) -> None:
        if not entered.cancelled():
            entered.exception()
        guard.drop()

    guard.drop()
    entering.add_done_callback(close)


def _length(message: aiomqtt.Message) -> int:
    return len(message.payload) if isinstance(message.payload, bytes) else 0
