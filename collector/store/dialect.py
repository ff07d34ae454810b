"""The one place where PostgreSQL's words differ from SQLite's: parameters, and the types and keys of tables.

The tables are written once, as SQLite has them (`collector.store.schema`). For PostgreSQL every number that a table
gives out itself stands beside the gateway in the key (Citus: the distribution column is in every key) and comes from a
sequence, which Citus hands out in parts; text is compared byte by byte, as in SQLite.
"""

from __future__ import annotations

import functools
import re

# By which column a table is spread; None: a copy of it on every node (small, read far more often than written).
SPREAD: dict[str, str | None] = {
    "meta": None,
    "journal": None,
    "gateway": "name",
    "gateway_key": "gateway",
    "config_approved": "gateway",
    "evidence": "gateway",
    "epoch": "gateway",
    "lost": "gateway",
    "record": "gateway",
    "ring": "gateway",
    "counter": "gateway",
    "incident": "gateway",
    "hold": "gateway",
    "trouble": "gateway",
    "configured": "gateway",
    "name": "gateway",
    "tally": "gateway",
    "fresh": "gateway",
    "reading": "meter",
    "series": "meter",
    "seen": "meter",
    "master_act": None,
    "master_identity": None,
    "master_meter": None,
    "master_register": None,
    "master_mapped": None,
    "progress": None,
    "master_point": "point",
    "master_supply": "point",
    "master_related": "point",
    "master_installation": "point",
    "master_channel": "point",
    "master_computed": "point",
    "recompute": "point",
    "due": "point",
    "curve": "point",
    "stand": "point",
    "erasure": None,
    "erased_span": "meter",
    "erased_leaf": "gateway",
    "retained": "gateway",
    "closed": "point",
}
_FIRST = {"name": "gateway", "gateway": "gateway", "meter": "reading", "point": "master_point"}  # tables, by column
_STATEMENTS = 1_024  # texts of statements that are remembered in PostgreSQL's form
_MARK = re.compile(r"\?(\d*)|%")
_NUMBERED = re.compile(r"^CREATE TABLE (\w+) \(\s+n INTEGER PRIMARY KEY AUTOINCREMENT,", re.MULTILINE)
_STRICT = re.compile(r"\) STRICT(, WITHOUT ROWID)?$")
_TYPES = {"BLOB": "BYTEA", "INTEGER": "BIGINT", "TEXT": 'TEXT COLLATE "C"'}
_LOCK = "/* FOR UPDATE */"  # a comment to SQLite, whose writer has the whole file to itself


@functools.lru_cache(_STATEMENTS)
def statement(sql: str) -> tuple[str, bool]:
    """A statement of the common subset as psycopg wants it, and whether its parameters are named p1, p2 ..."""
    text = _MARK.sub(_mark, sql).replace(_LOCK, "FOR UPDATE")
    return text, "%(p" in text


def tables(statements: str) -> list[str]:
    """SQLite's tables, one statement each, as PostgreSQL has them."""
    found: list[str] = []
    for each in filter(str.strip, statements.split(";\n")):
        found += _table(each.strip())
    return found


def distribution() -> list[str]:
    """What makes the tables of one database those of a cluster of Citus: copies first, they are joined by all."""
    copies = [f"SELECT create_reference_table('{table}')" for table, column in SPREAD.items() if column is None]
    spread = [
        f"SELECT create_distributed_table('{table}', '{column}'{_beside(table, column)})"
        for table, column in SPREAD.items()
        if column is not None
    ]
    return copies + spread


def _mark(found: re.Match[str]) -> str:
    if found.group() == "%":
        return "%%"
    return f"%(p{found.group(1)})s" if found.group(1) else "%s"


def _beside(table: str, column: str) -> str:
    """Rows of one gateway (or meter, or point) lie on one node, whichever table they are in."""
    first = _FIRST[column]
    return "" if table == first else f", colocate_with => '{first}'"


def _table(text: str) -> list[str]:
    if text.startswith("INSERT"):
        return [text]
    numbered = _NUMBERED.search(text)
    text = _STRICT.sub(")", text)
    for old, new in _TYPES.items():
        text = re.sub(rf"\b{old}\b", new, text)
    if numbered is None:
        return [text]
    name = numbered.group(1)
    text = text.replace("n BIGINT PRIMARY KEY AUTOINCREMENT", f"n BIGINT NOT NULL DEFAULT nextval('{name}_n_seq')")
    text = f"{text.rstrip().removesuffix(')').rstrip()}, PRIMARY KEY (gateway, n)\n)"
    return [f"CREATE SEQUENCE {name}_n_seq", text, f"CREATE INDEX {name}_n ON {name} (n)"]
