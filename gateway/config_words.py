"""What texts of a configuration are, and how a fault in one is told: OBIS names, secrets, titles, folders."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from protocols.settings.table import Limits, Wanted

Obis = Annotated[
    str,
    Limits(pattern=r"^[0-9]{1,3}-[0-9]{1,3}:[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}$"),
    Wanted(
        'an OBIS name of six numbers up to 255, as "1-0:1.8.0.255"',
        'write A-B:C.D.E.F, as "1-0:1.8.0.255"; where the meter shows 1.8.0 it is mostly 1-0:1.8.0.255',
    ),
]
Serial = Annotated[str, Limits(min_length=1, max_length=32), Wanted("a serial number in quotes, up to 32 characters")]
LogicalName = Annotated[
    str, Limits(min_length=1, max_length=32), Wanted("a logical device name in quotes, up to 32 characters")
]
Credential = Annotated[
    str,
    Limits(pattern=r"^[A-Za-z0-9._-]{1,64}$"),
    Wanted("a credential's name in quotes: 1 to 64 letters, digits, dots, - or _"),
]
SecretFile = Annotated[Path, Limits(strict=False), Wanted("the path of a file in quotes")]
Title = Annotated[
    str,
    Limits(pattern=r"^[0-9A-Fa-f]{16}$"),
    Wanted("a system title in quotes: 8 bytes as 16 hex digits", "three letters, then a number of your own"),
]
Folder = Annotated[Path, Limits(strict=False), Wanted("a folder's path in quotes")]
