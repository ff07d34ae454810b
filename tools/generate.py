"""Writes what is made from the classes: the catalogue of errors, its page, examples and schemas of the configurations.

python tools/generate.py           write them
python tools/generate.py --check   say which are out of step, and fail if any is
"""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import pkgutil
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from collector.config import File  # noqa: E402 - the checkout's own packages
from gateway import config as gateway  # noqa: E402
from gateway import rules_dlms  # noqa: E402
from gateway.rules import known_dlms_models, known_models  # noqa: E402
from protocols.catalogue import WHO, Entry  # noqa: E402
from protocols.errors import PlombaError  # noqa: E402
from protocols.settings.model import model_of  # noqa: E402
from protocols.settings.words import expected, slot_of  # noqa: E402

CONFIGURATION = model_of(gateway.Configuration)
PACKAGES = ("protocols", "gateway", "collector", "simulators")
WIDTH = 116
UNSAID = ("an answer with values", "a refusal by the meter")  # where the words come from a table: all are of meters
EXAMPLE = "..."  # stands for what is only known when it happens

GATEWAY_HEADER = """#:schema ./gateway.schema.json

A gateway: copy this file to /etc/plomba/gateway.toml, fill it in, and run

    plomba-gateway check --config /etc/plomba/gateway.toml
    plomba-gateway check --config /etc/plomba/gateway.toml --online

A line that begins with # and a key shows a default, or a key that may be given; remove the # to change it.
Paths are relative to this file. Passwords never stand here. Order matters in one respect: keys without a table
come first, and every key below a [table] belongs to that table.
Made from the classes that load it (tools/generate.py): change those."""
COLLECTOR_HEADER = """#:schema ./collector.schema.json

A collector: copy this file to /etc/plomba/collector.toml, fill it in, and run

    plomba-collector check --config /etc/plomba/collector.toml

A line that begins with # and a key shows a default, or a key that may be given; remove the # to change it.
Paths are relative to this file. Made from the classes that load it (tools/generate.py): change those."""

# Of the JSON schema of a DLMS meter: a password where its login wants one, and only there.
PASSWORDS = ("password_file", "password_credential")
WITH_LOGIN = {"properties": {"auth": {"enum": list(rules_dlms.WITH_PASSWORD)}}, "required": ["auth"]}
DEVICES = ("MbusDevice", "DlmsDevice", "ModbusDevice")
ONE_CADENCE = {"oneOf": [{"required": ["cadence_s"]}, {"required": ["cadence"]}]}
ONE_PASSWORD = {"oneOf": [{"required": [each]} for each in PASSWORDS]}
# ... and what stands for the same thing: one of both, in the schema and in the example.
EITHER = (
    *((bus, "port", "url") for bus in ("MbusBus", "DlmsBus", "ModbusBus")),
    ("MbusDevice", "address", "secondary"),
)
NO_PASSWORD = {"properties": dict.fromkeys(PASSWORDS, False)}
# ... and both keys and a system title where they are wanted.
WITH_KEYS = {
    "anyOf": [
        {"properties": {"auth": {"const": "hls-gmac"}}, "required": ["auth"]},
        {"properties": {"ciphering": {"not": {"const": "none"}}}, "required": ["ciphering"]},
    ]
}
BOTH_KEYS = {
    "allOf": [{"oneOf": [{"required": [each]} for each in names]} for names in rules_dlms.KEYS],
    "required": ["system_title"],
}
NO_KEYS = {"properties": dict.fromkeys((each for names in rules_dlms.KEYS for each in names), False)}
WITH_TITLE = {"properties": {"auth": {"enum": list(rules_dlms.WITH_TITLE)}}, "required": ["auth"]}

# Of errors that are made from values alone: what was expected and what came.
MESSAGES = {
    "AnotherMeter": ("id 1A7F2044", "1A7F2045"),
    "BadConfiguration": ("a whole number from 1 to 250", "0"),
    "ConfigurationUnreadable": ("a settings file", "no such file"),
    "TrustHashDiffers": ("5b1f...", "90ac..."),
    "FileUnusable": ("a file that can be used", "No space left on device in help.tar.gz"),
    "FingerprintError": ("3a7c-...", "91d0-..."),
}

# The meters of the example: per bus its class, what differs from the fields' examples, and its meters likewise.
BUSES: tuple[tuple[type[BaseModel], str, dict[str, Any], tuple[dict[str, Any], ...]], ...] = (
    (
        model_of(gateway.MbusBus),
        "M-Bus: one line, one serial port or converter. 'check' forecasts how much of its time the meters need.",
        {"name": "riser", "port": "/dev/serial/by-id/usb-FTDI_FT232R-if00-port0"},
        (
            {"name": "heat", "address": 1, "cadence_s": 900},
            {"name": "water", "address": 2, "cadence_s": 900, "id": "20448817", "manufacturer": "ZRI"},
        ),
    ),
    (
        model_of(gateway.DlmsBus),
        "DLMS/COSEM over TCP with the wrapper. This meter wants a password: it lies in a file of its own.",
        {"name": "main supply", "url": "tcp://192.0.2.10:4059"},
        ({"name": "main meter", "cadence_s": 900, "client": 32, "auth": "lls", "password_file": "secrets/main-meter"},),
    ),
    (
        model_of(gateway.DlmsBus),
        "DLMS/COSEM with HDLC frames: a serial server in front of the meter, as most optical heads and RS-485 have.",
        {"name": "solar", "url": "tcp+hdlc://192.0.2.11:4001"},
        ({"name": "solar meter", "cadence_s": 900, "physical": 17, "registers": ["1-0:2.8.0.255"]},),
    ),
    (
        model_of(gateway.ModbusBus),
        "Modbus over TCP: the model names the registers. RTU: port in place of url, or tcp+rtu:// or rfc2217:// in it.",
        {"name": "sub-meters", "url": "tcp://192.0.2.20:502"},
        ({"name": "lift", "unit": 1, "cadence_s": 900}, {"name": "ventilation", "unit": 2, "cadence_s": 300}),
    ),
)


def main() -> int:
    """Write or check."""
    made = {ROOT / name: text for name, text in everything()}
    stale = [path for path, text in made.items() if not path.exists() or path.read_text(encoding="utf-8") != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} is out of step: run tools/generate.py\n")
        return 1 if stale else 0
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(made[path], encoding="utf-8")
        sys.stderr.write(f"{path.relative_to(ROOT)} written\n")
    return 0


def everything() -> Iterator[tuple[str, str]]:
    """Name and text of every file that is made."""
    entries = catalogue()
    yield "protocols/catalogue.json", _json([asdict(each) for each in entries])
    yield "docs/errors.md", errors_page(entries)
    yield "config/gateway.schema.json", gateway_schema()
    yield "config/collector.schema.json", schema(File, "Plomba collector")
    yield "config/gateway.example.toml", gateway_example()
    yield "config/collector.example.toml", collector_example()


def catalogue() -> list[Entry]:
    """All errors that any module defines."""
    sources = [
        importlib.import_module(module.name)
        for package in PACKAGES
        for module in pkgutil.walk_packages([str(ROOT / package)], prefix=f"{package}.")
        if not module.name.endswith("__main__")
    ]
    examples = _examples(sources)
    return [_entry(code, kind, examples) for code, kind in sorted(PlombaError.registry.items())]


def _entry(code: str, kind: type[PlombaError], examples: dict[str, tuple[str, str]]) -> Entry:
    meaning = " ".join(inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].split())
    wanted, got = MESSAGES.get(kind.__name__) or examples.get(code, UNSAID)
    return Entry(
        code, kind.__name__, meaning, WHO[code[4]], kind.do, f"{code}: expected {wanted}, got {got}; {kind.do}"
    )


def _examples(modules: list[ModuleType]) -> dict[str, tuple[str, str]]:
    """Expected and got of the first place where each error is made with words, by its code."""
    found: dict[str, tuple[str, str]] = {}
    for module in modules:
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if isinstance(node, ast.Call) and len(node.args) >= 2:
                kind = _named(module, node.func)
                words = _words(node.args[0]), _words(node.args[1])
                if isinstance(kind, type) and issubclass(kind, PlombaError) and words[0] != EXAMPLE:
                    found.setdefault(kind.code, words)
    return found


def _named(module: ModuleType, node: ast.expr) -> object:
    """What a name or a dotted name means in a module; None where it is no such name."""
    if isinstance(node, ast.Attribute):
        return getattr(_named(module, node.value), node.attr, None)
    return getattr(module, node.id, None) if isinstance(node, ast.Name) else None


def _words(node: ast.expr) -> str:
    """The text of an expression as far as it is written down."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(str(each.value) if isinstance(each, ast.Constant) else EXAMPLE for each in node.values)
    return EXAMPLE


def errors_page(entries: list[Entry]) -> str:
    """The page of the documentation."""
    lines = [
        "# Error codes",
        "",
        "Made by tools/generate.py. `plomba-gateway explain CODE` and `plomba-collector explain",
    ]
    lines += ["CODE` print the same.", ""]
    for letter, who in WHO.items():
        lines += [f"## PLB-{letter}: {who.partition(':')[0]}", ""]
        for each in entries:
            if each.code[4] == letter:
                lines += [
                    f"### {each.code}",
                    "",
                    each.meaning,
                    "",
                    f"* **Do**: {each.do}",
                    f"* **Example**: `{each.example}`",
                    "",
                ]
    return "\n".join(lines).rstrip() + "\n"


def schema(model: type[BaseModel], title: str) -> str:
    """A JSON schema for editors and other checkers."""
    return _json(_schema(model, title))


def gateway_schema() -> str:
    """The gateway's, with what its rules know beside the classes: the models, and which login wants a password."""
    made = _schema(CONFIGURATION, "Plomba gateway")
    tables = made["$defs"]
    tables["ModbusDevice"]["properties"]["model"]["enum"] = list(known_models())
    tables["DlmsDevice"]["properties"]["model"]["enum"] = list(known_dlms_models())
    for name, *keys in EITHER:
        tables[name]["oneOf"] = [{"required": [each]} for each in keys]
    for name in DEVICES:
        tables[name]["allOf"] = [ONE_CADENCE]
    tables["DlmsDevice"]["allOf"] += [
        {"if": WITH_LOGIN, "then": ONE_PASSWORD, "else": NO_PASSWORD},
        {"if": WITH_KEYS, "then": BOTH_KEYS, "else": NO_KEYS},
        {"if": WITH_TITLE, "then": {"required": ["system_title"]}},
    ]
    return _json(made)


def _schema(model: type[BaseModel], title: str) -> dict[str, Any]:
    made: dict[str, Any] = _given(model.model_json_schema())
    made["title"] = title
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}


def _given(value: Any) -> Any:
    """Without null, which TOML does not have: what may be left out is not null."""
    if isinstance(value, list):
        return [_given(each) for each in value]
    if not isinstance(value, dict):
        return value
    kinds = [each for each in value.get("anyOf", ()) if each != {"type": "null"}]
    if len(kinds) == 1:
        value = {**kinds[0], **{key: each for key, each in value.items() if key != "anyOf"}}
    return {key: _given(each) for key, each in value.items() if (key, each) != ("default", None)}


def gateway_example() -> str:
    """The gateway's example."""
    top = _keys(CONFIGURATION, {}, skip=("broker", "buffer", "seal", "newcomers", "push", "bus"))
    lines = [*_comment(GATEWAY_HEADER), "", *top]
    for name in ("broker", "buffer", "seal", "newcomers"):
        table = slot_of(CONFIGURATION.model_fields[name].annotation).kind
        lines += ["", *_comment(table.__doc__ or ""), f"[{name}]", *_keys(table, {})]
    push = slot_of(CONFIGURATION.model_fields["push"].annotation).kind
    lines += ["", *_comment(push.__doc__ or ""), "# [push]"]
    lines += [line if line.startswith("#") else f"# {line}" for line in _keys(push, {})]
    said: set[str] = set()
    for kind, words, values, devices in BUSES:
        lines += ["", *_comment(words), "[[bus]]", *_keys(kind, values, skip=("device",), said=said)]
        device = slot_of(kind.model_fields["device"].annotation).kind.__args__[0]
        for number, mine in enumerate(devices):
            lines += ["", "[[bus.device]]", *_keys(device, mine, said=said, optional=number == 0)]
    return "\n".join(lines) + "\n"


def collector_example() -> str:
    """The collector's example."""
    top = _keys(File, {}, skip=("broker", "acknowledge", "limits", "http"))
    lines = [*_comment(COLLECTOR_HEADER), "", *top]
    for name in ("broker", "acknowledge", "limits", "http"):
        table = slot_of(File.model_fields[name].annotation).kind
        lines += ["", *_comment(table.__doc__ or ""), f"[{name}]", *_keys(table, {})]
    return "\n".join(lines) + "\n"


def _keys(
    model: type[BaseModel],
    values: dict[str, Any],
    skip: tuple[str, ...] = (),
    said: set[str] | None = None,
    optional: bool = True,
) -> list[str]:
    """The keys of a table, each with its description where it was not said before."""
    lines, told = [], set() if said is None else said
    for name, field in model.model_fields.items():
        given = name in values or field.is_required()
        if name in skip or (not given and not optional):
            continue
        if f"{field.description}" not in told:
            lines += _comment(f"{field.description} {_limits(field, name, given)}".strip())
            told.add(f"{field.description}")
        shown = _toml(values.get(name, _sample(field)))
        lines.append(f"{name} = {shown}" if given else f"# {name} = {shown}")
    return lines


def _limits(field: FieldInfo, name: str, given: bool) -> str:
    words = expected(slot_of(field.annotation, field), (name,))
    bounds = f"({words})" if words.startswith("a whole number") or (words.startswith("one of") and "," in words) else ""
    known = given and not field.is_required() and field.default is not None
    return f"{bounds} Default: {_toml(field.default)}.".strip() if known else bounds


def _sample(field: FieldInfo) -> Any:
    if not field.is_required() and field.default is not None and field.default != ():
        return field.default
    return field.examples[0] if field.examples else field.default


def _comment(text: str) -> list[str]:
    lines: list[str] = []
    for each in inspect.cleandoc(text).split("\n"):
        wrapped = textwrap.wrap(each, WIDTH, subsequent_indent=" " * (len(each) - len(each.lstrip()))) or [""]
        lines += [line if line.startswith("#:") else f"# {line}".rstrip() for line in wrapped]
    return lines


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_toml(each) for each in value)}]"
    return str(value) if isinstance(value, int) else f'"{value}"'


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.exit(main())
