"""Every command says what it is for, and what each of its options is: man pages and completions are made from that."""

from __future__ import annotations

import gzip
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import click
import pytest

ROOT = Path(__file__).resolve().parents[2]


def _tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("plomba_manual", ROOT / "tools" / "manual.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MANUAL = _tool()
COMMANDS = {words: (command, ctx) for words, command, ctx in MANUAL.commands()}


def test_every_command_and_every_option_has_a_help_text() -> None:
    without = [words for words, (command, _) in COMMANDS.items() if not (command.help or "").strip()]
    without += [
        f"{words} {option.opts[0]}"
        for words, (command, _) in COMMANDS.items()
        for option in command.params
        if isinstance(option, click.Option) and not option.hidden and not (option.help or "").strip()
    ]
    assert without == []


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pages and completions."""
    folder: Path = tmp_path_factory.mktemp("manual")
    MANUAL.write(folder)
    return folder


def test_every_command_has_a_page_that_groff_reads_without_a_warning(written: Path) -> None:
    """Its name, its usage and each option are in it."""
    files = written.rglob("*.1.gz")
    pages = {path.name.removesuffix(".1.gz"): gzip.decompress(path.read_bytes()).decode() for path in files}
    assert set(pages) == {words.replace(" ", "-") for words in COMMANDS}
    for words, (command, _) in COMMANDS.items():
        text = pages[words.replace(" ", "-")].replace("\\-", "-").replace("\\&", "")
        assert f".SH NAME\n{words.replace(' ', '-')} - " in text
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                assert option.opts[0] in text
    if shutil.which("groff") is not None:
        everything = "".join(pages.values()).encode()
        done = subprocess.run(["groff", "-man", "-ww", "-z"], input=everything, capture_output=True, check=True)
        assert done.stderr == b""


@pytest.mark.parametrize("program", MANUAL.PROGRAMS)
def test_the_completion_of_each_shell_calls_the_program(program: str, written: Path) -> None:
    """By click's own variable; bash and zsh say of their own that it reads."""
    variable = f"_{program.replace('-', '_').upper()}_COMPLETE"
    for shell, name in MANUAL.FILES.items():
        path = written / "completions" / shell / name.format(program)
        assert f"{variable}={shell}_complete" in path.read_text()
        if shutil.which(shell) is not None:
            subprocess.run([shell, "-n", str(path)], check=True)


def test_the_same_sources_are_the_same_pages(written: Path, tmp_path: Path) -> None:
    """Byte for byte: a package can be built again."""
    again = MANUAL.write(tmp_path)
    assert again
    for path in again:
        assert path.read_bytes() == (written / path.relative_to(tmp_path)).read_bytes()


def test_bash_is_offered_commands_and_options() -> None:
    """What the script asks the program when the key is pressed."""
    line = {"COMP_WORDS": "plomba-gateway do", "COMP_CWORD": "1", "_PLOMBA_GATEWAY_COMPLETE": "bash_complete"}
    code = "import gateway.cli; gateway.cli.main(prog_name='plomba-gateway')"
    environment = {**os.environ, **line, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["plain,doctor"]
