"""Rules about the checkout itself that a machine can check."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest

from protocols.errors import PlombaError

ROOT = Path(__file__).resolve().parents[2]
OUR_NAMES = ("protocols", "gateway", "collector", "simulators")
NO_PACKAGES = ("config", "systemd", "tests")
LINES_MAX = 600
FUNCTION_LINES_MAX = 60
# Written in pieces, so that this file does not contain what it looks for.
HOSTS = ("py" + "pi.org", "python" + "hosted.org", "npm" + "js.org", "deb." + "debian.org", "proxy." + "golang.org")
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|root)/[\w.]")


def tracked(pattern: str = "*") -> list[Path]:
    """The files that belong to the repository, new ones included, and are there."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", pattern]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.mark.parametrize("name", OUR_NAMES)
def test_nobody_else_owns_our_names(name: str) -> None:
    """No installed distribution but ours has this package, and what is imported is this checkout's."""
    owners = set(importlib.metadata.packages_distributions().get(name, []))
    assert owners <= {"plomba"}
    spec = importlib.util.find_spec(name)
    assert spec is not None
    assert spec.origin == str(ROOT / name / "__init__.py")


@pytest.mark.parametrize("folder", NO_PACKAGES)
def test_folders_that_are_no_packages_stay_so(folder: str) -> None:
    """An __init__.py there would take a name that others use."""
    assert [path for path in tracked(f"{folder}/**") if path.name == "__init__.py"] == []


def test_no_module_is_longer_than_600_lines() -> None:
    """A long module has two subjects."""
    lengths = {path.relative_to(ROOT): len(path.read_text().splitlines()) for path in tracked("*.py")}
    assert {path: length for path, length in lengths.items() if length > LINES_MAX} == {}


def test_no_function_is_longer_than_60_lines() -> None:
    """A long function has two verbs."""
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in tracked("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or node.lineno) - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert long == []


def test_no_file_names_a_registry_or_a_path_of_one_machine() -> None:
    """The project builds wherever packages come from, and wherever it lies."""
    found = []
    for path in tracked():
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{path.relative_to(ROOT)}: {host}" for host in HOSTS if host in text]
        found += [f"{path.relative_to(ROOT)}: {match.group()}" for match in MACHINE_PATH.finditer(text)]
    assert found == []


def test_the_locked_requirements_pin_every_file_by_hash() -> None:
    """No line without version and hash, and no place to fetch from."""
    locks = tracked("requirements/*.txt")
    assert {path.name for path in locks} == {"build.txt", "dev.txt", "runtime.txt"}
    for path in locks:
        text = re.sub(r"#.*", "", path.read_text()).replace("\\\n", " ")
        for line in filter(str.strip, text.splitlines()):
            assert re.match(r"[\w.\[\]-]+==\S+ .*--hash=sha256:[0-9a-f]{64}", line), f"{path.name}: {line[:80]}"


def test_the_two_locks_agree_on_every_version() -> None:
    """What is tested is what is shipped."""
    runtime, dev = (
        set(re.findall(r"^([\w.-]+==[^\s;\\]+)", (ROOT / "requirements" / name).read_text(), re.MULTILINE))
        for name in ("runtime.txt", "dev.txt")
    )
    assert runtime <= dev


def test_every_error_has_its_own_code_and_says_what_to_do() -> None:
    """Importing all modules registers all errors; a code that is given twice fails there."""
    for package in OUR_NAMES:
        for module in pkgutil.walk_packages([str(ROOT / package)], prefix=f"{package}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    assert PlombaError.registry
    for code, kind in PlombaError.registry.items():
        assert re.fullmatch(r"PLB-[CMLSPXB]\d{3}", code), kind
        assert kind.do, kind
