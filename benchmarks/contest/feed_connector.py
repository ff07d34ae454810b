"""The same source of readings for thingsboard-gateway, as its custom connectors are made: it lies in its `extensions`.

It runs in the peer's environment. `send_to_storage` is how every connector there hands its data over; when it says
SUCCESS, the reading counts as accepted.
"""

from __future__ import annotations

import json
import socket
from threading import Thread
from time import sleep

from thingsboard_gateway.connectors.connector import Connector
from thingsboard_gateway.gateway.constant_enums import Status
from thingsboard_gateway.gateway.entities.converted_data import ConvertedData
from thingsboard_gateway.gateway.entities.datapoint_key import DatapointKey
from thingsboard_gateway.gateway.entities.telemetry_entry import TelemetryEntry

NAMES = ("energy", "energy_out", "power", "voltage", "current", "frequency")
AGAIN_S = 0.2


class FeedConnector(Thread, Connector):
    """One thread that asks the contest's meters."""

    def __init__(self, gateway, config, connector_type):
        super().__init__(daemon=True)
        self._gateway, self._config, self._type = gateway, config, connector_type
        self._connector_name = config.get("name", "feed")
        self._stopped = False
        self._keys = [DatapointKey(name) for name in NAMES]

    def open(self):
        """Begin to ask."""
        self._stopped = False
        self.start()

    def close(self):
        """End."""
        self._stopped = True

    def run(self):
        """Ask and hand over."""
        line, accepted = None, -1
        while line is None and not self._stopped:
            try:
                line = socket.create_connection(("127.0.0.1", self._config["port"])).makefile("rwb")
            except OSError:
                sleep(AGAIN_S)
        while not self._stopped:
            line.write(b"%d\n" % accepted)
            line.flush()
            octets = line.readline()
            if not octets:
                return
            answer = json.loads(octets)
            taken = [self._take(row) for row in answer["rows"]]
            if all(taken):
                accepted = answer["newest"]

    def _take(self, row):
        meter, at_ms, *values = row
        reading = ConvertedData(device_name=f"meter-{meter}", device_type="meter")
        reading.add_to_telemetry(TelemetryEntry(dict(zip(self._keys, values, strict=True)), ts=at_ms))
        return self._gateway.send_to_storage(self._connector_name, self.get_id(), reading) == Status.SUCCESS

    def get_id(self):
        """The connector's id."""
        return self._config["id"]

    def get_name(self):
        """The connector's name."""
        return self._connector_name

    def get_type(self):
        """The connector's type."""
        return self._type

    def get_config(self):
        """Its configuration."""
        return self._config

    def is_connected(self):
        """Whether it asks."""
        return not self._stopped

    def is_stopped(self):
        """Whether it ended."""
        return self._stopped

    def on_attributes_update(self, content):
        """Nothing: a meter is not written to."""

    def server_side_rpc_handler(self, content):
        """Nothing."""
