"""Writes the man pages and the completions of our three programs, as a package takes them.

python tools/manual.py FOLDER      FOLDER/man/man1/*.1.gz, FOLDER/completions/{bash,zsh,fish}/*

The pages are made from the commands themselves, one for each command, and are not kept in the repository: a build makes
them from what it packs. They are written here and not by click-man, which would be one more dependency of a build. The
same sources give the same bytes.
"""

from __future__ import annotations

import gzip
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from protocols.shell import SHELLS  # noqa: E402 - the checkout's own packages

PROGRAMS = {
    "plomba-gateway": ("gateway.cli", "main"),
    "plomba-collector": ("collector.cli", "commands"),
    "plomba-simulator": ("simulators.cli", "main"),
}
FILES = {"bash": "{}", "zsh": "_{}", "fish": "{}.fish"}  # as each shell looks for them
EXIT = (
    ("0", "It went well."),
    ("1", "It failed, and what is said names why."),
    ("2", "The command was not given as it should be."),
    ("3", "Some of it went well, or something is worth a look."),
)


Found = tuple[str, click.Command, click.Context]


def commands() -> Iterator[Found]:
    """Every command of every program with its words ("plomba-gateway buffer export"), programs and groups too."""
    for program, (module, name) in PROGRAMS.items():
        root = getattr(importlib.import_module(module), name)
        yield from _below(program, root, click.Context(root, info_name=program))


def _below(words: str, command: click.Command, ctx: click.Context) -> Iterator[Found]:
    yield words, command, ctx
    if isinstance(command, click.Group):
        for name in command.list_commands(ctx):
            found = command.get_command(ctx, name)
            if found is not None and not found.hidden:
                yield from _below(f"{words} {name}", found, click.Context(found, parent=ctx, info_name=name))


def page(words: str, command: click.Command, ctx: click.Context) -> str:
    """The man page of a command (man-pages(7), groff_man(7))."""
    title = words.replace(" ", "-")
    head, _, body = (command.help or "").replace("\b\n", "").partition("\n\n")
    lines = [
        f'.TH "{title.upper()}" "1" "" "plomba" "Plomba"',
        ".SH NAME",
        f"{_text(title)} \\- {_text(_one(head))}",
        ".SH SYNOPSIS",
        f".B {_text(words)}",
        _text(" ".join(command.collect_usage_pieces(ctx))),
    ]
    if body.strip():
        lines.append(".SH DESCRIPTION")
        lines += [line for part in body.split("\n\n") for line in (".PP", _text(_one(part)))]
    lines += list(_options(command, ctx))
    if isinstance(command, click.Group):
        lines += [".SH COMMANDS", *_subcommands(words, command, ctx)]
    else:
        lines += [".SH EXIT STATUS"]
        lines += [each for code, meaning in EXIT for each in (".TP", f".B {code}", meaning)]
    return "\n".join(lines) + "\n"


def _options(command: click.Command, ctx: click.Context) -> Iterator[str]:
    yield ".SH OPTIONS"
    for each in command.get_params(ctx):
        shown = (
            each.get_help_record(ctx) if isinstance(each, click.Option) else None
        )  # arguments: the synopsis has them
        if shown is not None:
            yield from (".TP", f".B {_text(shown[0])}", _text(_one(shown[1])))


def _subcommands(words: str, command: click.Group, ctx: click.Context) -> Iterator[str]:
    for name in command.list_commands(ctx):
        found = command.get_command(ctx, name)
        if found is not None and not found.hidden:
            link = f"{words} {name}".replace(" ", "-")
            yield from (".TP", f".B {_text(name)}", f"{_text(found.get_short_help_str(300))} See {_text(link)}(1).")


def _one(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def _text(text: str) -> str:
    """A text that troff shows as it is: no backslash, hyphen, or point or quote at a line's start means anything."""
    shown = text.replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{shown}" if shown[:1] in (".", "'") else shown


def script(program: str, shell: str) -> str:
    """What `PROGRAM completion SHELL` prints."""
    from click.testing import CliRunner  # noqa: PLC0415 - runs a command in this process

    module, name = PROGRAMS[program]
    root = getattr(importlib.import_module(module), name)
    result = CliRunner().invoke(root, ["completion", shell], prog_name=program, catch_exceptions=False)
    if result.exit_code:
        raise SystemExit(result.output)
    return result.stdout


def write(folder: Path) -> list[Path]:
    """Write all of them; what was written."""
    made = []
    for words, command, ctx in commands():
        path = folder / "man" / "man1" / f"{words.replace(' ', '-')}.1.gz"
        made.append(_put(path, gzip.compress(page(words, command, ctx).encode(), mtime=0)))
    for program in PROGRAMS:
        for shell in SHELLS:
            path = folder / "completions" / shell / FILES[shell].format(program)
            made.append(_put(path, script(program, shell).encode()))
    return made


def _put(path: Path, octets: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(octets)
    return path


def main() -> None:
    """Write them into the folder that is named."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        raise SystemExit("expected the folder to write to: python tools/manual.py dist/manual")
    made = write(Path(sys.argv[1]))
    sys.stderr.write(f"{len(made)} files written to {sys.argv[1]}\n")


if __name__ == "__main__":
    main()
