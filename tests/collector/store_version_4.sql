-- The tables as version 4 made them.
CREATE TABLE config_approved (
  gateway TEXT NOT NULL, hash BLOB NOT NULL, approved_ms INTEGER NOT NULL, PRIMARY KEY (gateway, hash)
) STRICT, WITHOUT ROWID;
CREATE TABLE configured (
  gateway TEXT NOT NULL, bus TEXT NOT NULL, device TEXT NOT NULL, at_ms INTEGER NOT NULL,
  PRIMARY KEY (gateway, bus, device)
) STRICT, WITHOUT ROWID;
CREATE TABLE counter (
  gateway TEXT NOT NULL, name TEXT NOT NULL, value INTEGER NOT NULL, PRIMARY KEY (gateway, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE curve (
  point TEXT NOT NULL, channel TEXT NOT NULL, past INTEGER NOT NULL, step_s INTEGER NOT NULL, day INTEGER NOT NULL,
  version INTEGER NOT NULL, start_ms INTEGER NOT NULL, count INTEGER NOT NULL, exponent INTEGER NOT NULL,
  packed BLOB NOT NULL, moments BLOB, quality TEXT NOT NULL, digest TEXT NOT NULL, origin TEXT NOT NULL,
  known_ms INTEGER NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (point, channel, past, step_s, day, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE due (
  point TEXT NOT NULL, channel TEXT NOT NULL, step_s INTEGER NOT NULL, day INTEGER NOT NULL, mark INTEGER NOT NULL,
  after_ms INTEGER NOT NULL, PRIMARY KEY (point, channel, step_s, day)
) STRICT, WITHOUT ROWID;
CREATE TABLE epoch (
  gateway TEXT NOT NULL, epoch BLOB NOT NULL, stored TEXT NOT NULL, contradictions TEXT NOT NULL,
  safe_to INTEGER NOT NULL DEFAULT 0, last_n INTEGER NOT NULL, PRIMARY KEY (gateway, epoch)
) STRICT, WITHOUT ROWID;
CREATE TABLE evidence (
  n INTEGER PRIMARY KEY AUTOINCREMENT, gateway TEXT NOT NULL, id BLOB NOT NULL, epoch BLOB NOT NULL,
  seq INTEGER NOT NULL, prev BLOB, parent_epoch BLOB, parent_seq INTEGER, created_ms INTEGER NOT NULL,
  config BLOB NOT NULL, core TEXT NOT NULL, header BLOB NOT NULL, signature BLOB NOT NULL, codec INTEGER NOT NULL,
  body BLOB NOT NULL, digest BLOB NOT NULL, received_ms INTEGER NOT NULL, state TEXT NOT NULL, fault TEXT,
  UNIQUE (gateway, id)
) STRICT;
CREATE TABLE gateway (
  name TEXT PRIMARY KEY, box BLOB NOT NULL, registered_ms INTEGER NOT NULL, ack_number INTEGER NOT NULL DEFAULT 0,
  contact_ms INTEGER, hello_ms INTEGER, hello_clock BLOB, status TEXT, hello_held BLOB
) STRICT, WITHOUT ROWID;
CREATE TABLE gateway_key (
  gateway TEXT NOT NULL, key BLOB NOT NULL, algorithm INTEGER NOT NULL, public BLOB NOT NULL, state TEXT NOT NULL,
  PRIMARY KEY (gateway, key)
) STRICT, WITHOUT ROWID;
CREATE TABLE hold (
  gateway TEXT NOT NULL, epoch BLOB NOT NULL, batch BLOB NOT NULL, incident INTEGER NOT NULL,
  PRIMARY KEY (gateway, epoch, batch, incident)
) STRICT, WITHOUT ROWID;
CREATE TABLE incident (
  n INTEGER PRIMARY KEY AUTOINCREMENT, gateway TEXT NOT NULL, kind TEXT NOT NULL, subject BLOB NOT NULL,
  facts TEXT NOT NULL, opened_ms INTEGER NOT NULL, closed_ms INTEGER, who TEXT, why TEXT
) STRICT;
CREATE TABLE journal (
  n INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, what TEXT NOT NULL, hash BLOB NOT NULL
) STRICT;
CREATE TABLE lost (
  gateway TEXT NOT NULL, epoch BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, reason TEXT NOT NULL,
  batch BLOB NOT NULL, PRIMARY KEY (gateway, epoch, first, last, batch)
) STRICT, WITHOUT ROWID;
CREATE TABLE master_act (
  n INTEGER NOT NULL, at_ms INTEGER NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (n)
) STRICT, WITHOUT ROWID;
CREATE TABLE master_channel (
  point TEXT NOT NULL, name TEXT NOT NULL, quantity TEXT NOT NULL, register TEXT NOT NULL,
  cadence TEXT NOT NULL, aggregate TEXT NOT NULL, weight TEXT,
  from_ms INTEGER NOT NULL, to_ms INTEGER, known_from_ms INTEGER NOT NULL, known_to_ms INTEGER,
  who TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (point, name, from_ms, known_from_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE master_computed (
  point TEXT NOT NULL, name TEXT NOT NULL, quantity TEXT NOT NULL, cadence TEXT NOT NULL,
  aggregate TEXT NOT NULL, terms TEXT NOT NULL,
  from_ms INTEGER NOT NULL, to_ms INTEGER, known_from_ms INTEGER NOT NULL, known_to_ms INTEGER,
  who TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (point, name, from_ms, known_from_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE master_identity (
  mark TEXT NOT NULL, meter TEXT NOT NULL, PRIMARY KEY (mark, meter)
) STRICT, WITHOUT ROWID;
CREATE TABLE master_installation (
  point TEXT NOT NULL, meter TEXT NOT NULL, clock TEXT NOT NULL, interval_edge TEXT NOT NULL,
  day_edge TEXT NOT NULL, initial TEXT NOT NULL, final TEXT NOT NULL,
  from_ms INTEGER NOT NULL, to_ms INTEGER, known_from_ms INTEGER NOT NULL, known_to_ms INTEGER,
  who TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (point, meter, from_ms, known_from_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE master_mapped (
  gateway TEXT NOT NULL, device TEXT NOT NULL, sub TEXT NOT NULL, native BLOB NOT NULL, meter TEXT NOT NULL,
  register TEXT,
  from_ms INTEGER NOT NULL, to_ms INTEGER, known_from_ms INTEGER NOT NULL, known_to_ms INTEGER,
  who TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (meter, gateway, device, sub, native, from_ms, known_from_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE master_meter (
  meter TEXT NOT NULL, model TEXT NOT NULL, identity BLOB NOT NULL, verified TEXT, until TEXT, seals TEXT NOT NULL,
  from_ms INTEGER NOT NULL, to_ms INTEGER, known_from_ms INTEGER NOT NULL, known_to_ms INTEGER,
  who TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (meter, from_ms, known_from_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE master_point (
  point TEXT NOT NULL, scheme TEXT NOT NULL, medium TEXT NOT NULL, zone TEXT NOT NULL,
  from_ms INTEGER NOT NULL, to_ms INTEGER, known_from_ms INTEGER NOT NULL, known_to_ms INTEGER,
  who TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (point, from_ms, known_from_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE master_register (
  meter TEXT NOT NULL, name TEXT NOT NULL, native BLOB NOT NULL, kind TEXT NOT NULL, quantity TEXT NOT NULL,
  unit TEXT NOT NULL, factor TEXT NOT NULL, modulus TEXT, step TEXT NOT NULL,
  from_ms INTEGER NOT NULL, to_ms INTEGER, known_from_ms INTEGER NOT NULL, known_to_ms INTEGER,
  who TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (meter, name, from_ms, known_from_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE master_related (
  point TEXT NOT NULL, other TEXT NOT NULL, relation TEXT NOT NULL, share TEXT NOT NULL,
  from_ms INTEGER NOT NULL, to_ms INTEGER, known_from_ms INTEGER NOT NULL, known_to_ms INTEGER,
  who TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (point, other, relation, from_ms, known_from_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE master_supply (
  point TEXT NOT NULL, customer TEXT NOT NULL,
  from_ms INTEGER NOT NULL, to_ms INTEGER, known_from_ms INTEGER NOT NULL, known_to_ms INTEGER,
  who TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (point, from_ms, known_from_ms)
) STRICT, WITHOUT ROWID;
CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('generation',1);
CREATE TABLE name (
  gateway TEXT NOT NULL, device TEXT NOT NULL, name TEXT NOT NULL, read_ms INTEGER NOT NULL,
  PRIMARY KEY (gateway, device, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE progress (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE reading (
  meter BLOB NOT NULL, how INTEGER NOT NULL, moment TEXT NOT NULL, part INTEGER NOT NULL, variant INTEGER NOT NULL,
  gateway TEXT NOT NULL, epoch BLOB NOT NULL, seq INTEGER NOT NULL, batch BLOB NOT NULL, leaf INTEGER NOT NULL,
  at_ms INTEGER NOT NULL, slot_ms INTEGER, meter_s INTEGER, meter_code INTEGER, synchronised INTEGER NOT NULL,
  uncertainty_ms INTEGER, status INTEGER NOT NULL, content BLOB NOT NULL, sealed BLOB NOT NULL,
  conflict INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (meter, how, moment, part, variant)
) STRICT, WITHOUT ROWID;
CREATE TABLE recompute (
  point TEXT NOT NULL, number INTEGER NOT NULL, channel TEXT NOT NULL, from_ms INTEGER NOT NULL,
  to_ms INTEGER NOT NULL, why TEXT NOT NULL, act INTEGER NOT NULL, PRIMARY KEY (point, number)
) STRICT, WITHOUT ROWID;
CREATE TABLE record (
  gateway TEXT NOT NULL, batch BLOB NOT NULL, leaf INTEGER NOT NULL, epoch BLOB NOT NULL, seq INTEGER NOT NULL,
  kind INTEGER NOT NULL, sealed BLOB NOT NULL, n INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (gateway, batch, leaf)
) STRICT, WITHOUT ROWID;
CREATE TABLE ring (
  n INTEGER PRIMARY KEY AUTOINCREMENT, at_ms INTEGER NOT NULL, gateway TEXT NOT NULL, kind TEXT NOT NULL,
  code TEXT NOT NULL, message TEXT NOT NULL, digest BLOB NOT NULL, size INTEGER NOT NULL, head BLOB NOT NULL
) STRICT;
CREATE TABLE seen (
  meter BLOB NOT NULL, mark TEXT NOT NULL, PRIMARY KEY (meter, mark)
) STRICT, WITHOUT ROWID;
CREATE TABLE series (
  meter BLOB NOT NULL, how INTEGER NOT NULL, part INTEGER NOT NULL, name TEXT NOT NULL, gateway TEXT NOT NULL,
  stored INTEGER NOT NULL, first INTEGER NOT NULL, newest INTEGER NOT NULL, moment TEXT NOT NULL,
  at_ms INTEGER NOT NULL, recent TEXT NOT NULL, PRIMARY KEY (meter, how, part)
) STRICT, WITHOUT ROWID;
CREATE TABLE stand (
  point TEXT NOT NULL, register TEXT NOT NULL, past INTEGER NOT NULL, at_ms INTEGER NOT NULL,
  character TEXT NOT NULL, version INTEGER NOT NULL, day INTEGER NOT NULL, meter TEXT NOT NULL, value TEXT NOT NULL,
  unit TEXT NOT NULL, quantity TEXT NOT NULL, consumption TEXT, quality TEXT NOT NULL, approved TEXT,
  origin TEXT NOT NULL, known_ms INTEGER NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,
  PRIMARY KEY (point, register, past, at_ms, character, version)
) STRICT, WITHOUT ROWID;
CREATE TABLE tally (gateway TEXT PRIMARY KEY, readings INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE trouble (
  gateway TEXT NOT NULL, bus TEXT NOT NULL, device TEXT NOT NULL, event TEXT NOT NULL, code TEXT NOT NULL,
  at_ms INTEGER NOT NULL, failing INTEGER NOT NULL, epoch BLOB NOT NULL, seq INTEGER NOT NULL, leaf INTEGER NOT NULL,
  moment INTEGER NOT NULL, PRIMARY KEY (gateway, bus, device)
) STRICT, WITHOUT ROWID;
CREATE INDEX evidence_place ON evidence (gateway, epoch, seq);
CREATE INDEX evidence_parent ON evidence (gateway, parent_epoch, parent_seq) WHERE parent_epoch IS NOT NULL;
CREATE INDEX evidence_start ON evidence (gateway) WHERE seq = 1;
CREATE INDEX evidence_undecoded ON evidence (n) WHERE state = 'undecoded';
CREATE VIEW pending AS SELECT gateway, epoch FROM epoch e WHERE stored NOT LIKE '[[1, %' AND NOT EXISTS (
  SELECT 1 FROM lost l WHERE l.gateway = e.gateway AND l.epoch = e.epoch AND l.first = 1
);
CREATE INDEX reading_gateway ON reading (gateway, at_ms);
CREATE INDEX incident_subject ON incident (gateway, kind, subject, n);
CREATE INDEX journal_hash ON journal (hash);
CREATE INDEX series_name ON series (name);
CREATE INDEX series_gateway ON series (gateway);
CREATE INDEX record_newest ON record (n, leaf);
CREATE INDEX name_name ON name (name);
CREATE INDEX reading_conflict ON reading (meter, how, moment, part) WHERE conflict = 1 AND variant = 0;
CREATE INDEX master_supply_customer ON master_supply (customer);
CREATE INDEX master_related_other ON master_related (other);
CREATE INDEX master_mapped_device ON master_mapped (gateway, device);
CREATE INDEX master_installation_meter ON master_installation (meter);
CREATE INDEX seen_mark ON seen (mark);
PRAGMA application_id=1347178317;
PRAGMA user_version=4;
