"""The configuration of pushes: what DLMS meters send unasked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from protocols.settings.table import Key, Limits, Wanted

Address = Annotated[
    str,
    Limits(pattern=r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)$"),
    Wanted("an IP address in quotes", 'write four numbers with dots, as "192.0.2.10", or an IPv6 address'),
]
PushObject = Annotated[
    str,
    Limits(pattern=r"^[0-9]{1,5}/[0-9]{1,3}-[0-9]{1,3}:[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}/-?[0-9]{1,3}$"),
    Wanted('class, OBIS name and attribute in quotes, as "3/1-0:1.8.0.255/2"'),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    """Where DLMS meters may send what nobody asked for (pushes): only those with push = true are heard."""

    bind: Annotated[
        Address, Key("Address of this machine at which is listened; 0.0.0.0 for all it has.", examples=("192.0.2.1",))
    ]
    port: Annotated[int, Limits(ge=1, le=65_535), Key("Port, of TCP and of UDP.")] = 4059
    tcp: Annotated[bool, Key("Listen on TCP: the wrapper, or HDLC frames.")] = True
    udp: Annotated[bool, Key("Listen on UDP: the wrapper, one message a datagram.")] = True
    meter_kib_per_hour: Annotated[
        int,
        Limits(ge=1, le=65_536),
        Key("KiB that are sealed of one meter's pushes an hour, on the average; more is refused and counted."),
    ] = 128
