"""The tables of the master data, added by version 4.

Every word has a table of its own. Its rows hold from `from_ms` to `to_ms` (NULL: until further notice), and are known
from `known_from_ms` to `known_to_ms` (NULL: still): what is corrected is closed and stays. The point or the meter is in
every key. `master_act` numbers who entered something and when: two who write at once meet there. `master_identity` is
the register of what meters say of themselves, and `seen` of what readings say, both by single marks. `recompute` is
what attribution has to compute again; its `number` begins with the act's.
"""

from __future__ import annotations

_DATED = (
    "from_ms INTEGER NOT NULL, to_ms INTEGER, known_from_ms INTEGER NOT NULL, known_to_ms INTEGER,"
    "\n  who TEXT NOT NULL, why TEXT NOT NULL,"
)


def _word(name: str, columns: str, key: str) -> str:
    return (
        f"CREATE TABLE {name} (\n  {columns},\n  {_DATED}\n"
        f"  PRIMARY KEY ({key}, from_ms, known_from_ms)\n) STRICT, WITHOUT ROWID;\n"
    )


MASTER = (
    "CREATE TABLE master_act (\n  n INTEGER NOT NULL, at_ms INTEGER NOT NULL, who TEXT NOT NULL, why TEXT NOT NULL,\n"
    "  PRIMARY KEY (n)\n) STRICT, WITHOUT ROWID;\n"
    + _word(
        "master_point", "point TEXT NOT NULL, scheme TEXT NOT NULL, medium TEXT NOT NULL, zone TEXT NOT NULL", "point"
    )
    + _word("master_supply", "point TEXT NOT NULL, customer TEXT NOT NULL", "point")
    + _word(
        "master_related",
        "point TEXT NOT NULL, other TEXT NOT NULL, relation TEXT NOT NULL, share TEXT NOT NULL",
        "point, other, relation",
    )
    + _word(
        "master_meter",
        "meter TEXT NOT NULL, model TEXT NOT NULL, identity BLOB NOT NULL, verified TEXT, until TEXT,"
        " seals TEXT NOT NULL",
        "meter",
    )
    + _word(
        "master_register",
        "meter TEXT NOT NULL, name TEXT NOT NULL, native BLOB NOT NULL, kind TEXT NOT NULL, quantity TEXT NOT NULL,"
        "\n  unit TEXT NOT NULL, factor TEXT NOT NULL, modulus TEXT, step TEXT NOT NULL",
        "meter, name",
    )
    + _word(
        "master_mapped",
        "gateway TEXT NOT NULL, device TEXT NOT NULL, sub TEXT NOT NULL, native BLOB NOT NULL, meter TEXT NOT NULL,"
        "\n  register TEXT",
        "meter, gateway, device, sub, native",
    )
    + _word(
        "master_installation",
        "point TEXT NOT NULL, meter TEXT NOT NULL, clock TEXT NOT NULL, interval_edge TEXT NOT NULL,"
        "\n  day_edge TEXT NOT NULL, initial TEXT NOT NULL, final TEXT NOT NULL",
        "point, meter",
    )
    + _word(
        "master_channel",
        "point TEXT NOT NULL, name TEXT NOT NULL, quantity TEXT NOT NULL, register TEXT NOT NULL,"
        "\n  cadence TEXT NOT NULL, aggregate TEXT NOT NULL, weight TEXT",
        "point, name",
    )
    + _word(
        "master_computed",
        "point TEXT NOT NULL, name TEXT NOT NULL, quantity TEXT NOT NULL, cadence TEXT NOT NULL,"
        "\n  aggregate TEXT NOT NULL, terms TEXT NOT NULL",
        "point, name",
    )
    + """\
CREATE INDEX master_supply_customer ON master_supply (customer);
CREATE INDEX master_related_other ON master_related (other);
CREATE INDEX master_mapped_device ON master_mapped (gateway, device);
CREATE INDEX master_installation_meter ON master_installation (meter);
CREATE TABLE master_identity (
  mark TEXT NOT NULL, meter TEXT NOT NULL, PRIMARY KEY (mark, meter)
) STRICT, WITHOUT ROWID;
CREATE TABLE seen (
  meter BLOB NOT NULL, mark TEXT NOT NULL, PRIMARY KEY (meter, mark)
) STRICT, WITHOUT ROWID;
CREATE INDEX seen_mark ON seen (mark);
CREATE TABLE recompute (
  point TEXT NOT NULL, number INTEGER NOT NULL, channel TEXT NOT NULL, from_ms INTEGER NOT NULL,
  to_ms INTEGER NOT NULL, why TEXT NOT NULL, act INTEGER NOT NULL, PRIMARY KEY (point, number)
) STRICT, WITHOUT ROWID;
"""
)
