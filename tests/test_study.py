"""Keys, plans and controls of a study."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit.errors import InputError
from prunekit.outline import blueprint, count_targets, outline
from prunekit.recipe import load
from prunekit.store import Store
from prunekit.study import Study, observers, resolve


def study_of(path: Path, *assignments: str, **options: object) -> Study:
    return resolve(load(path, assignments=assignments, **options))  # type: ignore[arg-type]


def keys(study: Study, population: str) -> list[tuple[str, ...]]:
    return [member.keys for member in study.populations[population].members]


def test_a_stage_trains_for_its_epochs_the_last_batch_smaller(tiny: Path) -> None:
    stage = study_of(tiny, "populations.dense.stages.train.batch_size=300").populations["dense"].stages[0]
    assert (stage.iterations, stage.iterations_per_epoch) == (6, 3)  # 800 images


def test_members_of_a_descendant_share_the_keys_of_their_ancestors(tiny: Path) -> None:
    study = study_of(tiny)
    for dense, sparse, control in zip(*(keys(study, name) for name in ("dense", "sparse", "control")), strict=True):
        assert sparse[:1] == dense == control[:1]
        assert len(sparse) == 3
        assert len(control) == 2
    every = [member.keys[-1] for member in study.members()]
    assert len(set(every)) == 6


def test_a_key_depends_on_what_changes_the_result_and_on_nothing_else(tiny: Path) -> None:
    usual = keys(study_of(tiny), "sparse")
    stage = "populations.sparse.stages.prune"
    assert keys(study_of(tiny, f"{stage}.criterion=magnitude", f"{stage}.within=network"), "sparse") == usual
    assert keys(study_of(tiny, "name=other", "measures=[accuracy]", seeds=5), "sparse")[:2] == usual
    assert keys(study_of(tiny, "populations.control.stages.finetune.epochs=9"), "sparse") == usual
    for change in (
        f"{stage}.schedule.sparsity=0.6",
        "populations.dense.stages.train.epochs=3",
        "data.validation=100",
        "model=wrn10_2",
        "threads=2",
    ):
        other = keys(study_of(tiny, change), "sparse")
        assert all(a[-1] != b[-1] for a, b in zip(usual, other, strict=True)), change
    changed = keys(study_of(tiny, f"{stage}.schedule.sparsity=0.6"), "sparse")
    assert [each[0] for each in changed] == [each[0] for each in usual]


def test_stages_of_the_same_name_are_no_more_the_same_than_others(tiny: Path) -> None:
    renamed = tiny.read_text().replace("train:", "learn:").replace("  dense:", "  full:").replace("dense", "full")
    before = keys(study_of(tiny), "sparse")
    tiny.write_text(renamed)
    assert keys(study_of(tiny), "sparse") == before


def test_the_control_is_the_population_that_differs_in_the_pruning_alone(tiny: Path) -> None:
    study = study_of(tiny)
    assert study.populations["sparse"].control == "control"
    assert study.populations["control"].control is None
    assert study.populations["dense"].control is None
    other = study_of(tiny, "populations.control.stages.finetune.epochs=2")
    assert other.populations["sparse"].control is None


def test_a_stage_that_prunes_as_it_trains_has_a_control_too(tiny: Path) -> None:
    prune = "populations.dense.stages.train.prune={schedule: {name: gmp, sparsity: 0.5}}"
    train = "{objective: cross_entropy, epochs: 2, batch_size: 200, optimizer: {name: sgd, lr: 0.1}}"
    plain = f"populations.other={{stages: {{train: {train}}}}}"
    study = study_of(tiny, prune, plain)
    assert study.populations["dense"].control == "other"


def test_the_number_of_seeds_and_the_description_make_no_other_study(tiny: Path) -> None:
    usual = study_of(tiny).identity
    assert study_of(tiny, "description=in other words", seeds=5).identity == usual
    assert study_of(tiny, "threads=2").identity != usual


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        ("{name: gmp, sparsity: 0.5, begin: 5it, end: 2it}", ["tiny.yaml", "prune.schedule", "begin"]),
        ("{name: one_shot, sparsity: 0.5, begin: 50it}", ["prune.schedule", "none of the updates", "8 iterations"]),
        ("{name: gmp, sparsity: 0.5, begin: 100it, end: 200it}", ["prune.schedule"]),
    ],
)
def test_a_schedule_that_does_not_fit_its_stage_is_refused(tiny: Path, schedule: str, words: list[str]) -> None:
    text = tiny.read_text().replace("epochs: 2,", f"epochs: 2, prune: {{schedule: {schedule}}},", 1)
    tiny.write_text(text)
    with pytest.raises(InputError) as caught:
        study_of(tiny)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_an_outline_counts_what_is_stored_and_lists_every_update(tiny: Path, tmp_path: Path) -> None:
    gmp = (
        "populations.dense.stages.train.prune={schedule: {name: gmp, sparsity: 0.8, begin: 2it, end: 8it, every: 2it}}"
    )
    study = study_of(tiny, gmp)
    plan = outline(study, Store(tmp_path / "none"))
    assert not (tmp_path / "none").exists()
    dense = plan["populations"]["dense"]["stages"][0]
    assert (dense["iterations"], dense["stored"]) == (8, 0)
    expected = [0.8 * (1 - (1 - t / 3) ** 3) for t in range(4)]
    assert [u["iteration"] for u in dense["updates"]] == [2, 4, 6, 8]
    assert [u["epoch"] for u in dense["updates"]] == [0.5, 1.0, 1.5, 2.0]
    assert [u["sparsity"] for u in dense["updates"]] == pytest.approx(expected)
    assert plan["populations"]["sparse"]["stages"][0]["updates"] == [{"iteration": 0, "epoch": 0.0, "sparsity": 0.5}]
    assert plan["disk_bytes"] > 10 * 4 * 70_000  # ten stages of a WRN-10-1


def test_an_observation_is_stored_once_its_record_is_there(tiny: Path, tmp_path: Path) -> None:
    study, store = study_of(tiny), Store(tmp_path / "runs")
    names = [None, *(name for _, name in observers(study.recipe.measures, 0, study.source.registry))]
    key = study.populations["dense"].members[0].key
    for name in names:
        store.save_observation(key, "test", {}, {}, name)
    record = store.observation(key, "test", names[-1]).with_suffix(".json")
    assert store.has_observation(key, "test", names[-1])
    assert outline(study, store)["populations"]["dense"]["observed"] == 1
    record.unlink()  # as long as only the columns are written
    assert not store.has_observation(key, "test", names[-1])
    assert outline(study, store)["populations"]["dense"]["observed"] == 0


def test_what_is_stored_is_unknown_where_the_fingerprint_is(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(load(tiny).recipe.data), "fingerprint", lambda self: None)
    plan = outline(study_of(tiny), Store(tmp_path / "none"))
    assert plan["populations"]["dense"]["stages"][0]["stored"] == "unknown"
    assert plan["populations"]["sparse"]["observed"] == "unknown"


def test_editing_a_plugin_file_changes_the_keys_that_depend_on_it(tiny: Path) -> None:
    plugin = tiny.parent / "mine.py"
    source = (
        "from prunekit import Schedule, register\n\n"
        '@register("mine")\nclass Mine(Schedule):\n    """Mine."""\n\n'
        "    def target(self, now):\n        return self.sparsity\n"
    )
    plugin.write_text(source)
    tiny.write_text("plugins: [mine.py]\n" + tiny.read_text().replace("one_shot", "mine"))
    before, dense = keys(study_of(tiny), "sparse"), keys(study_of(tiny), "dense")
    plugin.write_text(source + "# edited\n")
    after = keys(study_of(tiny), "sparse")
    assert keys(study_of(tiny), "dense") == dense
    assert all(a[0] == b[0] and a[1] != b[1] for a, b in zip(before, after, strict=True))


def test_a_schedule_whose_code_fails_is_named_with_its_file_and_line(tiny: Path) -> None:
    (tiny.parent / "mine.py").write_text(
        "from prunekit import Schedule, register\n\n"
        '@register("mine")\nclass Mine(Schedule):\n    """Fails."""\n\n'
        "    def target(self, now):\n        return 1 / 0\n"
    )
    tiny.write_text("plugins: [mine.py]\n" + tiny.read_text().replace("one_shot", "mine"))
    with pytest.raises(InputError, match=r"tiny\.yaml:13: .*mine\.py:8\): ZeroDivisionError: division by zero"):
        study_of(tiny)


def test_targets_that_select_nothing_are_refused_before_any_work(tiny: Path, tmp_path: Path) -> None:
    study = study_of(tiny, "populations.sparse.stages.prune.targets.include=[head.bias]")
    with pytest.raises(InputError, match=r"sparse\.stages\.prune\.targets: nothing to prune"):
        outline(study, Store(tmp_path / "none"))


@pytest.mark.parametrize("key", ["include", "exclude"])
def test_a_glob_that_matches_nothing_is_refused_with_its_line_and_the_nearest_name(tiny: Path, key: str) -> None:
    before = "schedule: {name: one_shot"
    lines = tiny.read_text().splitlines()
    line = next(i for i, text in enumerate(lines, 1) if before in text)
    tiny.write_text(tiny.read_text().replace(before, f"targets: {{{key}: [encodr.*]}}, {before}"))
    study = study_of(tiny)
    with pytest.raises(InputError) as raised:
        count_targets(study, blueprint(study))
    assert f"tiny.yaml:{line}: populations.sparse.stages.prune.targets: {key} 'encodr.*' matches none" in str(
        raised.value
    )
    assert str(raised.value).endswith("(did you mean 'encoder.*'?)")


def test_a_criterion_that_cannot_score_a_target_is_refused_before_any_work(tiny: Path) -> None:
    plan = study_of(
        tiny,
        "populations.sparse.stages.prune.criterion=wanda",
        "populations.sparse.stages.prune.targets={parameters: [weight, bias]}",
    )
    with pytest.raises(InputError, match=r"stages\.prune\.criterion: wanda: it has no score for .*bias, a bias"):
        count_targets(plan, blueprint(plan))
