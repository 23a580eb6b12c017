"""A measure that comes later: what it observes is computed from stored weights, once, of the members it asks for."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import helpers_command
import numpy as np
import pytest

import prunekit
from prunekit.errors import InputError, PrunekitError
from prunekit.report.load import load_study

RECIPE = """\
name: small
data: digits
model: wrn10_1
seeds: 3
populations:
  dense:
    stages:
      train: {objective: cross_entropy, epochs: 1, batch_size: 500, optimizer: {name: sgd, lr: 0.1}}
  sparse:
    from: dense
    stages: {prune: {schedule: {name: one_shot, sparsity: 0.5}}}
comparisons: [{reference: dense, pruned: sparse}]
measures: [accuracy]
"""

LATER = '''
import numpy as np
from prunekit import InputError, Measure, Summary, register

@register("later")
class Later(Measure):
    """What logits and labels give."""

    columns = ("margin",)
    notes = True
    summary_options = frozenset({"members", "word"})
    members: int = 2
    """Members that are observed."""
    scale: float = 1.0
    """What the margin is multiplied by."""
    word: str = ""
    """Said in the report alone."""

    @property
    def most_members(self):
        return self.members

    def observe(self, member):
        if self.scale == 0:
            raise ValueError("a scale of 0 says nothing")
        if self.scale < 0:
            raise InputError("scale: expected at least 0")
        logits, labels = member.logits(), member.labels()
        return {"margin": self.scale * logits[np.arange(len(labels)), labels]}

    def note(self, member):
        right = np.mean(member.logits().argmax(1) == member.labels())
        return {"bank": len(member.bank_labels()), "right": float(right)}

    def summarise(self, study, comparisons):
        return Summary(readings=[self.word] if self.word else [])
'''


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store in which a study has run that names the accuracy alone."""
    folder = tmp_path_factory.mktemp("ran")
    (folder / "small.yaml").write_text(RECIPE)
    prunekit.run(folder / "small.yaml", out=folder / "runs", jobs=1)
    return folder / "runs"


@pytest.fixture
def later(tmp_path: Path) -> Path:
    path = tmp_path / "later.py"
    path.write_text(LATER)
    return path


@pytest.fixture
def store(ran: Path, tmp_path: Path) -> Path:
    """A copy of the store, to write into."""
    return Path(shutil.copytree(ran, tmp_path / "copy"))


def observed(store: Path) -> set[str]:
    return {path.name for path in store.glob("observations/*/test.later-*.json")}


def test_a_measure_added_later_observes_the_members_it_asks_for(store: Path, later: Path) -> None:
    study = load_study(store, measures=["later"], files=[later])
    dense = study.columns.populations["dense"]
    assert [measure.name for measure in study.measures] == ["accuracy", "later"]
    assert dense["prediction"].shape == (3, 797)
    assert dense["margin"].shape == (2, 797)  # of the first two seeds
    right = (dense["prediction"] == study.columns.labels).mean(axis=1)
    assert [note["right"] for note in dense.notes("later")] == pytest.approx(right[:2].tolist())
    assert [note["bank"] for note in dense.notes("later")] == [800, 800]
    assert np.isfinite(study.columns.populations["sparse"]["margin"]).all()


def test_a_file_in_the_working_folder_stands_in_for_no_module(
    store: Path, later: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "html.py").write_text("raise RuntimeError('the wrong html')")
    monkeypatch.chdir(tmp_path)
    study = load_study(store, measures=["later"], files=[later])
    assert "margin" in study.columns.populations["dense"].columns  # type: ignore[attr-defined]


def test_where_the_first_seed_is_not_finished_others_are_observed_and_until_then_the_measure_is_left_out(
    ran: Path, later: Path, tmp_path: Path
) -> None:
    (tmp_path / "small.yaml").write_text(RECIPE.replace("[accuracy]", "[accuracy, later]\nplugins: [later.py]"))
    store = Path(shutil.copytree(ran, tmp_path / "copy"))
    prunekit.run(tmp_path / "small.yaml", out=store, jobs=1)
    plan = json.loads(max(store.glob("studies/*/study.json"), key=lambda path: path.stat().st_mtime_ns).read_text())
    for path in (store / "observations" / plan["populations"]["sparse"]["members"]["0"][-1]).iterdir():
        path.unlink()
    without = load_study(store, plan["identity"])
    assert [measure.name for measure in without.measures] == ["accuracy"]
    assert "later: left out" in without.notes[-1]
    study = load_study(store, plan["identity"], measures=["later"])
    assert [measure.name for measure in study.measures] == ["accuracy", "later"]
    for population in study.columns.populations.values():
        assert population.seeds == (1, 2)
        assert population["margin"].shape == (2, 797)


def test_what_is_stored_is_not_computed_again_and_what_is_missing_is_added(store: Path, later: Path) -> None:
    load_study(store, measures=["later"], files=[later])
    before = {path: path.stat().st_mtime_ns for path in store.glob("observations/*/*")}
    assert len(observed(store)) == 1
    load_study(store, measures=[{"name": "later", "word": "another"}], files=[later])
    assert {path: path.stat().st_mtime_ns for path in store.glob("observations/*/*")} == before
    study = load_study(store, measures=[{"name": "later", "members": 3}], files=[later])
    assert study.columns.populations["sparse"]["margin"].shape == (3, 797)
    now = {path: path.stat().st_mtime_ns for path in store.glob("observations/*/*")}
    assert before.items() <= now.items()
    assert len(now) == len(before) + 2 * 2


def test_what_is_missing_or_altered_of_it_is_observed_again(store: Path, later: Path) -> None:
    populations = load_study(store, measures=["later"], files=[later]).columns.populations
    first = {name: population["margin"] for name, population in populations.items()}  # read before it is damaged
    gone, altered, cut, _ = sorted(store.glob("observations/*/test.later-*.parquet"))
    gone.unlink()
    altered.write_bytes(altered.read_bytes()[:-1] + b"!")
    cut.with_suffix(".json").write_text("{")
    again = load_study(store, measures=["later"], files=[later]).columns.populations
    for name, margin in first.items():
        np.testing.assert_array_equal(again[name]["margin"], margin)


def test_other_options_observe_anew_and_both_stay(store: Path, later: Path) -> None:
    one = load_study(store, measures=["later"], files=[later]).columns.populations["dense"]["margin"]
    study = load_study(store, measures=[{"name": "later", "scale": 2.0}], files=[later])
    np.testing.assert_allclose(study.columns.populations["dense"]["margin"], 2 * one)
    assert len(observed(store)) == 2


def test_a_measure_of_the_recipe_is_replaced_by_one_of_the_same_name(store: Path) -> None:
    study = load_study(store, measures=["accuracy"])
    assert [measure.name for measure in study.measures] == ["accuracy"]


def test_all_measures_are_those_that_need_no_option_and_are_not_there_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    from prunekit.registry import registry
    from prunekit.report.load import _expanded

    everything = set(registry.names("measure"))
    later = {"name": "pie", "ties": "largest"}
    assert list(_expanded(["all"], everything, registry)) == []
    named = list(_expanded(["all", later], {"accuracy"}, registry))
    assert set(map(str, named)) == {str(later), *(everything - {"accuracy", "pie", "subgroups"})}
    assert len(named) == len(everything) - 2


def test_a_measure_that_fails_names_the_member_and_leaves_nothing_behind(store: Path, later: Path) -> None:
    with pytest.raises(PrunekitError, match=r"dense seed \d: observe: .*a scale of 0 says nothing"):
        load_study(store, measures=[{"name": "later", "scale": 0.0}], files=[later])
    assert not observed(store)


def test_options_that_a_measure_refuses_are_bad_input_and_end_the_work_at_once(store: Path, later: Path) -> None:
    with pytest.raises(InputError, match=r"^scale: expected at least 0$"):
        load_study(store, measures=[{"name": "later", "scale": -1.0}], files=[later])
    assert not observed(store)


def test_data_that_changed_since_are_refused(store: Path, later: Path) -> None:
    path = next(store.glob("studies/*/study.json"))
    plan = json.loads(path.read_text())
    from prunekit.store import Store

    plan["data"]["fingerprint"] = "another"
    recipe = Store(store).load_recipe(plan["identity"])
    Store(store).save_study(plan["identity"], recipe, {k: v for k, v in plan.items() if k not in ("files", "sha256")})
    with pytest.raises(InputError, match="not those that the members of small were trained on"):
        load_study(store, measures=["later"], files=[later])


SHALLOW = '''
from prunekit import Backbone, register

@register("shallow")
class Shallow(Backbone):
    """One layer."""

    def build(self, images):
        from torch import nn
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU())
'''


def test_weights_are_not_put_into_a_model_whose_file_was_edited_since(tmp_path: Path) -> None:
    (tmp_path / "shallow.py").write_text(SHALLOW)
    recipe = RECIPE.replace("wrn10_1", "shallow\nplugins: [shallow.py]").replace("seeds: 3", "seeds: 1")
    (tmp_path / "small.yaml").write_text(recipe)
    store = tmp_path / "runs"
    prunekit.run(tmp_path / "small.yaml", out=store, jobs=1)
    (tmp_path / "shallow.py").write_text(SHALLOW.replace("ReLU", "Tanh"))
    with pytest.raises(
        InputError, match=r"^the backbone 'shallow' is not as it was .* `prunekit run` the recipe again"
    ):
        load_study(store, measures=["q_score"])
    assert not list(store.glob("observations/*/test.q_score-*"))


@pytest.mark.parametrize(("kind", "name"), [("backbone", "wrn10_1"), ("dataset", "digits")])
def test_weights_are_not_put_into_another_version_of_a_model_nor_shown_other_data(
    store: Path, later: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    from prunekit.registry import registry

    monkeypatch.setattr(registry.find(kind, name)[0].plugin, "version", 2)
    with pytest.raises(InputError, match=f"^the {kind} .* is not as it was"):
        load_study(store, measures=["later"], files=[later])
    assert not observed(store)


def test_a_plan_that_does_not_tell_the_versions_is_taken_at_its_word(store: Path, later: Path) -> None:
    from prunekit.store import Store

    plan = Store(store).find_study(None)
    recipe = Store(store).load_recipe(plan["identity"])
    older = {key: value for key, value in plan.items() if key not in ("files", "sha256", "versions")}
    Store(store).save_study(plan["identity"], recipe, older)
    load_study(store, measures=["later"], files=[later])
    assert observed(store)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--measure", "accurcy"], "--measure accurcy: no measure is called 'accurcy' (did you mean 'accuracy'?)"),
        (["--measure", "{name: pie, tie: smallest}"], "tie: unknown key (did you mean 'ties'?)"),
        (["--measure", "["], "--measure [:1: not valid YAML"),
        (["--measure", "later", "--file", "gone.py"], "cannot read the plugin file"),
    ],
)
def test_a_measure_that_does_not_exist_is_refused_in_one_line(ran: Path, arguments: list[str], message: str) -> None:
    done = helpers_command.prunekit("report", "--out", ran, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
