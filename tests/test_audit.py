"""Populations that were made elsewhere, from the recipe to the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import prunekit
from prunekit.cli.main import cli
from prunekit.errors import InputError
from prunekit.recipe import load
from prunekit.report.build import build_report
from prunekit.report.load import load_study
from prunekit.study import resolve

EXAMPLES = 40
RECIPE = """
name: audit
populations:
  dense: {predictions: "dense-*.csv"}
  sparse: {predictions: "sparse-*.csv"}
comparisons: [{reference: dense, pruned: sparse}]
measures: [accuracy, pie, agreement, class_impact, calibration, pie_overlap]
"""


def predictions(seed: int, wrong: float) -> np.ndarray:
    draws = np.random.default_rng(seed)
    labels = np.arange(EXAMPLES) % 4
    return np.where(draws.random(EXAMPLES) < wrong, (labels + 1) % 4, labels)


def write(path: Path, predicted: np.ndarray, *columns: str) -> None:
    more = {"confidence": ["0.75"] * EXAMPLES, "label": np.arange(EXAMPLES) % 4}
    rows = [f"id{i:02},{p}" + "".join(f",{more[name][i]}" for name in columns) for i, p in enumerate(predicted)]
    path.write_text("\n".join([",".join(["example_id", "prediction", *columns]), *rows]) + "\n")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRUNEKIT_RUNS", raising=False)
    for seed in range(3):
        write(tmp_path / f"dense-{seed}.csv", predictions(seed, 0.1), "confidence", "label")
        write(tmp_path / f"sparse-{seed}.csv", predictions(10 + seed, 0.4), "confidence", "label")
    (tmp_path / "audit.yaml").write_text(RECIPE)
    return tmp_path


def prunekit_command(*arguments: str):
    return CliRunner().invoke(cli, arguments, catch_exceptions=True)


def document(**options):
    prunekit.run("audit.yaml")
    study = load_study(Path("runs"), **options)
    return build_report(study, study.comparisons).document


def test_a_report_on_predictions_says_what_numpy_says(folder):
    found = document()
    dense = np.stack([predictions(seed, 0.1) for seed in range(3)])
    labels = np.arange(EXAMPLES) % 4
    right = (dense == labels).mean(axis=1)
    assert found["populations"]["dense"]["accuracy"]["mean"] == pytest.approx(right.mean())
    assert found["populations"]["dense"]["accuracy"]["std"] == pytest.approx(right.std(ddof=1))
    assert found["populations"]["dense"]["sparsity"] is None
    assert found["populations"]["dense"]["calibration"]["ece"]["mean"] == pytest.approx(np.abs(right - 0.75).mean())
    assert found["populations"]["dense"]["calibration"]["brier"]["mean"] is None


def test_members_made_apart_are_no_pairs_unless_the_recipe_says_so(folder):
    assert document()["comparisons"][0]["pie"]["paired"] is False
    Path("audit.yaml").write_text(RECIPE.replace("pruned: sparse}", "pruned: sparse, paired: true}"))
    assert document()["comparisons"][0]["pie"]["paired"] is True


def test_populations_may_have_other_numbers_of_members(folder):
    write(folder / "dense-3.csv", predictions(3, 0.1), "label", "confidence")
    found = document()
    assert [found["populations"][name]["members"] for name in ("dense", "sparse")] == [4, 3]
    Path("audit.yaml").write_text(RECIPE.replace("pruned: sparse}", "pruned: sparse, paired: true}"))
    with pytest.raises(InputError, match=r"audit\.yaml:6: comparisons\.0\.paired: dense has 4 members and sparse 3"):
        resolve(load("audit.yaml"))


def test_what_the_files_do_not_allow_is_left_out_and_named(folder):
    for seed, path in enumerate(sorted(folder.glob("*.csv"))):
        write(path, predictions(seed, 0.2))
    prunekit.run("audit.yaml")
    study = load_study(Path("runs"), measures=["q_score"])
    assert [measure.name for measure in study.measures] == ["pie", "agreement", "pie_overlap"]
    assert study.notes == [
        "accuracy, class_impact, calibration: left out: dense and sparse were given without the label of the examples",
        "q_score: left out: dense and sparse were given as predictions, and there is no network to look at",
    ]
    found = build_report(study, study.comparisons).document["comparisons"][0]
    assert found["pie"]["per_class"] is None
    assert found["pie"]["examples"][0]["label"] is None
    assert found["agreement"]["accuracy_on_pies"] == {"reference": None, "pruned": None}


def test_unlabelled_examples_have_no_label_in_the_file_of_examples(folder):
    for i, path in enumerate(sorted(folder.glob("*.csv"))):
        write(path, predictions(i, 0.2))
    prunekit.run("audit.yaml")
    assert prunekit_command("report", "--examples", "all.csv", "--html", "all.html").exit_code == 0
    assert '"labelled":false' in Path("all.html").read_text()
    assert Path("all.csv").read_text().splitlines()[1].startswith('"id00",,"dense",0,"')


def test_one_dense_and_one_pruned_model_say_what_cannot_be_concluded(folder):
    Path("audit.yaml").write_text(RECIPE.replace("-*", "-0"))
    found = document()["comparisons"][0]
    dense, sparse = predictions(0, 0.1), predictions(10, 0.4)
    assert found["pie"]["count"] == (dense != sparse).sum()
    assert found["pie"]["expected"] is None
    assert found["agreement"]["churn"] == pytest.approx((dense != sparse).mean())
    unknown = "PIEs need populations, and how many labels another seed alone would change cannot be told"
    assert unknown in found["sentence"]
    assert "fell furthest" in found["whom"]
    assert "nobody knows what a seed changes" in found["certainty"]


def test_a_page_says_what_is_known_of_members_made_elsewhere(folder):
    assert prunekit_command("run", "audit.yaml").exit_code == 0
    assert prunekit_command("report", "--html", "page.html").exit_code == 0
    page = " ".join(Path("page.html").read_text().split())
    assert "The members of dense and sparse were made elsewhere, a file for each" in page
    assert "if they were made so: of dense and sparse prunekit knows the files" in page
    assert "One data set: 40 test examples." in page
    assert "Images cannot be shown: the recipe names no data" in page
    assert "One architecture" not in page


def test_a_release_is_gated_on_the_audit(folder):
    assert prunekit_command("run", "audit.yaml").exit_code == 0
    gated = CliRunner().invoke(cli, ["report", "--fail-if", "accuracy.difference < -0.01"])
    assert "accuracy.difference" in str(gated.exception)
    assert prunekit_command("report", "--fail-if", "agreement.churn > 0.99").exit_code == 0


def test_what_is_stored_is_not_read_in_again_and_a_changed_file_is(folder):
    assert prunekit.run("audit.yaml").done == 6
    assert prunekit.run("audit.yaml").done == 0
    write(folder / "dense-0.csv", predictions(7, 0.1), "confidence", "label")
    assert prunekit.run("audit.yaml").done == 1


def test_a_copy_of_a_member_is_refused(folder):
    (folder / "dense-3.csv").write_bytes((folder / "dense-0.csv").read_bytes())
    with pytest.raises(
        InputError, match=r"dense-3\.csv holds the same as dense-0\.csv: a member would be counted twice"
    ):
        resolve(load("audit.yaml"))


def test_a_class_that_no_example_is_of_is_named(folder):
    text = (folder / "dense-1.csv").read_text()
    (folder / "dense-1.csv").write_text(text.replace("id07,", "id07,3.5,", 1).replace("id07,3.5,3", "id07,3.5", 1))
    prunekit.run("audit.yaml")
    assert "no example is of the class '3.5', which members of dense predict" in load_study(Path("runs")).notes


def test_other_files_make_another_study(folder):
    before = resolve(load("audit.yaml")).identity
    assert resolve(load("audit.yaml")).identity == before
    write(folder / "dense-0.csv", predictions(7, 0.1), "confidence", "label")
    assert resolve(load("audit.yaml")).identity != before


def test_a_member_without_a_column_leaves_out_what_needs_it(folder):
    write(folder / "dense-1.csv", predictions(1, 0.1), "label")
    prunekit.run("audit.yaml")
    study = load_study(Path("runs"))
    assert "calibration: left out: dense was given without the confidence of the examples" in study.notes


def test_pairs_are_shown_where_both_members_are_there(folder):
    Path("audit.yaml").write_text(RECIPE.replace("pruned: sparse}", "pruned: sparse, paired: true}"))
    prunekit.run("audit.yaml")
    key = resolve(load("audit.yaml")).populations["sparse"].members[1].key
    for file in Path("runs/observations", key).iterdir():
        file.unlink()
    study = load_study(Path("runs"))
    assert {name: each.seeds for name, each in study.columns.populations.items()} == {"dense": (0, 2), "sparse": (0, 2)}


def test_the_plan_names_the_files(folder):
    plan = json.loads(prunekit_command("run", "audit.yaml", "--dry-run", "--format", "json").stdout)
    assert plan["populations"]["dense"]["files"] == ["dense-0.csv", "dense-1.csv", "dense-2.csv"]
    assert (plan["data"]["test"], plan["memory"]) == (EXAMPLES, None)
    shown = prunekit_command("run", "audit.yaml", "--dry-run").stdout
    assert "6 members in 2 populations, on predictions (40 examples, 4 classes)" in shown
    assert not Path("runs").exists()


def test_seeds_are_no_members_of_what_was_made_elsewhere(folder):
    for seeds in (2, range(2)):
        with pytest.raises(InputError, match="--seeds: the members of this recipe are the files"):
            load("audit.yaml", seeds=seeds)


def test_a_table_that_cannot_be_used_is_refused_with_the_line_that_names_it(folder):
    Path("sparse-1.csv").write_text("example_id\nid00\n")
    with pytest.raises(
        InputError, match=r"audit\.yaml:5: populations\.sparse\.predictions: sparse-1\.csv: has no column"
    ):
        resolve(load("audit.yaml"))


DATA = RECIPE + "data: digits\n"


def test_with_data_the_ids_are_those_of_its_images_and_the_labels_its_own(folder):
    from prunekit.registry import registry
    from prunekit.stages import plugin

    test = plugin("dataset", "digits", registry).load().test
    for i, path in enumerate(sorted(folder.glob("*.csv"))):
        rows = [f"{example},{label}" for example, label in zip(test.ids, test.labels, strict=True)]
        path.write_text("\n".join(["example_id,prediction", *rows[i:], *rows[:i]]) + "\n")
    Path("audit.yaml").write_text(DATA)
    prunekit.run("audit.yaml")
    study = load_study(Path("runs"))
    assert study.columns.ids == test.ids
    assert build_report(study, study.comparisons).document["populations"]["dense"]["accuracy"]["mean"] == 1
    assert study.images([0]).shape == (1, 1, 8, 8)


def test_with_data_other_ids_are_refused(folder):
    Path("audit.yaml").write_text(DATA)
    with pytest.raises(
        InputError, match=r"its examples are not those of the data: of the ids 797 are missing, first 'dig"
    ):
        prunekit.run("audit.yaml")


def test_editors_know_what_a_population_is_given_as():
    import jsonschema
    import yaml

    from prunekit.schema import recipe_schema

    schema = recipe_schema()
    jsonschema.validate(yaml.safe_load(RECIPE), schema)
    checkpoints = {"dense": {"checkpoints": ["a.pt", "b.pt"]}}
    model = {"import": "mine:build", "classes": 3, "mean": [0.5], "std": [1]}
    jsonschema.validate({"name": "a", "data": "digits", "model": model, "populations": checkpoints}, schema)
    for wrong in ({"model": {"classes": 3}}, {"populations": {"dense": {"checkpoints": 3}}}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"name": "a", **wrong}, schema)


def test_nothing_heavy_is_imported_for_predictions(folder):
    import subprocess
    import sys

    code = "import sys, prunekit; prunekit.run('audit.yaml'); print([m for m in ('torch', 'timm') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


DENSE = 'dense: {predictions: "dense-*.csv"}'
REFUSED = {
    "populations.dense.predictions: no file matches 'nothing-*.csv'": (DENSE, DENSE.replace("dense-", "nothing-")),
    "populations.dense.stages: a population needs a stage, or files": (DENSE, "dense: {}"),
    "populations.dense.sparsity: a population given as checkpoints has nothing beside": (
        DENSE,
        'dense: {checkpoints: "dense-*.csv", sparsity: 0.5}',
    ),
    "populations.sparse.from: 'dense' is given as predictions: nothing can start there": (
        'sparse: {predictions: "sparse-*.csv"}',
        "sparse: {from: dense, stages: {prune: {schedule: {name: one_shot, sparsity: 0.5}}}}",
    ),
    "data: the key is missing": ("dense: {predictions:", "dense: {checkpoints:"),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_a_population_that_makes_no_sense_is_refused(message, folder):
    before, after = REFUSED[message]
    assert before in RECIPE
    Path("audit.yaml").write_text(RECIPE.replace(before, after))
    with pytest.raises(InputError) as refused:
        resolve(load("audit.yaml"))
    assert str(refused.value).startswith("audit.yaml:")
    assert message in str(refused.value)


def test_populations_over_other_examples_are_refused_before_anything_is_written(folder):
    Path("sparse-1.csv").write_text("example_id,prediction\nid00,0\n")
    with pytest.raises(InputError, match=r"sparse-1\.csv: its examples are not those of dense-0\.csv: of the ids 39 "):
        prunekit.run("audit.yaml")
    assert not any(Path("runs").rglob("*.parquet"))
