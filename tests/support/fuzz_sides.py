"""Fuzz targets: the gateway and the collector as wholes, fed with messages; what they keep is renewed now and then."""

from __future__ import annotations

import asyncio
import atexit
import random
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Generic, TypeVar

import mutators
import pytest
import samples as s
from chain import Bench
from fuzz_uplink import BODY, FIRST, HEADERS, PACKETS, REQUEST_FILE, TRUST_FILE, either
from fuzzing import Target, Work
from gateway_parts import Centre, Rig

from collector.faults import UnexpectedError
from collector.store.devices import devices_of
from collector.store.evidence import UNDECODED
from collector.store.gateways import ACTIVE, GatewayKey, Registered
from collector.store.sqlite import SqliteStore
from collector.verify import Checker, Message, Refused
from gateway import local
from gateway.about import About, Jump, Ticking
from gateway.answers import Answers
from gateway.forward import Forward
from gateway.link import Conversation, Link, LivePipe, Party
from gateway.marks import NO_ORDER
from gateway.redact import Sieve, secrets_of
from gateway.writer import InlineWriter
from protocols.errors import PlombaError
from protocols.transports.pipe import PipeSettings
from protocols.uplink import body, envelope, limits, topics
from protocols.uplink.envelope import Codec, Content
from protocols.uplink.header import ClockShown, ClockSource, ClockState, Core
from protocols.uplink.pack import Wire, pack, unpack

LONGEST_OUT = 8  # bytes: a shorter secret may come to stand where another one was taken out
RENEWED = 2_000  # inputs to one store or buffer: they grow
Held = TypeVar("Held")


class NotTakenError(PlombaError):
    """What a whole refused without raising, with the code that it gave."""

    def __init__(self, code: str, why: str) -> None:
        super().__init__("a message that is taken", why)
        self.code = code  # type: ignore[misc]


@cache
def folder(name: str) -> Path:
    """A folder that is gone when the process ends."""
    made = Path(tempfile.mkdtemp(prefix=f"plomba-fuzz-{name}-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


class Renewed(Generic[Held]):
    """Something in a folder that is made anew after a number of uses."""

    def __init__(self, make: Callable[[Path], Held], name: str) -> None:
        self._make, self._name, self._left = make, name, 0
        self._held: Held | None = None

    def __call__(self) -> Held:
        """It, made anew when it is due."""
        self._left -= 1
        if self._left < 0 or self._held is None:
            place = folder(self._name)
            shutil.rmtree(place)
            place.mkdir()
            self._held, self._left = self._make(place), RENEWED
        return self._held


@cache
def checker() -> Checker:
    """A collector that knows one gateway, by two keys."""
    keys = {key.id: GatewayKey(key, ACTIVE) for key in (s.SEALING.public, s.SEALING_P256.public)}
    known = {s.GATEWAY: Registered(s.GATEWAY, s.GATEWAY_BOX.public, keys)}
    return Checker(s.COLLECTOR, {s.COLLECTOR_BOX.public.id: s.COLLECTOR_BOX}, s.ACK.public, known)


def to_collector(kind: str, packet: bytes) -> None:
    """What a collector makes of a packet; a refusal is its error."""
    found = checker().check(Message(topics.parse(topics.up(s.GATEWAY, kind)), packet, s.START_MS))
    if isinstance(found, Refused):
        raise found.error


def any_message(octets: bytes) -> None:
    """A packet under each topic, whatever it was made for."""
    to_collector("status", octets)
    either(*(partial(to_collector, kind, octets) for kind in ("reply", "hello", "batch")))


def signed_message(octets: bytes) -> None:
    """The header of a batch or a hello (it has fewer elements), signed and boxed."""
    kind = "batch" if octets[:1] >= b"\x9c" else "hello"
    coded, content = (FIRST.content.codec, FIRST.content.body) if kind == "batch" else (Codec.PLAIN, b"")
    made = Content(octets, s.SEALING.sign(kind, octets), coded, content)
    to_collector(kind, envelope.close(made, kind, s.GATEWAY, s.COLLECTOR_BOX.public))


def _bench(place: Path) -> Bench:
    store = SqliteStore.open(place / "collector.sqlite3")
    store._connection.execute("PRAGMA synchronous = OFF")  # nothing here has to survive
    return Bench(store)


bench = Renewed(_bench, "collector")


def stored_body(octets: bytes) -> None:
    """A body in a batch that holds, through the collector into its store: decoded, or kept with a reason."""
    found, root, count = bench(), bytes(32), 1
    try:
        expanded = body.expand(octets)
        root, count = expanded.root(), len(expanded.leaves)
    except PlombaError:
        pass  # it is sealed all the same
    found.take(found.chain.seal_body(octets or b"\0", root=root, leaves=count))
    sql = "SELECT state, fault FROM evidence ORDER BY n DESC LIMIT 1"
    state, fault = found.store._connection.execute(sql).fetchone()
    if state == UNDECODED:
        assert UnexpectedError.code not in fault, fault
        raise NotTakenError(fault[:8], fault)


class _Pipe:
    """One message that comes down."""

    def __init__(self, topic: str, packet: bytes) -> None:
        self.coming = ((topic, packet),)

    async def messages(self) -> AsyncIterator[tuple[str, bytes]]:
        """It, and then the end."""
        for each in self.coming:
            yield each

    async def subscribe(self, topics: Iterable[str]) -> None:
        """Nothing else comes."""

    async def publish(self, topic: str, payload: bytes) -> None:
        """Nobody hears it."""

    def peer_certificate(self) -> bytes:
        """None."""
        return b""


class Listening:
    """A gateway's link with some batches in its buffer, as it listens to its collector."""

    def __init__(self, place: Path) -> None:
        rig = Rig(place)
        for _ in range(3):
            _LOOP.run_until_complete(rig.seal())
        centre = Centre(s.GATEWAY_BOX, s.ACK, s.COLLECTOR_BOX)
        self.said = centre.say([rig.all()], [rig.all()], nonce=bytes(16), gateway=s.GATEWAY, collector=s.COLLECTOR)
        self.talk, uniform = Conversation(NO_ORDER, None), random.Random(3).uniform
        self.counted: list[tuple[str, str]] = []
        self.link = Link(
            Party(s.GATEWAY, rig.key, s.GATEWAY_BOX, replace(centre.trust, collector=s.COLLECTOR)),
            PipeSettings("broker", 1, Path("ca"), None, None),
            _connect,
            Forward(rig.chain, uniform, None),
            rig.chain,
            rig.buffer,
            InlineWriter(),
            rig.sealer,
            rig.clock,
            self.talk,
            random.Random(4).randbytes,
            uniform,
        )
        about = About(Core("test", bytes(32)), bytes(32), 1)
        self.answers = Answers(rig.buffer, InlineWriter(), rig.clock, about, {})
        self.answers.link = self.link
        self.link._count = self._count  # type: ignore[method-assign]

    async def _count(self, name: str, code: str) -> None:
        self.counted.append((name, code))

    def hear(self, kind: str, packet: bytes) -> None:
        """Hand over a message; what is counted as not taken is its error."""
        self.talk.order, self.talk.nonce = NO_ORDER, bytes(16)
        self.counted.clear()
        run(self.link._receive(_Pipe(topics.down(s.GATEWAY, kind), packet)))
        for name, code in self.counted:
            raise NotTakenError(code, name)

    def ask(self, question: bytes) -> None:
        """A question at the local socket; a refusal is its error."""
        self.talk.order = NO_ORDER
        said = list[Wire]()

        async def asked() -> None:
            said.extend(await local.answer(self.answers.verbs(), question))

        run(asked())
        if said[0] is not True:
            raise NotTakenError("a question that is answered", str(said[1]))


@asynccontextmanager
async def _connect(_: PipeSettings) -> AsyncIterator[LivePipe]:
    yield _Pipe("", b"")


_LOOP = asyncio.new_event_loop()  # sealing goes on in a task of its own


def run(work: object) -> None:
    """A coroutine that waits for nothing but what is there already."""
    try:
        work.send(None)  # type: ignore[attr-defined]
    except StopIteration:
        return
    raise AssertionError("it waits")


listening = Renewed(Listening, "gateway")


def to_gateway(octets: bytes) -> None:
    """A packet on each topic that a gateway hears: acknowledgements are checked, the others counted, never obeyed."""
    here = listening()
    for kind in ("command", "trust"):
        with pytest.raises(NotTakenError, match=kind):
            here.hear(kind, octets)
    here.hear("ack", octets)


def signed_word(octets: bytes) -> None:
    """The header of an acknowledgement, signed and boxed: its ranges meet a chain."""
    made = Content(octets, s.ACK.sign("ack", octets), Codec.PLAIN, b"")
    listening().hear("ack", envelope.close(made, "ack", s.GATEWAY, s.GATEWAY_BOX.public))


def to_socket(octets: bytes) -> None:
    """A question at a gateway's local socket."""
    listening().ask(octets)


def of_a_daemon(octets: bytes) -> None:
    """What a command hears at a socket: it may be another program's."""
    said = unpack(octets, local.MOST, "answer")
    with suppress(PlombaError):
        About.from_wire(said)
    Ticking.from_wire(said)


def support_text(octets: bytes) -> None:
    """A secret's file, a configuration and a log, whatever is in them: nothing of the secret is shown."""
    secrets = secrets_of(octets)
    sieve, text = Sieve.of(secrets), octets.decode("utf-8", "replace")
    shown = sieve.text(text)
    assert sieve.known is None or not any(each in shown.encode() for each in secrets if len(each) >= LONGEST_OUT)
    assert sieve.toml(text, {"name"}, ()).count("\n") == text.count("\n")


def shown_devices(octets: bytes) -> None:
    """The content of a configuration that a gateway sealed; one that is not understood names no device."""
    for bus, device in devices_of(octets):
        assert len(bus) + len(device) <= 2 * limits.TEXT


def _question() -> bytes:
    said: bytes = listening().said
    return pack(["hear", said])


def _word() -> bytes:
    said = listening().said
    return envelope.open_envelope(said, "ack", s.GATEWAY, {s.GATEWAY_BOX.public.id: s.GATEWAY_BOX}).header


_CONTENT = pack([1, s.GATEWAY, [["riser", [["heat-1", 1, 5, [None, "60300001", None, None], "1"]]]]])
_TEXT = b'[broker] # x\nname = "a"\nlist = ["1", 2]\nurl = "tcp://u:p@h:1"\npassword=geheim\n'
_PEM = b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIGZ1enpmdXp6ZnV6emZ1enpmdXp6ZnV6emZ1enpmdXp6\n-----END"
_ABOUT = pack(About(Core("1.0", bytes(32)), bytes(32), 7).to_wire())
_SHOWN = ClockShown(ClockState.SET, ClockSource.SYSTEM, 0, None, 1, bytes(16), 1)
_TICKING = pack(Ticking(1, _SHOWN, (Jump(1, -1),)).to_wire())
TARGETS = (
    Target("collector-packet", (*PACKETS.values(), TRUST_FILE, REQUEST_FILE), any_message),
    Target(
        "collector-signed", (HEADERS["batch"], HEADERS["hello"]), signed_message, mutators.trees, work=Work(5_000, 60)
    ),
    Target("collector-body", (BODY,), stored_body, mutators.trees, work=Work(60_000, 60), cost=9),
    Target("collector-devices", (_CONTENT,), shown_devices, mutators.trees, only_values=True),
    # Once in a while an input meets a link that is made anew: the work of that counts, too.
    Target("gateway-packet", (PACKETS["ack"], HEADERS["ack"]), to_gateway, work=Work(20_000, 60)),
    Target("gateway-answer", (_TICKING, _ABOUT), of_a_daemon, mutators.trees, work=Work(5_000, 60)),
    Target(
        "gateway-support",
        (_TEXT, _PEM, b"00112233445566778899AABBCCDDEEFF\n"),
        support_text,
        work=Work(100_000, 5_000),
        inputs=2_000,
        soak_inputs=20_000,
        why="each compiles a pattern of its own",
        only_values=True,
    ),
    Target("gateway-question", (pack(["settle"]), _question()), to_socket, mutators.trees, work=Work(20_000, 60)),
    Target(
        "gateway-signed",
        (_word(), HEADERS["ack"]),
        signed_word,
        mutators.trees,
        work=Work(20_000, 60),
    ),
)
