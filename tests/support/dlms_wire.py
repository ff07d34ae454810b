"""A client's session and the server half of a meter, and what lies between them: answers changed on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from protocols.dlms import data as axdr
from protocols.dlms.access import Access, Auth, Framing
from protocols.dlms.action import ActionResult, Method
from protocols.dlms.data import Data, Tag
from protocols.dlms.get import AccessResult, Selection
from protocols.dlms.initiate import OURS, Conformance
from protocols.dlms.objects import Attribute
from protocols.dlms.server import HdlcServer, Server, WrapperServer
from protocols.dlms.services import BlockSender
from protocols.dlms.session import Done, Failed, Send, Session

ACCESS = Access(client=32, auth=Auth.LLS, password=b"12345678")
MAX_PDU, FRAME_SIZE, BLOCK_SIZE = 100, 40, 60  # bytes: small, so that little data take many turns
STEPS_MAX = 4_000  # of one conversation: any loop without progress ends here
NAMES = tuple(Attribute.of(3, f"1-0:{number}.8.0") for number in range(1, 13))
LONG = Attribute.of(7, "1-0:99.1.0")
MISSING = Attribute.of(3, "1-0:99.8.0")
TEXT = Attribute.of(1, "0-0:96.2.0")
OTHER = Attribute.of(1, "0-0:96.4.0")  # can be set as TEXT can
ECHO = Method(64, bytes((0, 0, 43, 0, 0, 255)), 7)  # gives back what it is given
QUIET = Method(64, bytes((0, 0, 43, 0, 0, 255)), 6)  # takes what it is given
DENIED = Attribute.of(1, "0-0:96.3.0")
Change = Callable[[int, bytes], list[bytes]]


def unchanged(turn: int, octets: bytes) -> list[bytes]:
    """As it is."""
    return [octets]


class Shelf:
    """Objects that are read and set."""

    def __init__(self) -> None:
        rows = (axdr.structure(axdr.octet_string(bytes(range(12))), Data(Tag.LONG, n)) for n in range(20))
        self.values: dict[Attribute, Data] = {LONG: axdr.array(*rows), TEXT: axdr.octet_string(b"before")}
        self.values |= {name: Data(Tag.DOUBLE_LONG_UNSIGNED, 1_000 + n) for n, name in enumerate(NAMES)}
        self.times_set = 0
        self.acted: list[Data | None] = []

    def associated(self, client: int) -> None:
        """Nothing is latched."""

    def get(self, attribute: Attribute, selection: Selection | None, client: int) -> Data | AccessResult:
        """What is there."""
        return self.values.get(attribute, AccessResult.OBJECT_UNDEFINED)

    def set(self, attribute: Attribute, value: Data, client: int) -> AccessResult:
        """Two things may be set."""
        if attribute not in {TEXT, OTHER}:
            return AccessResult.READ_WRITE_DENIED
        self.values[attribute] = value
        self.times_set += 1
        return AccessResult.SUCCESS

    def act(self, method: Method, parameter: Data | None, client: int) -> ActionResult | Data:
        """Give back what comes, or be quiet about it."""
        if method not in {ECHO, QUIET}:
            return ActionResult.OBJECT_UNDEFINED
        self.acted.append(parameter)
        return ActionResult.SUCCESS if method == QUIET or parameter is None else parameter


def half_of(server: Server, framing: Framing, window: int = 1) -> WrapperServer | HdlcServer:
    """The server behind a framing; of HDLC in small frames."""
    return (
        WrapperServer(server, 1)
        if framing is Framing.WRAPPER
        else HdlcServer(server, 1, None, FRAME_SIZE, None, window)
    )


class Conversation:
    """Carries what a session sends to a server and its answers back; `down` and `up` change them by their turn."""

    def __init__(
        self, session: Session, half: WrapperServer | HdlcServer, down: Change = unchanged, up: Change = unchanged
    ) -> None:
        self.session, self.half = session, half
        self.heard: list[bytes] = []  # what the server answered, in turns
        self.sent: list[bytes] = []
        self._down, self._up = down, up

    def run(self) -> Done | Failed:
        """Until what was begun is done."""
        pieces: list[bytes] = []
        for _ in range(STEPS_MAX):
            step = self.session.next()
            if isinstance(step, Done | Failed):
                return step
            if isinstance(step, Send):
                self.sent.append(step.octets)
                out = b"".join(self.half.received(each) for each in self._up(len(self.sent) - 1, step.octets))
                self.heard.append(out)
                pieces += self._down(len(self.heard) - 1, out)
            elif pieces:
                self.session.received(pieces.pop(0))
            else:
                late = self.half.silence() if isinstance(self.half, HdlcServer) else b""
                pieces += [late] if late else []
                self.session.timed_out()
        raise AssertionError("a loop without progress")

    def associate(self) -> Done | Failed:
        """Link and association."""
        self.session.associate()
        return self.run()

    def get(self, attribute: Attribute) -> Done | Failed:
        """One attribute."""
        self.session.get(attribute)
        return self.run()

    def release(self) -> Done | Failed:
        """The end of both."""
        self.session.release()
        return self.run()


class Wire(Conversation):
    """Such a conversation with a shelf of objects."""

    def __init__(
        self,
        framing: Framing,
        down: Change = unchanged,
        up: Change = unchanged,
        offered: Conformance = OURS & ~Conformance.GENERAL_BLOCK_TRANSFER,
        *,
        window: int = 1,
        max_pdu: int = MAX_PDU,
    ) -> None:
        """`window` is how many frames both sides take."""
        self.shelf = Shelf()
        sender = BlockSender(BLOCK_SIZE, 2, framing is Framing.WRAPPER)
        blocks = sender if offered & Conformance.GENERAL_BLOCK_TRANSFER else None
        shelf = self.shelf
        server = Server(shelf, (ACCESS,), max_pdu, settable=shelf, offered=offered, sender=blocks, acting=shelf)
        session = Session(replace(ACCESS, window=window, acts=True), framing)
        super().__init__(session, half_of(server, framing, window), down, up)

    def get_list(self, *attributes: Attribute) -> Done | Failed:
        """Several."""
        self.session.get_list(attributes)
        return self.run()

    def set(self, attribute: Attribute, value: Data) -> Done | Failed:
        """Set one."""
        self.session.set(attribute, value)
        return self.run()

    def set_list(self, *values: tuple[Attribute, Data]) -> Done | Failed:
        """Set several."""
        names, given = zip(*values, strict=True)
        self.session.set_list(names, given)
        return self.run()

    def act(self, method: Method, parameter: Data | None = None) -> Done | Failed:
        """Do something."""
        self.session.act(method, parameter)
        return self.run()
