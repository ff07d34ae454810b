"""Configuration for the site's broker, NATS or Mosquitto, made from the list of who may speak there.

Both demand a client certificate of the site's authority, take its common name as the identity and allow exact topics: a
gateway writes under its own `up/` and reads its own `down/`, the collector reads all `up/` and writes all `down/`. A
publish that is denied is acknowledged all the same (MQTT 3.1.1 has no other answer), so `brokercheck` proves denials by
what a listener does not hear. A name that does not fit its pattern never reaches a file.

NATS delivers QoS 1 through subjects of its own (`$MQTT...`); nobody is given a right to them: 2.15 needs none, and
refuses filters that name them. It cannot refuse retained messages; they are bounded by the topics that may be written,
and nobody of ours sends or trusts one. Mosquitto refuses them.
"""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from collector.authority import NAME, Role
from protocols.errors import ConfigurationError
from protocols.transports.pipe import PACKET_LIMIT
from protocols.uplink import topics

# A path or host goes into the files as it is: no quotes, backslashes, line ends, variables or comments.
_PLAIN = re.compile(r"[A-Za-z0-9_./:@+, ~-]+")
# What the broker keeps for a subscriber that is slow; the uplink sends again what is dropped.
_QUEUED_MESSAGES = 1000
# Bounds of JetStream, which holds QoS 1 messages on their way; a full store refuses, and the uplink sends again.
_MEMORY_LIMIT = "64MB"
_DISK_LIMIT = "1GB"


class IdentityError(ConfigurationError):
    """An identity that may not stand in a broker's configuration."""

    code = "PLB-C210"
    do = "use 3 to 32 of a-z, 0-9 and -, each name once, and never a name that was given before"


class BrokerPathError(ConfigurationError):
    """A path or host that cannot be written into a broker's configuration."""

    code = "PLB-C211"
    do = "use a path of letters, digits and . _ - / only"


@dataclass(frozen=True, slots=True)
class BrokerIdentity:
    """Who may connect: the common name of its certificate, and as what."""

    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class BrokerSettings:
    """Where the broker listens, its certificate, and a folder of its own for what it must keep meanwhile."""

    host: str
    port: int
    ca: Path
    certificate: Path
    key: Path
    folder: Path
    max_connections: int = 10_000


@dataclass(frozen=True, slots=True)
class _Rights:
    """MQTT topic filters that an identity may write and read."""

    write: tuple[str, ...]
    read: tuple[str, ...]


def nats_config(settings: BrokerSettings, identities: Iterable[BrokerIdentity]) -> str:
    """The configuration of a nats-server (2.10 or newer) that serves MQTT on `settings.port` and nothing else.

    The server's own protocol cannot be switched off: it listens on a random port of the loopback address, demands the
    same certificates and refuses every user, because all of them may come by MQTT only.

    Raises:
        IdentityError, BrokerPathError: something does not fit a configuration file.
    """
    tls = _nats_tls(settings)
    users = "".join(_nats_user(identity) for identity in _checked(identities))
    return f"""\
server_name: "plomba"
host: "127.0.0.1"
port: -1
max_payload: {PACKET_LIMIT}
max_connections: {settings.max_connections}
tls {tls}
jetstream {{
  store_dir: "{_plain(settings.folder)}"
  max_memory_store: {_MEMORY_LIMIT}
  max_file_store: {_DISK_LIMIT}
}}
mqtt {{
  host: "{_plain(settings.host)}"
  port: {settings.port}
  reject_qos2_publish: true
  tls {tls}
}}
authorization {{
  users: [
{users}  ]
}}
"""


def mosquitto_config(
    settings: BrokerSettings, identities: Iterable[BrokerIdentity], *, acl_file: Path, user: str = "mosquitto"
) -> tuple[str, str]:
    """The configuration of a Mosquitto (2.0) and its list of rights, which belongs into `acl_file`.

    Args:
        settings: where and with which certificate.
        identities: who may connect.
        acl_file: where the second text will be.
        user: the account that Mosquitto changes to when it is started as root; it must be able to read the files.

    Raises:
        IdentityError, BrokerPathError: something does not fit a configuration file.
    """
    configuration = f"""\
user {_plain(user)}
listener {settings.port} {_plain(settings.host)}
max_connections {settings.max_connections}
cafile {_plain(settings.ca)}
certfile {_plain(settings.certificate)}
keyfile {_plain(settings.key)}
tls_version tlsv1.2
require_certificate true
use_identity_as_username true
allow_anonymous false
allow_zero_length_clientid false
acl_file {_plain(acl_file)}
persistence false
retain_available false
max_packet_size {PACKET_LIMIT}
max_queued_messages {_QUEUED_MESSAGES}
set_tcp_nodelay true
log_dest stderr
log_type error
log_type warning
log_type notice
"""
    return configuration, "".join(_mosquitto_user(identity) for identity in _checked(identities))


def write_config(path: Path, text: str) -> None:
    """Put `text` at `path` in one step, mode 0640, so that a broker never reads half of it."""
    new = path.with_name(path.name + ".new")
    new.write_text(text, encoding="ascii")
    new.chmod(0o640)
    new.replace(path)


def reload_broker(pid: int) -> None:
    """Tell the nats-server or Mosquitto with this process id to read its rewritten files; connections stay.

    Raises:
        ProcessLookupError: there is no such process.
    """
    os.kill(pid, signal.SIGHUP)


def _checked(identities: Iterable[BrokerIdentity]) -> list[BrokerIdentity]:
    """The identities in order of name, each one fit for a configuration file and once."""
    chosen = sorted(identities, key=lambda identity: identity.name)
    seen: set[str] = set()
    for identity in chosen:
        if NAME.fullmatch(identity.name) is None:
            raise IdentityError(f"a name like {NAME.pattern}", repr(identity.name), "the broker's identities")
        if identity.role is Role.BROKER:
            raise IdentityError("a gateway or a collector", f"the broker {identity.name}", "the broker's identities")
        if identity.name in seen:
            raise IdentityError("each name once", f"{identity.name} twice", "the broker's identities")
        seen.add(identity.name)
    return chosen


def _rights(identity: BrokerIdentity) -> _Rights:
    if identity.role is Role.COLLECTOR:
        return _Rights(write=("plomba/v1/+/+/down/+",), read=("plomba/v1/+/+/up/+",))
    return _Rights(
        write=tuple(topics.up(identity.name, leaf) for leaf in topics.UP),
        read=tuple(topics.down(identity.name, leaf) for leaf in topics.DOWN),
    )


def _nats_tls(settings: BrokerSettings) -> str:
    return f"""{{
    ca_file: "{_plain(settings.ca)}"
    cert_file: "{_plain(settings.certificate)}"
    key_file: "{_plain(settings.key)}"
    min_version: "1.2"
    verify_and_map: true
  }}"""


def _nats_user(identity: BrokerIdentity) -> str:
    rights = _rights(identity)
    publish = ", ".join(f'"{_subject(topic)}"' for topic in rights.write)
    subscribe = ", ".join(f'"{_subject(topic)}"' for topic in rights.read)
    return f"""\
    {{
      user: "CN={identity.name}"
      allowed_connection_types: ["MQTT"]
      permissions: {{
        publish: {{ allow: [{publish}] }}
        subscribe: {{ allow: [{subscribe}] }}
      }}
    }}
"""


def _mosquitto_user(identity: BrokerIdentity) -> str:
    rights = _rights(identity)
    lines = [f"user {identity.name}"]
    lines += [f"topic write {topic}" for topic in rights.write]
    lines += [f"topic read {topic}" for topic in rights.read]
    return "\n".join(lines) + "\n\n"


def _subject(topic: str) -> str:
    """The NATS subject of an MQTT topic filter: dots for slashes, `*` for `+`; our topics have no dots."""
    return topic.replace("/", ".").replace("+", "*")


def _plain(text: Path | str) -> str:
    shown = str(text)
    if _PLAIN.fullmatch(shown) is None:
        raise BrokerPathError(f"a path like {_PLAIN.pattern}", repr(shown), "the broker's settings")
    return shown
