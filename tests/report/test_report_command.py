"""``prunekit report`` on a store of made-up observations."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from helpers_command import prunekit

from prunekit.plugins.measures.q_score import QScore
from prunekit.registry import registry
from prunekit.store import Store
from prunekit.study import columns_of

MEMBERS, EXAMPLES = 3, 40
CLASSES = [f"class {c}" for c in range(4)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A finished study of dense, sparse and control, as a run would store it."""
    store = Store.create(tmp_path_factory.mktemp("runs"))
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, EXAMPLES)
    populations = {}
    for name in ("dense", "sparse", "control"):
        populations[name] = {
            "from": None if name == "dense" else "dense",
            "control": "control" if name == "sparse" else None,
            "initial": "made-up",
            "stages": {},
            "members": {str(seed): ["shared", f"{name}{seed}"] for seed in range(MEMBERS)},
        }
        for seed in range(MEMBERS):
            record = {
                "seed": seed,
                "examples": EXAMPLES,
                "ids": "made-up",
                "classes": CLASSES,
                "zeros": {"zeros": 9 if name == "sparse" else 0, "total": 10},
                "made_on": [{"device": "cpu", "name": "x", "torch": "none", "prunekit": "0"}],
                "emptied": [],
            }
            wrong = rng.random(EXAMPLES) < 0.3
            columns = {
                "example_id": [f"test/{i}" for i in range(EXAMPLES)],
                "label": labels,
                "prediction": np.where(wrong, (labels + 1) % 4, labels),
                "confidence": rng.random(EXAMPLES, dtype=np.float32),
                "loss": rng.random(EXAMPLES, dtype=np.float32),
            }
            store.save_observation(f"{name}{seed}", "test", columns, record)
            scores = {column: rng.random(EXAMPLES) for column in ("q", "z", "l1")}
            store.save_observation(f"{name}{seed}", "test", scores, record, columns_of(QScore(), registry))
    plan = {
        "study": "made-up",
        "description": "",
        "identity": "made-up-0",
        "data": {"name": "made-up", "split": "test", "examples": EXAMPLES},
        "plugins": [],
        "measures": ["accuracy", "pie", "q_score"],
        "comparisons": [{"reference": "dense", "pruned": "sparse"}, {"reference": "control", "pruned": "sparse"}],
        "populations": populations,
    }
    store.save_study("made-up-0", {"model": "wrn16_2"}, plan)
    return store.root


def report(*arguments):
    return prunekit("report", *arguments)


def compared(result):
    assert result.returncode == 0, result.stderr
    return [(each["reference"], each["pruned"]) for each in json.loads(result.stdout)["comparisons"]]


def test_the_recipes_comparisons_are_shown_without_the_option(store):
    assert compared(report("--out", store, "--format", "json")) == [("dense", "sparse"), ("control", "sparse")]


def test_the_first_name_is_the_reference_of_all_others(store):
    arguments = ("--compare", "dense,sparse,control", "--compare", "control, sparse", "--format", "json")
    found = compared(report("made-up", "--out", store, *arguments))
    assert found == [("dense", "sparse"), ("dense", "control"), ("control", "sparse")]


def test_the_report_goes_to_stdout_and_the_rest_to_stderr(store, tmp_path):
    path = tmp_path / "examples.csv"
    result = report("--out", store, "--compare", "dense,sparse", "--examples", path)
    assert result.returncode == 0
    assert result.stdout.startswith("made-up: 40 test images of made-up\n")
    assert "90 % of the weights pruned: accuracy" in result.stdout
    assert "fine-tuning without pruning changes" in result.stdout
    assert result.stderr == f"wrote {path}\n"
    with path.open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 3 * MEMBERS * EXAMPLES


def test_figures_are_written_into_a_folder_and_counted_on_stderr(store, tmp_path):
    result = report("--out", store, "--compare", "dense,sparse", "--figures", tmp_path / "figures")
    assert result.returncode == 0
    last = result.stderr.splitlines()[-1]  # progress stands above it where drawing takes long
    assert last == f"wrote 3 figures to {tmp_path / 'figures'}"
    stems = ["pie-classes.dense-sparse", "pie-examples.dense-sparse", "q-score.dense-sparse"]
    written = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert written == [stem + suffix for stem in stems for suffix in (".png", ".svg")]


def test_the_page_is_written_beside_the_tables(store, tmp_path):
    path = tmp_path / "report.html"
    result = report("--out", store, "--html", path)
    assert result.returncode == 0
    assert result.stdout.startswith("made-up: 40 test images of made-up\n")
    wrote, note = result.stderr.splitlines()
    assert wrote == f"wrote {path} ({path.stat().st_size / 1e6:.1f} MB)"
    assert note.startswith("note: the page has no images: the images of made-up cannot be read: ")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")


@pytest.mark.parametrize("layout", ["table", "json", "csv", "markdown", "latex"])
def test_published_numbers_stand_in_every_format(store, layout, tmp_path):
    runs = tmp_path / "runs"
    shutil.copytree(store, runs)
    plan = Store(runs).find_study(None)
    plan["published"] = {
        "source": "A paper, Table 7",
        "populations": {"sparse": {"pie": 273, "accuracy": [89.47, 0.36]}},
    }
    Store(runs).save_study("made-up-0", {"model": "wrn16_2"}, plan)
    arguments = ("--out", runs, "--format", layout)
    with_them, without = report(*arguments, "--published"), report(*arguments)
    assert with_them.returncode == without.returncode == 0
    for text in ("273", "89.47", "A paper, Table 7"):
        assert text in with_them.stdout or (layout == "csv" and "Table" in text)
        assert text not in without.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--compare", "dense,spares"], "no population 'spares' (did you mean 'sparse'?)"),
        (["--compare", "dense"], "--compare dense: expected the reference and what is compared with it"),
        (["--compare", "dense,dense"], "compared with itself"),
        (["--compare", ""], "expected the reference and what is compared with it"),
        (["--examples", "examples.xlsx"], "expected a file that ends in .csv or .parquet"),
        (["--figures", "nowhere/figures"], "--figures nowhere/figures: there is no folder nowhere"),
        (["--html", "nowhere/report.html"], "--html nowhere/report.html: there is no folder nowhere"),
        (["--format", "yaml"], "'yaml' is not one of"),
        (["--published"], "--published: the recipe of 'made-up' has no published numbers of what is compared"),
        (["nothing"], "nothing"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(store, arguments, message):
    result = report("--out", store, *arguments)
    assert result.returncode == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert result.stdout == ""


def test_a_report_where_nothing_was_run_says_so(tmp_path):
    result = report("--out", tmp_path)
    assert (result.returncode, len(result.stderr.splitlines())) == (2, 1)
    assert "nothing was run there yet" in result.stderr


def test_a_report_imports_no_torch(store):
    start = """import atexit, sys
from prunekit.cli.main import main
atexit.register(lambda: print("torch" in sys.modules, file=sys.stderr))
main()"""
    command = [sys.executable, "-c", start, "report", "--out", str(store)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stderr == "False\n"
