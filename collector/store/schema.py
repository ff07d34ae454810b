"""The tables of the SQLite store, version 5.

Every row of the uplink is keyed by gateway first. Numbers of readings are never columns: they stay in the leaf's bytes
as they were sealed. `n` is the order of commits. Instants are milliseconds UTC.

`series` is derived from `reading`: for each meter, way of reading and part where its newest row is, how many there are
and when the last few were, so that what is shown never has to look through all readings (`collector.store.series`).
`trouble`, `configured`, `name` and `tally` are derived from records and readings: `collector.store.devices`.
`curve` and `stand` are the series and stands of metering points, by point first: `collector.store.curves`, `.stands`.
`fresh`, `due` and `progress` are what attribution has to do: `collector.store.due`.
`erasure` and its tables are what was erased, and stays so: `collector.store.erasures`.
The master data has tables of its own: `collector.store.master_schema`.
"""

from __future__ import annotations

from collector.store.curves import CURVES
from collector.store.due import DUE, FRESH, FRESH_FROM_CURSOR
from collector.store.erasures import ERASURES
from collector.store.master_schema import MASTER
from collector.store.stands import STANDS

VERSION = 5
APPLICATION_ID = 0x504C4F4D  # "PLOM": tells our files from others

SERIES = """
CREATE TABLE series (
  meter BLOB NOT NULL, how INTEGER NOT NULL, part INTEGER NOT NULL, name TEXT NOT NULL, gateway TEXT NOT NULL,
  stored INTEGER NOT NULL, first INTEGER NOT NULL, newest INTEGER NOT NULL, moment TEXT NOT NULL,
  at_ms INTEGER NOT NULL, recent TEXT NOT NULL, PRIMARY KEY (meter, how, part)
) STRICT, WITHOUT ROWID;
CREATE INDEX series_name ON series (name);
CREATE INDEX series_gateway ON series (gateway);
CREATE INDEX record_newest ON record (n, leaf);
"""

DEVICES = """
CREATE TABLE trouble (
  gateway TEXT NOT NULL, bus TEXT NOT NULL, device TEXT NOT NULL, event TEXT NOT NULL, code TEXT NOT NULL,
  at_ms INTEGER NOT NULL, failing INTEGER NOT NULL, epoch BLOB NOT NULL, seq INTEGER NOT NULL, leaf INTEGER NOT NULL,
  moment INTEGER NOT NULL, PRIMARY KEY (gateway, bus, device)
) STRICT, WITHOUT ROWID;
CREATE TABLE configured (
  gateway TEXT NOT NULL, bus TEXT NOT NULL, device TEXT NOT NULL, at_ms INTEGER NOT NULL,
  PRIMARY KEY (gateway, bus, device)
) STRICT, WITHOUT ROWID;
CREATE TABLE name (
  gateway TEXT NOT NULL, device TEXT NOT NULL, name TEXT NOT NULL, read_ms INTEGER NOT NULL,
  PRIMARY KEY (gateway, device, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX name_name ON name (name);
CREATE TABLE tally (gateway TEXT PRIMARY KEY, readings INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE INDEX reading_conflict ON reading (meter, how, moment, part) WHERE conflict = 1 AND variant = 0;
"""

_TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO meta VALUES ('generation', 1);
CREATE TABLE gateway (
  name TEXT PRIMARY KEY, box BLOB NOT NULL, registered_ms INTEGER NOT NULL, ack_number INTEGER NOT NULL DEFAULT 0,
  contact_ms INTEGER, hello_ms INTEGER, hello_clock BLOB, status TEXT, hello_held BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE gateway_key (
  gateway TEXT NOT NULL, key BLOB NOT NULL, algorithm INTEGER NOT NULL, public BLOB NOT NULL, state TEXT NOT NULL,
  PRIMARY KEY (gateway, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE config_approved (
  gateway TEXT NOT NULL, hash BLOB NOT NULL, approved_ms INTEGER NOT NULL, PRIMARY KEY (gateway, hash)
) STRICT, WITHOUT ROWID;
CREATE TABLE evidence (
  n INTEGER PRIMARY KEY AUTOINCREMENT, gateway TEXT NOT NULL, id BLOB NOT NULL, epoch BLOB NOT NULL,
  seq INTEGER NOT NULL, prev BLOB, parent_epoch BLOB, parent_seq INTEGER, created_ms INTEGER NOT NULL,
  config BLOB NOT NULL, core TEXT NOT NULL, header BLOB NOT NULL, signature BLOB NOT NULL, codec INTEGER NOT NULL,
  body BLOB NOT NULL, digest BLOB NOT NULL, received_ms INTEGER NOT NULL, state TEXT NOT NULL, fault TEXT,
  UNIQUE (gateway, id)
) STRICT;
CREATE INDEX evidence_place ON evidence (gateway, epoch, seq);
CREATE INDEX evidence_parent ON evidence (gateway, parent_epoch, parent_seq) WHERE parent_epoch IS NOT NULL;
CREATE INDEX evidence_start ON evidence (gateway) WHERE seq = 1;
CREATE INDEX evidence_undecoded ON evidence (n) WHERE state = 'undecoded';
CREATE TABLE epoch (
  gateway TEXT NOT NULL, epoch BLOB NOT NULL, stored TEXT NOT NULL, contradictions TEXT NOT NULL,
  safe_to INTEGER NOT NULL DEFAULT 0, last_n INTEGER NOT NULL, PRIMARY KEY (gateway, epoch)
) STRICT, WITHOUT ROWID;
CREATE TABLE lost (
  gateway TEXT NOT NULL, epoch BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, reason TEXT NOT NULL,
  batch BLOB NOT NULL, PRIMARY KEY (gateway, epoch, first, last, batch)
) STRICT, WITHOUT ROWID;
CREATE VIEW pending AS SELECT gateway, epoch FROM epoch e WHERE stored NOT LIKE '[[1, %' AND NOT EXISTS (
  SELECT 1 FROM lost l WHERE l.gateway = e.gateway AND l.epoch = e.epoch AND l.first = 1
);
CREATE TABLE reading (
  meter BLOB NOT NULL, how INTEGER NOT NULL, moment TEXT NOT NULL, part INTEGER NOT NULL, variant INTEGER NOT NULL,
  gateway TEXT NOT NULL, epoch BLOB NOT NULL, seq INTEGER NOT NULL, batch BLOB NOT NULL, leaf INTEGER NOT NULL,
  at_ms INTEGER NOT NULL, slot_ms INTEGER, meter_s INTEGER, meter_code INTEGER, synchronised INTEGER NOT NULL,
  uncertainty_ms INTEGER, status INTEGER NOT NULL, content BLOB NOT NULL, sealed BLOB NOT NULL,
  conflict INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (meter, how, moment, part, variant)
) STRICT, WITHOUT ROWID;
CREATE INDEX reading_gateway ON reading (gateway, at_ms);
CREATE TABLE record (
  gateway TEXT NOT NULL, batch BLOB NOT NULL, leaf INTEGER NOT NULL, epoch BLOB NOT NULL, seq INTEGER NOT NULL,
  kind INTEGER NOT NULL, sealed BLOB NOT NULL, n INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (gateway, batch, leaf)
) STRICT, WITHOUT ROWID;
CREATE TABLE ring (
  n INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, gateway TEXT NOT NULL, kind TEXT NOT NULL,
  code TEXT NOT NULL, message TEXT NOT NULL, digest BLOB NOT NULL, size INTEGER NOT NULL, head BLOB NOT NULL
) STRICT;
CREATE TABLE counter (
  gateway TEXT NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (gateway, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE incident (
  n INTEGER PRIMARY KEY AUTOINCREMENT, gateway TEXT NOT NULL, kind TEXT NOT NULL, subject BLOB NOT NULL,
  facts TEXT NOT NULL, opened_ms INTEGER NOT NULL, closed_ms INTEGER, who TEXT, why TEXT
) STRICT;
CREATE INDEX incident_subject ON incident (gateway, kind, subject, n);
CREATE TABLE hold (
  gateway TEXT NOT NULL, epoch BLOB NOT NULL, batch BLOB NOT NULL, incident INTEGER NOT NULL,
  PRIMARY KEY (gateway, epoch, batch, incident)
) STRICT, WITHOUT ROWID;
CREATE TABLE journal (
  n INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, what TEXT NOT NULL, hash BLOB NOT NULL
) STRICT;
CREATE INDEX journal_hash ON journal (hash);
"""
TABLES = _TABLES + SERIES + DEVICES + MASTER + CURVES + STANDS + DUE + FRESH + ERASURES

_FROM_1 = """
ALTER TABLE gateway ADD COLUMN hello_held BLOB;
ALTER TABLE record ADD COLUMN n INTEGER NOT NULL DEFAULT 0;
UPDATE record SET n = coalesce(
  (SELECT e.n FROM evidence e WHERE e.gateway = record.gateway AND e.id = record.batch), 0
);
"""

# What makes a store of one version into one of the next; what is derived is filled afterwards.
MIGRATIONS = {
    1: _FROM_1 + SERIES,
    2: DEVICES,
    3: MASTER + CURVES + STANDS + DUE,
    4: FRESH + FRESH_FROM_CURSOR + ERASURES,
}
