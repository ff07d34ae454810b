"""The configuration of pushes: what DLMS meters send unasked."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from protocols.settings.words import Wanted

Address = Annotated[
    str,
    Field(pattern=r"^([0-9]{1,3}(\.[0-9]{1,3}){3}|[0-9A-Fa-f:]*:[0-9A-Fa-f:.]*)$"),
    Wanted("an IP address in quotes", 'write four numbers with dots, as "192.0.2.10", or an IPv6 address'),
]
PushObject = Annotated[
    str,
    Field(pattern=r"^[0-9]{1,5}/[0-9]{1,3}-[0-9]{1,3}:[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}/-?[0-9]{1,3}$"),
    Wanted('class, OBIS name and attribute in quotes, as "3/1-0:1.8.0.255/2"'),
]


class Push(BaseModel):
    """Where DLMS meters may send what nobody asked for (pushes): only those with push = true are heard."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    bind: Address = Field(
        description="Address of this machine at which is listened; 0.0.0.0 for all it has.", examples=["192.0.2.1"]
    )
    port: int = Field(default=4059, ge=1, le=65_535, description="Port, of TCP and of UDP.")
    tcp: bool = Field(default=True, description="Listen on TCP: the wrapper, or HDLC frames.")
    udp: bool = Field(default=True, description="Listen on UDP: the wrapper, one message a datagram.")
    meter_kib_per_hour: int = Field(
        default=128,
        ge=1,
        le=65_536,
        description="KiB that are sealed of one meter's pushes an hour, on the average; more is refused and counted.",
    )
