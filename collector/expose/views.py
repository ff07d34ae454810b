"""What the page and the API show: frozen values, the same for both. Numbers of meters are decimal text, never floats.

Instants of ours are ISO 8601 in UTC with milliseconds; a meter's own times are as it shows them, without a zone.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Instant = Annotated[
    str,
    Field(
        description="ISO 8601 in UTC; 'N ms' (since 1970) where a clock was unset",
        examples=["2026-11-21T23:45:00.000Z"],
    ),
]
Meter = Annotated[str, Field(description="id of the meter in addresses", examples=["3f2a9c0d11e45b77"])]
Seconds = Annotated[int, Field(description="seconds")]


class Shown(BaseModel):
    """A frozen value that JSON can hold."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Value(Shown):
    """One register's number."""

    key: str = Field(description="the meter's own name of the register", examples=["mbus:06/0/0/0/0/0"])
    label: str = Field(description="the same in words", examples=["energy"])
    alike: bool = Field(description="another value of this reading has the same label: only the key tells them apart")
    value: str = Field(
        description="exact, as the meter shows it: decimal, text, time, or octets in hex", examples=["1001000"]
    )
    kind: Literal["number", "float32", "text", "time", "raw"]
    unit: str = Field(description="UCUM, empty where there is none", examples=["Wh"])
    state: Literal["ok", "invalid", "recurring", "error-state", "unknown"]
    time: str | None = Field(description="the value's own time as the meter shows it", examples=["2026-10-31"])
    status: int | None = Field(description="a raw status word of this value alone")
    main: bool = Field(description="one of the meter's main values")
    proof: str = Field(description="batch id and leaf that prove it", examples=["9f0c3b…:3"])


class Proof(Shown):
    """Where a reading was sealed."""

    batch: str = Field(description="id of the batch: SHA-256 of its header, hex", examples=["9f" * 32])
    leaf: int = Field(description="index of the leaf in the batch", ge=0)
    epoch: str = Field(description="hex")
    seq: int = Field(ge=1)
    command: str = Field(description="what writes the proof of this reading to a file")


class MeterTime(Shown):
    """The meter's own time as it shows it, never with a guessed zone."""

    shown: str = Field(examples=["2026-11-21T23:59"])
    precision: Literal["day", "minute", "second"]
    summer: bool = Field(description="the meter's summer-time flag")
    deviation_min: int | None = Field(description="minutes east of UTC, where the meter itself shows it")


class Reading(Shown):
    """One meter at one time, and whether it is still what was sealed."""

    gateway: str
    how: Literal["read", "profile", "storage", "push", "event_log"]
    part: int = Field(description="number of the leaf of a meter with many registers")
    slot: Instant | None = Field(description="the slot that it was read for")
    gateway_time: Instant
    age_s: Seconds = Field(
        description="seconds since the gateway's time, by the collector's clock; below 0: ahead of it"
    )
    clock_synchronised: bool = Field(description="whether the gateway's clock was synchronised then")
    clock_uncertainty_ms: int | None = Field(description="milliseconds; null: not known")
    meter_time: MeterTime | None
    status: tuple[str, ...] = Field(description="the meter's status bits in words", examples=[["power-low"]])
    status_raw: int | None = Field(description="the status word as sent")
    values: tuple[Value, ...]
    seal: Literal["holds", "altered"] = Field(
        description="holds: compared with its evidence just now, whose seal was verified again; altered: do not use"
    )
    held: tuple[str, ...] = Field(description="reasons why it is held from billing", examples=[["config"]])
    conflict: bool = Field(description="another reading of the same slot says something else")
    proof: Proof


class Series(Shown):
    """The readings of a meter that came in one way."""

    how: Literal["read", "profile", "storage", "push", "event_log"]
    part: int
    stored: int = Field(description="how many are stored")
    since: str = Field(description="time of the oldest, as its owner's clock shows it", examples=["2026-11-21T23:45"])
    usual_s: Seconds | None = Field(description="seconds between its last few slots, as most of them kept to")
    newest: Reading | None = Field(description="null: the row is gone; the seal then counts as altered")


class Failing(Shown):
    """What a gateway reported last of a device or its bus: it failed, and has not recovered."""

    what: Literal["bus", "device"] = Field(description="what failed")
    bus: str
    since: Instant
    code: str = Field(examples=["PLB-M101"])
    said: str = Field(description="in words", examples=["not answering since 2026-11-21 23:45:00 UTC"])
    meaning: str = Field(description="what the code means")
    do: str = Field(description="what to do")


class Unread(Shown):
    """A device that is configured, or that failed, and of which no reading is stored."""

    gateway: str
    bus: str
    device: str
    since: Instant = Field(description="when it was configured, else when it failed")
    late: bool = Field(description="an hour has passed and the gateway reports no reason")
    failing: Failing | None


class MeterView(Shown):
    """A meter with its last readings."""

    id: Meter
    name: str = Field(description="what the meter says it is", examples=["mbus:KAM/00000001"])
    device: str = Field(description="the gateway's name of what answered", examples=["heat-1"])
    sub: str | None = Field(description="the sub-meter behind it")
    protocol: str = Field(examples=["mbus"])
    gateway: str
    also_read_as: tuple[str, ...] = Field(description="other device names under which the same meter is read")
    failing: Failing | None = Field(description="what its gateway reported of it or its bus; null: nothing")
    unattributed_since: Instant | None = Field(
        description="it answers in another meter's place since then: its readings are nobody's until an exchange is"
        " recorded; null: it does not"
    )
    ended: bool = Field(description="another meter is in its place: nothing more is expected of it")
    late: bool = Field(
        description="nothing came for more than twice the distance of its last few slots, and at least 30 s"
    )
    late_since: Instant | None
    read_once: bool = Field(
        description="read once: how often is not known yet, and it is late after an hour, or twice what had passed"
        " of its slot"
    )
    seal: Literal["holds", "altered"]
    series: tuple[Series, ...]


class Clock(Shown):
    """A gateway's clock as of its last hello."""

    state: Literal["unset", "set", "synchronised"]
    source: Literal["none", "system", "ntp", "collector"]
    offset_ms: int | None = Field(description="milliseconds added to the system's clock")
    uncertainty_ms: int | None = Field(description="milliseconds; null: not known")


class Backlog(Shown):
    """Batches that a gateway held at its last hello and that are still not stored here."""

    batches: int
    at_least: bool = Field(description="the hello could not list all that it holds")
    said: Instant


class Case(Shown):
    """An open incident."""

    n: int
    kind: str
    meaning: str = Field(description="the reason in words")
    gateway: str | None
    opened: Instant


class Key(Shown):
    """A sealing key."""

    state: str = Field(examples=["active"])
    fingerprint: str = Field(description="to compare with what the gateway shows")


class GatewayView(Shown):
    """A gateway as the collector sees it."""

    name: str
    state: Literal["never heard", "heard", "silent", "link down"]
    registered: Instant
    last_contact: Instant | None
    age_s: Seconds | None = Field(description="seconds since the last contact")
    meters: int
    failing: int = Field(description="devices that it reports as failing, those on a failed bus included")
    buses_failing: int = Field(description="buses that it reports as failed")
    backlog: Backlog | None = Field(description="null: no hello yet")
    clock: Clock | None = Field(description="null: no hello yet")
    stored: int = Field(description="batches")
    readings: int = Field(description="readings that came from it")
    undecoded: int = Field(description="batches that are stored and cannot be decoded")
    held: int = Field(description="batches held from billing")
    conflicts: int = Field(description="readings that came a second time and differed")
    gaps: int = Field(description="batches that are known to exist and are neither stored nor declared lost")
    lost: int = Field(description="batches that the gateway declared lost")
    cases: tuple[Case, ...]
    keys: tuple[Key, ...]


class Refusal(Shown):
    """A message that was refused."""

    n: int
    at: Instant
    gateway: str | None = Field(description="whose topic it used; null: nobody's who is registered")
    kind: str = Field(examples=["batch"])
    code: str = Field(examples=["PLB-X101"])
    meaning: str = Field(description="what the code means")
    do: str = Field(description="what to do")
    message: str
    bytes: int


class Event(Shown):
    """A record that a gateway sealed beside its readings."""

    n: int
    at: Instant
    received: Instant
    gateway: str
    record: str = Field(examples=["event"])
    code: str | None = Field(examples=["poll-failed"])
    device: str | None
    bus: str | None
    text: str = Field(description="the same in words")
    fault: str | None = Field(description="the error's code", examples=["PLB-M101"])
    meaning: str | None = Field(description="what the error's code means")
    do: str | None = Field(description="what to do")
    raw: str | None = Field(description="the message as the gateway wrote it; it may be cut off")
    proof: str = Field(description="batch id and leaf")


class Status(Shown):
    """Is everything well?"""

    collector: str
    at: Instant = Field(description="the collector's clock")
    well: bool
    statement: str = Field(examples=["6 meters of 1 gateway read within their time; every seal holds"])
    wrong: tuple[str, ...] = Field(description="what is wrong, the most important first")
    meters: int = Field(description="meters that readings are stored of")
    late: int
    failing: int = Field(description="devices that gateways report as failing, those on a failed bus included")
    never_read: int = Field(description="devices that are configured or failed, without any reading")
    conflicts: int = Field(description="readings that came twice and differ")
    altered: int = Field(description="of the newest readings, as far as they were looked at")
    gateways: int
    readings: int
    open_cases: int
    refused: dict[str, int] = Field(description="refused messages by code, since the store was made")


class Overview(Shown):
    """The page."""

    status: Status
    gateways: tuple[GatewayView, ...]
    meters: tuple[MeterView, ...]
    unread: tuple[Unread, ...]
    next_meters: str | None
    refusals: tuple[Refusal, ...]
    events: tuple[Event, ...]


class Gateways(Shown):
    """A page of gateways, by name."""

    gateways: tuple[GatewayView, ...]
    next: str | None = Field(description="give it as 'after' for the next page; null: no more")


class Meters(Shown):
    """A page of meters, by id."""

    meters: tuple[MeterView, ...]
    unread: tuple[Unread, ...] = Field(
        description="devices without any reading, with the first page only; the status counts them all"
    )
    next: str | None = Field(description="give it as 'after' for the next page; null: no more")


class Readings(Shown):
    """A page of a meter's readings that came in one way, the newest first."""

    readings: tuple[Reading, ...]
    next: str | None = Field(description="give it as 'before' for the next page; null: no more")


class Refusals(Shown):
    """The newest refused messages."""

    refusals: tuple[Refusal, ...]
    next: int | None = Field(description="give it as 'before' for the next page; null: no more")


class Events(Shown):
    """The newest records of the gateways."""

    events: tuple[Event, ...]
    next: str | None = Field(description="give it as 'before' for the next page; null: no more")


class Alive(Shown):
    """The process answers."""

    alive: Literal[True] = True


class Ready(Shown):
    """Whether batches are received and stored now."""

    ready: bool
    reasons: tuple[str, ...]


class Problem(Shown):
    """An error by RFC 9457, with the code that log and command line show too."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: str = Field(examples=["PLB-C315"])
    expected: str
    got: str
    do: str
