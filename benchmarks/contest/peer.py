"""The peer: thingsboard-gateway 3.8.5 with SQLite storage, in an environment of its own; the platform is a stand-in."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import paho.mqtt.client as mqtt
from feed import expected
from party import ContestError, Party, program

from simulators.site.parts import Part

VERSION = "3.8.5"
CACHE = Path(__file__).resolve().parents[2] / ".contest"
INSTALL_S = 300
LIMITS = {"rateLimits": {}, "gatewayRateLimits": {}, "maxInflightMessages": 100, "maxPayloadSize": 65_536}
SESSION, REPLY = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"
TELEMETRY = "v1/gateway/telemetry"
CONNECTOR = {"type": "feed", "name": "feed", "class": "FeedConnector", "configuration": "feed.json"}
LOGS = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"plain": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain", "level": "WARNING"}},
    "root": {"level": "WARNING", "handlers": ["console"]},
    "loggers": {
        name: {"level": "WARNING", "handlers": ["console"], "propagate": False}
        for name in ("service", "tb_connection", "storage", "database", "connector", "converter")
    },
}


def install() -> Path:
    """The peer's interpreter; the environment is made where it is missing.

    Raises:
        ContestError: it cannot be installed, and what pip said.
    """
    home = CACHE / f"thingsboard-gateway-{VERSION}"
    python, ready = home / "bin" / "python", home / "ready"
    if not ready.exists():
        shutil.rmtree(home, ignore_errors=True)
        for command in (
            (sys.executable, "-m", "venv", str(home)),
            (str(python), "-m", "pip", "install", "--quiet", f"thingsboard-gateway=={VERSION}"),
        ):
            done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_S, check=False)
            if done.returncode:
                raise ContestError(f"{' '.join(command)}: {done.stderr.strip()[-400:]}")
        ready.touch()
    extension = next(home.glob("lib/python3*/site-packages/thingsboard_gateway/extensions")) / "feed"
    extension.mkdir(exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("feed_connector.py"), extension / "feed_connector.py")
    return python


class Receiver:
    """Stands in for the platform: counts readings with the right six values, and says that there are no limits."""

    def __init__(self, party: Peer) -> None:
        self._party = party
        self.numbers: set[int] = set()
        self.altered = 0
        self.newest = -1
        self._lock = threading.Lock()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.on_connect = self._subscribe
        self._client.on_message = self._take

    def start(self) -> None:
        """Connect straight to the broker, not through the proxy."""
        self._client.connect("127.0.0.1", self._party.broker_port)
        self._client.loop_start()

    def stop(self) -> None:
        """End."""
        self._client.disconnect()
        self._client.loop_stop()

    def _subscribe(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe([(TELEMETRY, 1), (SESSION + "+", 1)])

    def _take(self, client: mqtt.Client, _: object, message: mqtt.MQTTMessage) -> None:
        content = json.loads(message.payload)
        if message.topic.startswith(SESSION):
            client.publish(REPLY + message.topic.rpartition("/")[2], json.dumps(LIMITS))
            return
        found, feed = set(), self._party.feed
        for device, rows in content.items():
            for row in rows:
                number = feed.number(int(device.rpartition("-")[2]), row["ts"])
                if tuple(row["values"].values()) == expected(number):
                    found.add(number)
                else:
                    self.altered += 1
        with self._lock:
            self.numbers |= found
            self.newest = max(self.newest, *found, -1)


class Peer(Party):
    """thingsboard-gateway, plain MQTT, QoS 1, SQLite storage, its own statistics and remote services off."""

    name = "thingsboard-gateway"
    python: Path

    async def prepare(self) -> None:
        """Configuration, broker, stand-in."""
        conf = self.folder / "broker.conf"
        conf.write_text(
            f"listener {self.broker_port} 127.0.0.1\nallow_anonymous true\npersistence false\n"
            "max_queued_messages 100000\nset_tcp_nodelay true\nlog_dest stderr\nlog_type error\n"
        )
        await self.run_other("broker", program("mosquitto"), "-c", str(conf), port=self.broker_port)
        self.receiver = Receiver(self)
        self.receiver.start()
        config = self.folder / "config"
        config.mkdir()
        self.state_folder.mkdir()
        (config / "tb_gateway.json").write_text(json.dumps(self._settings()))
        (config / "feed.json").write_text(json.dumps({"name": "feed", "id": "feed-1", "port": self.feed.port}))
        (config / "logs.json").write_text(json.dumps(LOGS))
        run = str(self.python.parent / "thingsboard-gateway")
        clean = ("env", "-u", "PYTHONPATH", "-C", str(self.folder), f"TB_GW_CONFIG_DIR={config}")
        self.gateway = Part("gateway", (*clean, str(self.python), run), self.folder)

    async def stop(self) -> None:
        """The stand-in too."""
        if hasattr(self, "receiver"):
            self.receiver.stop()
        await super().stop()

    @property
    def state_folder(self) -> Path:
        """The folder of its SQLite files."""
        return self.folder / "data"

    def arrived_count(self) -> int:
        """Distinct readings that the stand-in has."""
        return len(self.receiver.numbers)

    def arrived(self) -> set[int]:
        """Those that it has."""
        return set(self.receiver.numbers)

    def newest_arrived(self) -> int:
        """By the stand-in."""
        return self.receiver.newest

    def told(self) -> str:
        """Its protocol has no word for it; its own log has."""
        log = (self.folder / "gateway.log").read_text(errors="replace")
        errors = sum(" ERROR " in line for line in log.splitlines())
        return f"nothing ({errors} errors in its own log)"

    def _settings(self) -> dict[str, object]:
        platform = {
            "host": "127.0.0.1",
            "port": self.proxy.port,
            "remoteShell": False,
            "remoteConfiguration": False,
            "statistics": {"enable": False},
            "syncDevicesSharedAttributesOnConnect": False,
            "maxPayloadSizeBytes": 65_536,
            "minPackSendDelayMS": 50,
            "minPackSizeToSend": 500,
            "qos": 1,
            "reportStrategy": {"type": "ON_RECEIVED"},
            "security": {"type": "accessToken", "accessToken": "contest"},
        }
        storage = {"type": "sqlite", "data_file_path": f"{self.state_folder}/", "max_read_records_count": 1000}
        grpc = {"enabled": False}
        return {"thingsboard": platform, "storage": storage, "grpc": grpc, "connectors": [CONNECTOR]}
