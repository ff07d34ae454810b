"""The collector's configuration: one TOML file, read once into frozen values; all faults are named at once."""

from __future__ import annotations

import difflib
import ipaddress
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from collector.faults import ConfigFileError

DAY_S = 86_400
SAFE_AFTER_S = 7 * DAY_S  # without a backup or standby a batch counts as safe a week after its commit
WINDOW = 64  # batches in flight that a gateway is asked to keep to
GROUP_MS = 50  # how long a group waits for more messages: one fsync for all of them
RING = 1_000  # refused messages kept for inspection, the newest
HTTP_PORT = 8080


class _Broker(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    host: Annotated[str, Field(min_length=1, max_length=253)]
    port: Annotated[int, Field(ge=1, le=65_535)] = 8883
    server_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None


class _Acknowledge(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    safe_after_s: Annotated[int, Field(ge=0, le=3_650 * DAY_S)] = SAFE_AFTER_S
    window: Annotated[int, Field(ge=1, le=4_096)] = WINDOW
    group_ms: Annotated[int, Field(ge=0, le=10_000)] = GROUP_MS


class _Limits(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    ring: Annotated[int, Field(ge=16, le=1_000_000)] = RING


def _loopback(host: str) -> str:
    """There is no login yet, so nobody but this machine may reach the page."""
    if host != "localhost":
        try:
            alone = ipaddress.ip_address(host).is_loopback
        except ValueError:
            alone = False
        if not alone:
            raise ValueError(
                f"expected a loopback address (127.0.0.1, ::1 or localhost), got {host}:"
                " there is no login yet: put a reverse proxy with one in front"
            )
    return host


class _Http(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    host: Annotated[str, Field(min_length=1, max_length=253), AfterValidator(_loopback)] = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = HTTP_PORT
    names: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], Field(strict=False)] = ()


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    collector: Annotated[str, Field(pattern=r"^[a-z0-9-]{3,32}$")]
    store: Annotated[str, Field(min_length=1)] = "collector.sqlite3"
    keys_folder: Annotated[str, Field(min_length=1)] = "keys"
    broker: _Broker
    acknowledge: _Acknowledge = _Acknowledge()
    limits: _Limits = _Limits()
    http: _Http | None = None


@dataclass(frozen=True, slots=True)
class Http:
    """Where the page and the API listen; `names` are host names that a request may use beside `host` and localhost."""

    host: str
    port: int
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Config:
    """What the collector was told; paths are relative to the file's folder.

    `server_name` is the name in the broker's certificate (None: `host`); without `http` nothing listens.
    """

    collector: str
    store: Path
    keys_folder: Path
    host: str
    port: int
    server_name: str | None
    safe_after_s: int
    window: int
    group_ms: int
    ring: int
    http: Http | None = None

    @classmethod
    def from_toml(cls, path: Path) -> Config:
        """Read and check the file.

        Raises:
            ConfigFileError: unreadable, or everything in it that does not fit.
        """
        try:
            parsed = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError) as error:
            raise ConfigFileError("a readable TOML file in UTF-8", str(error), str(path)) from None
        try:
            file = _File.model_validate(parsed)
        except ValidationError as error:
            faults = "; ".join(_shown(each) for each in error.errors())
            raise ConfigFileError("a configuration without faults", faults, str(path)) from None
        folder = path.resolve().parent
        return cls(
            file.collector,
            folder / file.store,
            folder / file.keys_folder,
            file.broker.host,
            file.broker.port,
            file.broker.server_name,
            file.acknowledge.safe_after_s,
            file.acknowledge.window,
            file.acknowledge.group_ms,
            file.limits.ring,
            None if file.http is None else Http(file.http.host, file.http.port, file.http.names),
        )


_SECTIONS: dict[str, type[BaseModel]] = {
    "broker": _Broker,
    "acknowledge": _Acknowledge,
    "limits": _Limits,
    "http": _Http,
}


def _shown(fault: ErrorDetails) -> str:
    place = ".".join(str(part) for part in fault["loc"])
    if fault["type"] != "extra_forbidden":
        return f"{place}: {fault['msg'].lower()}"
    *section, name = (str(part) for part in fault["loc"])
    model = _SECTIONS.get(section[0], _File) if section else _File
    near = difflib.get_close_matches(name, list(model.model_fields), 1)
    return f"{place}: unknown key" + (f", did you mean {near[0]!r}?" if near else "")
