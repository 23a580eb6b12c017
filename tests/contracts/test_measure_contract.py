"""Every registered measure keeps to its contract."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers_contract import contract, hold
from helpers_umap import stand_in

from prunekit import Measure
from prunekit.registry import registry
from prunekit.study import columns_of
from prunekit.testing import Check

MEASURES = registry.names("measure")
REQUIRED = {"subgroups": {"groups": "{examples}.csv"}}
"""Options that a measure cannot do without."""


@pytest.fixture(autouse=True)
def _no_compilation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep UMAP's library, which is compiled for a minute when first used, out of tests of what is around it."""
    stand_in(monkeypatch)


@pytest.fixture(autouse=True)
def _groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put files that say to which groups examples belong into the working folder."""
    monkeypatch.chdir(tmp_path)
    for examples in (1, 30):
        rows = "".join(f"{i},{i % 2}\n" for i in range(examples))
        (tmp_path / f"{examples}.csv").write_text(f"example_id,parity\n{rows}")


def make(name: str, examples: int = 30) -> Measure:
    options = {key: value.format(examples=examples) for key, value in REQUIRED.get(name, {}).items()}
    measure = registry.find("measure", name)[0].plugin(**options)  # type: ignore[arg-type]
    assert isinstance(measure, Measure)
    return measure


def test_there_are_measures() -> None:
    assert {"accuracy", "pie", "q_score"} <= set(MEASURES)


@contract("measure", MEASURES)
def test_contract(name: str, check: Check) -> None:
    hold(check, make(name, examples=1 if check.name == "it_summarises_one_example" else 30))


def test_no_two_measures_observe_a_column_of_the_same_name() -> None:
    columns = [column for name in MEASURES for column in make(name).columns]
    assert len(set(columns)) == len(columns)


@pytest.mark.parametrize("name", MEASURES)
def test_what_observes_something_is_stored_under_a_name(name: str) -> None:
    measure = make(name)
    assert bool(measure.columns or measure.notes) == (columns_of(measure, registry) is not None)
    measure.check()


def test_measures_are_found_and_imported_without_torch() -> None:
    code = """import sys
from prunekit.registry import registry
print(len(list(registry.entries("measure"))) > 0, "torch" in sys.modules)"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True False\n"
