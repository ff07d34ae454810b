"""The collector's configuration: one TOML file, read once into frozen values; all faults are named at once."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from collector.erase.purposes import Purposes
from collector.faults import ConfigFileError
from collector.place import Place, Server, is_server, names_password
from protocols.settings import mend, reading, slips
from protocols.settings.document import Document
from protocols.settings.problems import Problem
from protocols.settings.table import Wanted

DAY_S = 86_400
SAFE_AFTER_S = 7 * DAY_S  # without a backup or standby a batch counts as safe a week after its commit
WINDOW = 64  # batches in flight that a gateway is asked to keep to
GROUP_MS = 50  # how long a group waits for more messages: one fsync for all of them
RING = 1_000  # refused messages kept for inspection, the newest
DIAGNOSIS_DAYS = 63  # a month of a channel is made of readings up to one and a half months apart
HTTP_PORT = 8080
LOOPBACK = "a loopback address (127.0.0.1, ::1 or localhost)"


SECRETS = "change the secret if others saw the file; keys are files in keys_folder, made by 'plomba-collector keys'"

_Host = Annotated[str, Field(min_length=1, max_length=253), Wanted("a host name or address in quotes")]


class _Broker(BaseModel):
    """Where the broker is."""

    model_config = ConfigDict(extra="forbid", strict=True)
    host: _Host = Field(description="Host name or address of the broker.", examples=["localhost"])
    port: Annotated[int, Field(ge=1, le=65_535)] = Field(
        default=8883, description="TCP port of the broker; TLS is always used."
    )
    server_name: _Host | None = Field(
        default=None,
        description="The name in the broker's certificate, where it is not `host`.",
        examples=["broker.example"],
    )


class _Acknowledge(BaseModel):
    """When a batch counts as safe, and how acknowledgements are grouped."""

    model_config = ConfigDict(extra="forbid", strict=True)
    safe_after_s: Annotated[int, Field(ge=0, le=3_650 * DAY_S)] = Field(
        default=SAFE_AFTER_S, description="Seconds after its commit when a batch counts as safe without a backup."
    )
    window: Annotated[int, Field(ge=1, le=4_096)] = Field(
        default=WINDOW, description="Batches in flight that a gateway is asked to keep to."
    )
    group_ms: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=GROUP_MS, description="Milliseconds that a group waits for more messages before it is committed."
    )


class _Limits(BaseModel):
    """What is kept at most."""

    model_config = ConfigDict(extra="forbid", strict=True)
    ring: Annotated[int, Field(ge=16, le=1_000_000)] = Field(
        default=RING, description="Refused messages that are kept for inspection, the newest."
    )


class _Retention(BaseModel):
    """For how long which purpose holds what was read; one that is left out holds it for ever."""

    model_config = ConfigDict(extra="forbid", strict=True)
    remove: bool = Field(default=False, description="Whether what no purpose holds any more is erased by itself.")
    diagnosis_days: Annotated[int, Field(ge=DIAGNOSIS_DAYS, le=36_500)] | None = Field(
        default=None,
        description="Days, from when they came, that readings are held as they were sealed.",
        examples=[400],
    )
    operation_months: Annotated[int, Field(ge=1, le=1_200)] | None = Field(
        default=None, description="Months that quarters and hours of series are held.", examples=[13]
    )
    billing_months: Annotated[int, Field(ge=1, le=1_200)] | None = Field(
        default=None,
        description="Months that days, months and stands are held, and the readings that stands rest on.",
        examples=[120],
    )


def _loopback(host: str) -> str:
    """There is no login yet, so nobody but this machine may reach the page."""
    try:
        alone = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        alone = False
    if not alone:
        raise ValueError(f"expected {LOOPBACK}, got {host}")
    return host


class _Http(BaseModel):
    """Where the page and the API listen; without this table nothing listens."""

    model_config = ConfigDict(extra="forbid", strict=True)
    host: Annotated[
        str,
        Field(min_length=1, max_length=253),
        AfterValidator(_loopback),
        Wanted(LOOPBACK, "there is no login yet: put a reverse proxy with one in front"),
    ] = Field(default="127.0.0.1", description="Address that is listened on: of this machine alone.")
    port: Annotated[int, Field(ge=1, le=65_535)] = Field(default=HTTP_PORT, description="TCP port that is listened on.")
    names: Annotated[tuple[_Host, ...], Field(strict=False)] = Field(
        default=(),
        description="Host names that a request may use beside `host` and localhost.",
        examples=[["meters.example"]],
    )


class File(BaseModel):
    """One collector: the file as it is written."""

    model_config = ConfigDict(extra="forbid", strict=True)
    collector: Annotated[
        str, Field(pattern=r"^[a-z0-9-]{3,32}$"), Wanted("3 to 32 small letters, digits or -, in quotes")
    ] = Field(description="The collector's id; gateways know it by their trust document.", examples=["utility"])
    store: Annotated[str, Field(min_length=1), Wanted("a file's path or a database's address in quotes")] = Field(
        default="collector.sqlite3",
        description="File of the store, on a local disk, relative to this file; or a database: postgresql://...",
    )
    password_file: Annotated[str, Field(min_length=1), Wanted("a file's path in quotes")] | None = Field(
        default=None,
        description="File with the database's password, relative to this file; without it libpq looks where it does.",
        examples=["database-password"],
    )
    keys_folder: Annotated[str, Field(min_length=1), Wanted("a folder's path in quotes")] = Field(
        default="keys", description="Folder of the keys, the trust document and the certificate; relative to this file."
    )
    broker: _Broker = Field(description="Where the broker is.")
    acknowledge: _Acknowledge = Field(default=_Acknowledge(), description="Acknowledgements.")
    limits: _Limits = Field(default=_Limits(), description="What is kept at most.")
    retention: _Retention = Field(default=_Retention(), description="What is held for which purpose, and how long.")
    http: _Http | None = Field(default=None, description="The page and the API.")


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
    store: Place
    keys_folder: Path
    host: str
    port: int
    server_name: str | None
    safe_after_s: int
    window: int
    group_ms: int
    ring: int
    http: Http | None = None
    purposes: Purposes = field(default_factory=Purposes)

    @classmethod
    def from_toml(cls, path: Path) -> Config:
        """Read and check the file.

        Raises:
            ConfigFileError: unreadable, or everything in it that does not fit.
        """
        file = read_file(path)
        folder = path.resolve().parent
        return cls(
            file.collector,
            place_of(file, folder),
            folder / file.keys_folder,
            file.broker.host,
            file.broker.port,
            file.broker.server_name,
            file.acknowledge.safe_after_s,
            file.acknowledge.window,
            file.acknowledge.group_ms,
            file.limits.ring,
            None if file.http is None else Http(file.http.host, file.http.port, file.http.names),
            Purposes(
                file.retention.diagnosis_days,
                file.retention.operation_months,
                file.retention.billing_months,
                file.retention.remove,
            ),
        )


def place_of(file: File, folder: Path) -> Place:
    """Where the store of a configuration in `folder` is."""
    if not is_server(file.store):
        return folder / file.store
    return Server(file.store, folder / file.password_file if file.password_file else None)


def read_file(path: Path) -> File:
    """The file as it is written.

    Raises:
        ConfigFileError: unreadable, or everything in it that does not fit.
    """
    found = mend.load(path, File)
    if isinstance(found, tuple):
        raise ConfigFileError("a TOML file in UTF-8", found[0].got, str(path), found)
    ruled = found.of_writer(_rules(found))
    file, more = reading.read(found, File, SECRETS)
    said = {each.key for each in ruled}  # a rule knows more than a class
    problems = ruled + [each for each in more if each.key not in said]
    if file is None or problems:
        raise ConfigFileError("a configuration without faults", f"{len(problems)}", str(path), problems)
    return file


def _rules(document: Document) -> list[Problem]:
    """What the classes cannot say of a file."""
    found = [*slips.hosts(document, ("broker", "host"), ("broker", "server_name"))]
    found += slips.folders(document, ("keys_folder",), ("password_file",))
    store = document.table.get("store")
    if isinstance(store, str) and is_server(store):
        return [*found, *_password(document, store)]
    found += slips.folders(document, ("store",))
    return [*found, *slips.apart(document, ("store",), ("keys_folder",))]


def _password(document: Document, address: str) -> list[Problem]:
    if not names_password(address):
        return []
    do = "take it out, change it if others saw the file, and put it into a file: password_file here, or ~/.pgpass"
    return [document.problem(("store",), "an address without a password", "one with a password (not shown)", do=do)]
