"""The pipe against servers that misbehave: too long, silent, without TLS, expired, foreign."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from servers import Party, SiteTls, free_port, make_party

from collector.authority import Authority, Role
from collector.brokercheck import publish_packet
from protocols.transports.mqtt import connect
from protocols.transports.pipe import PACKET_LIMIT, ConnectError, LinkLostError, PacketTooLongError, PipeSettings
from protocols.transports.tls import CertificateDatesError, check_dates

CONNACK = b"\x20\x02\x00\x00"
Behaviour = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def settings(site: SiteTls, port: int) -> PipeSettings:
    """A gateway's settings for a server on `port`."""
    party = site.gateways[0]
    return PipeSettings("localhost", port, site.ca, party.certificate, party.key, connect_timeout_s=5.0)


@asynccontextmanager
async def server(behaviour: Behaviour, party: Party | None, ca: Path) -> AsyncIterator[int]:
    """A server on a free port that behaves so to each client, with TLS as `party` (None: without)."""
    context = None
    if party is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(party.certificate, party.key)
        context.load_verify_locations(ca)
        context.verify_mode = ssl.CERT_REQUIRED

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await behaviour(reader, writer)
        writer.transport.abort()

    port = free_port()
    listener = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    async with listener:
        yield port


async def read_packet(reader: asyncio.StreamReader) -> bytes:
    """One packet of up to 127 bytes."""
    head = await reader.readexactly(2)
    return head + await reader.readexactly(head[1])


async def after_header(site: SiteTls, header: bytes) -> tuple[Exception, bytes | None]:
    """Send `header` and no more; the client's error and what the server read after it (b"": a close; None: nothing)."""
    seen: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_packet(reader)
        writer.write(CONNACK + header)
        try:
            seen.set_result(await asyncio.wait_for(reader.read(100), 5))
        except TimeoutError:
            seen.set_result(None)

    async with server(behave, site.broker, site.ca) as port:
        with pytest.raises((LinkLostError, PacketTooLongError)) as caught:
            async with connect(settings(site, port)) as pipe:
                await asyncio.wait_for(anext(pipe.messages()), 5)
        return caught.value, await seen


async def test_a_packet_of_5_mb_is_refused_by_its_header_alone(site_tls: SiteTls) -> None:
    """The server sends the length and not one byte of payload: the client has closed already."""
    error, answer = await after_header(site_tls, publish_packet("plomba/v1/00/x", bytes(5_000_000))[:5])
    assert isinstance(error, PacketTooLongError)
    assert answer == b""


async def test_the_first_byte_over_the_limit_is_refused(site_tls: SiteTls) -> None:
    """A packet of PACKET_LIMIT bytes is awaited, one of a byte more is not."""
    body = PACKET_LIMIT - 4 + 1
    length = bytes([body & 0x7F | 0x80, body >> 7 & 0x7F | 0x80, body >> 14])
    error, _answer = await after_header(site_tls, b"\x32" + length)
    assert isinstance(error, PacketTooLongError)


async def test_a_length_of_five_bytes_is_refused(site_tls: SiteTls) -> None:
    """MQTT 3.1.1, 2.2.3: four at most."""
    error, answer = await after_header(site_tls, b"\x32\xff\xff\xff\xff\x01")
    assert isinstance(error, LinkLostError)
    assert answer == b""


async def test_a_full_inbox_drops_and_counts(site_tls: SiteTls) -> None:
    """Ten messages of 100 bytes come before anyone reads; three fit, seven are counted."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_packet(reader)
        writer.write(CONNACK + publish_packet("plomba/v1/00/x", bytes(100)) * 10)
        await reader.read()

    async with (
        server(behave, site_tls.broker, site_tls.ca) as port,
        connect(replace(settings(site_tls, port), inbox_bytes=399)) as pipe,
    ):
        await asyncio.sleep(0.5)
        assert pipe.counters.dropped == 7
        for _ in range(3):
            assert (await anext(pipe.messages()))[1] == bytes(100)


async def test_a_silent_broker_is_found_within_two_keepalives(site_tls: SiteTls) -> None:
    """L03: the ping has no answer; with 25 s that is under 60 s."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_packet(reader)
        writer.write(CONNACK)
        await asyncio.sleep(60)

    async with (
        server(behave, site_tls.broker, site_tls.ca) as port,
        connect(replace(settings(site_tls, port), keepalive_s=2)) as pipe,
    ):
        started = time.monotonic()
        await asyncio.wait_for(pipe.closed(), 20)
        assert time.monotonic() - started <= 2 * 2 + 3


async def test_a_portal_without_tls_gets_no_byte_of_ours(site_tls: SiteTls) -> None:
    """L05: what answers on the port is no TLS; nothing but TLS handshakes reached it, and the reason is in words."""
    received = bytearray()

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read(4096))
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /login\r\n\r\n")
        await writer.drain()

    async with server(behave, None, site_tls.ca) as port:
        with pytest.raises(ConnectError, match="there is no TLS on this port"):
            async with connect(settings(site_tls, port)):
                pass
    assert received[:1] == b"\x16"  # TLS: a handshake record
    assert b"MQTT" not in received


async def test_a_host_that_never_answers_ends_in_time(site_tls: SiteTls) -> None:
    """The handshake is not waited for longer than the connection may take and the diagnosis needs."""

    async def behave(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()
        await asyncio.sleep(60)

    async with server(behave, None, site_tls.ca) as port:
        started = time.monotonic()
        with pytest.raises(ConnectError, match="no answer"):
            async with connect(replace(settings(site_tls, port), connect_timeout_s=1.0)):
                pass
        assert time.monotonic() - started < 10


async def test_a_host_that_drips_a_handshake_ends_in_time(site_tls: SiteTls) -> None:
    """L04: a record of 16 KiB at ten bytes a second holds neither the connection nor the diagnosis for long."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x16\x03\x03\x40\x00")
        while not writer.transport.is_closing():
            writer.write(b"\x02")
            await asyncio.sleep(0.1)

    async with server(behave, None, site_tls.ca) as port:
        started = time.monotonic()
        with pytest.raises(ConnectError, match="PLB-L201"):
            async with connect(replace(settings(site_tls, port), connect_timeout_s=1.0)):
                pass
        assert time.monotonic() - started < 10


async def test_an_aborted_pipe_ends_its_iterator(site_tls: SiteTls) -> None:
    """Who drops the connection is told like everybody else."""
    async with (
        server(silent, site_tls.broker, site_tls.ca) as port,
        connect(settings(site_tls, port)) as pipe,
    ):
        waiting = asyncio.ensure_future(anext(pipe.messages()))
        await asyncio.sleep(0.05)
        pipe.abort()
        with pytest.raises(LinkLostError):
            await asyncio.wait_for(waiting, 2)


async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A broker that lets everyone in and then says nothing."""
    await read_packet(reader)
    writer.write(CONNACK)
    await reader.read()


async def test_a_broker_of_an_unknown_authority_is_refused_in_words(site_tls: SiteTls, tmp_path: Path) -> None:
    """L06: nothing is sent, and the reason is the authority."""
    foreign = Authority.create(tmp_path / "authority", "Foreign")
    impostor = make_party(foreign, tmp_path, "broker", Role.BROKER, ("localhost",))
    async with server(silent, impostor, site_tls.ca) as port:
        with pytest.raises(ConnectError, match="unknown authority"):
            async with connect(settings(site_tls, port)):
                pass


async def test_a_broker_with_another_name_is_refused_in_words(site_tls: SiteTls, tmp_path: Path) -> None:
    """The site's own authority, but not this host."""
    other = make_party(site_tls.authority, tmp_path, "broker", Role.BROKER, ("elsewhere.example",))
    async with server(silent, other, site_tls.ca) as port:
        with pytest.raises(ConnectError, match="another name"):
            async with connect(settings(site_tls, port)):
                pass
        async with connect(replace(settings(site_tls, port), server_name="elsewhere.example")):
            pass


async def test_an_expired_broker_is_refused_unless_there_is_no_clock(site_tls: SiteTls, tmp_path: Path) -> None:
    """L06 and the clock rule: without a clock the dates are looked at later, and then they do not hold."""
    request_folder = tmp_path
    expired = make_party(site_tls.authority, request_folder, "broker", Role.BROKER, ("localhost",), days=0)
    await asyncio.sleep(1.1)
    async with server(silent, expired, site_tls.ca) as port:
        with pytest.raises(ConnectError, match="has expired"):
            async with connect(settings(site_tls, port)):
                pass
        async with connect(replace(settings(site_tls, port), ignore_dates=True)) as pipe:
            der = pipe.peer_certificate()
        now_ms = time.time_ns() // 1_000_000
        check_dates(der, now_ms - 60_000)
        with pytest.raises(CertificateDatesError, match="PLB-X201"):
            check_dates(der, now_ms + 60_000)


@pytest.mark.parametrize("der", [b"", b"junk", b"\x30\x82\x01\x00"])
def test_a_certificate_without_dates_is_refused_by_name(der: bytes) -> None:
    """A named error, with which the link tries again: another one would end the gateway."""
    with pytest.raises(CertificateDatesError, match="a certificate with dates"):
        check_dates(der, 0)
