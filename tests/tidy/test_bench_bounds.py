"""What a benchmark promises: a missed bound is marked in its row and in what is printed."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

FIGURES = Path(__file__).resolve().parents[2] / "benchmarks" / "figures.py"


@pytest.fixture(scope="module")
def figures() -> ModuleType:
    """benchmarks/ is no package: its module by path."""
    spec = importlib.util.spec_from_file_location("benchmark_figures", FIGURES)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("value", "held", "word"), [(5_000, True, "held"), (4_999.9, False, "MISSED")])
def test_a_bound_is_held_or_missed(figures: ModuleType, value: float, held: bool, word: str) -> None:
    figure = figures.Figure("speed", value, "1/s", "another", 1.0, 5_000)
    assert figure.held is held
    assert str(figure).endswith(f"at least 5,000: {word}")
    assert figure.to_row() | {"held": held, "least": 5_000} == figure.to_row()


@pytest.mark.parametrize(("value", "held", "word"), [(60, True, "held"), (60.1, False, "MISSED")])
def test_an_upper_bound_is_held_or_missed(figures: ModuleType, value: float, held: bool, word: str) -> None:
    figure = figures.Figure("size", value, "MB", "another", 1.0, most=60)
    assert figure.held is held
    assert str(figure).endswith(f"at most 60: {word}")
    assert figure.to_row().keys() == {"name", "value", "unit", "beside", "ratio", "most", "held"}


def test_a_figure_without_a_bound_promises_nothing(figures: ModuleType) -> None:
    figure = figures.Figure("speed", 1.0, "1/s", "another", 1.0)
    assert figure.held
    assert figure.to_row().keys() == {"name", "value", "unit", "beside", "ratio"}
