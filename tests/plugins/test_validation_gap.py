"""Gaps on the validation images, and whether ΔL tells them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers_lineage import Stage, Then, laurent, pruned, study_of, trained
from scipy.stats import spearmanr

from prunekit.comparison import Comparison
from prunekit.plugins.measures._finding import Relation, findings, sentence
from prunekit.plugins.measures._rank import Correlation
from prunekit.plugins.measures.validation_gap import ValidationGap


def note(*past, **then):
    return ValidationGap().note(Then(**({"train": 0.05, "validation": 0.95} | then), before=past))


def summary(populations, comparisons=()):
    measure = ValidationGap()
    return measure.summarise(study_of(measure, populations), comparisons)


def run(gap_before=0.2, gap_after=0.01, change=0.5, seed=0, criterion="magnitude", sparsity=0.9):
    """Return the past of a run with these gaps and this ΔL."""
    cut = pruned(0.1 + change, 0.9 - gap_before, criterion, {"name": "one_shot", "sparsity": sparsity})
    return trained(0.1, 0.9), cut, trained(0.1, 0.9 - gap_after)


def test_gaps_are_errors_less_that_of_the_original():
    found = note(trained(0.1, 0.98), pruned(0.7, 0.6), trained(), validation=0.97)
    assert (found["original"], found["pruned"], found["tuned"]) == pytest.approx((0.02, 0.4, 0.03))
    assert (found["gap_before"], found["gap_after"]) == pytest.approx((0.38, 0.01))
    assert found["delta"] == pytest.approx(0.6)


def test_without_fine_tuning_there_is_no_gap_after():
    found = note(trained(0.1, 0.98), pruned(0.7, 0.6), validation=0.6)
    assert (found["gap_before"], found["gap_after"], found["tuned"]) == (pytest.approx(0.38), None, None)


def test_pruning_at_initialisation_has_an_error_and_no_gap():
    found = note(pruned(2.3, 0.1), trained(), validation=0.9)
    assert (found["gap_before"], found["gap_after"], found["delta"]) == (None, None, None)
    assert found["tuned"] == pytest.approx(0.1)
    said = summary({"early": [(pruned(2.3, 0.1), trained())]})
    assert "Not trained before they were pruned, and so without a gap: early." in said.tables[0].note
    assert (said.findings, said.figures, said.headline) == ([], [], None)


def test_members_that_were_not_pruned_note_their_own_error():
    assert note(trained(), validation=0.75) == {"pruning": None, "error": 0.25}


def test_data_without_a_validation_part_are_said_to_have_none_and_the_test_part_is_not_looked_at():
    past = tuple(replace(stage, left=replace(stage.left, validation=None)) for stage in run())
    found = summary({"dense": [past[:1]], "sparse": [past]}, [Comparison("dense", "sparse", None, True)])
    assert "There are no gaps: the data have no validation part" in found.tables[0].note
    assert found.populations["sparse"]["gap_after"]["mean"] is None
    assert (found.clauses, found.findings, found.figures) == ([""], [], [])


def test_the_table_the_clause_and_the_overview_have_points():
    found = summary(
        {"dense": [run()[:1]] * 2, "sparse": [run(0.2, 0.01), run(0.3, 0.03)]},
        [Comparison("dense", "sparse", None, True)],
    )
    ((name, error, before, after),) = found.tables[0].rows
    assert name == "sparse"
    assert error.value == pytest.approx(0.1)
    assert (before.value, after.value) == (pytest.approx(25), pytest.approx(2))
    assert after.spread == pytest.approx(np.sqrt(2))
    assert found.clauses == ["validation error +25.0 points right after pruning, +2.0 after fine-tuning"]
    assert found.headline.populations == {"sparse": after}


def test_without_fine_tuning_the_overview_has_the_gap_before():
    found = summary({"sparse": [run()[:2]]})
    assert found.headline.populations["sparse"].value == pytest.approx(20)
    assert "right after pruning" in found.headline.note


# ------------------------------------------------------------------------------------------------------------ findings


def relation(rho, interval, seeds=5, settings=27, runs=None):
    runs = seeds * settings if runs is None else runs
    return Relation("delta", "gap_after", 0.956, "all", settings, Correlation(rho, interval, runs, seeds))


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (
            relation(0.21, (-0.05, 0.44)),
            "ΔL is not known to explain the gap after fine-tuning: ρ = 0.21 [−0.05, 0.44] over 5 seeds × 27 settings",
        ),
        (
            relation(0.21, (0.05, 0.44)),
            "ΔL explains the gap after fine-tuning weakly: ρ = 0.21 [0.05, 0.44] over 5 seeds × 27 settings",
        ),
        (
            relation(0.45, (0.3, 0.6), runs=130),
            "ΔL explains the gap after fine-tuning moderately: ρ = 0.45 [0.30, 0.60] over 5 seeds × 27 settings "
            "(130 runs)",
        ),
        (
            relation(-0.8, (-0.9, -0.7)),
            "ΔL explains the gap after fine-tuning strongly, the larger the one, the smaller the other: ρ = −0.80 "
            "[−0.90, −0.70] over 5 seeds × 27 settings",
        ),
        (
            relation(0.8, (0.7, 0.9), seeds=3),
            "ΔL explains the gap after fine-tuning strongly: ρ = 0.80 [0.70, 0.90] over 3 seeds × 27 settings; an "
            "interval over so few seeds is too narrow",
        ),
        (
            relation(0.8, None, seeds=1),
            "ΔL and the gap after fine-tuning: ρ = 0.80 over 1 seed × 27 settings; so few seeds do not say "
            "how sure that is",
        ),
        (relation(None, None), ""),
    ],
)
def test_words_follow_the_numbers(found, said):
    assert sentence(found) == said
    assert findings([found]) == ([f"{said}."] if said else [])


def test_rho_is_over_all_runs_of_all_settings():
    rng = np.random.default_rng(0)
    numbers = rng.random((4, 5, 2))  # settings, seeds, (ΔL, gap after)
    found = summary({f"p{i}": [run(0.2, gap, change) for change, gap in each] for i, each in enumerate(numbers)})
    rho = spearmanr(numbers[..., 0].ravel(), numbers[..., 1].ravel()).statistic
    (row,) = found.tables[1].rows
    assert row[:4] == ("all", 4, 5, 20)
    assert row[4] == pytest.approx(rho)
    assert row[5] < rho < row[6]
    assert f"ρ = {rho:.2f}".replace("-", "−") in found.findings[0]
    assert found.findings[0].endswith("over 5 seeds × 4 settings.")


def test_criteria_have_rows_of_their_own_and_few_settings_no_rho():
    found = summary(laurent(seeds=3))
    rows = {row[0]: row for row in found.tables[1].rows}
    assert list(rows) == ["all", "magnitude", "lm", "qm", "obd", "snip", "grasp", "synflow"]
    assert rows["qm"][1:4] == (8, 3, 24)
    assert rows["snip"][1:] == (1, 3, 3, None, None, None)
    assert "in about 7 of 10 studies" in found.tables[1].note
    assert [table.title for table in found.tables[1:]] == [
        "Does ΔL explain the gap after fine-tuning?", "Does the gap before fine-tuning explain the one after?"
    ]  # fmt: skip


def test_sparsities_are_not_mixed_as_both_numbers_grow_with_them():
    rng = np.random.default_rng(1)
    study = {
        f"p{i}-{sparsity}": [run(0.2, sparsity + 0.01 * rng.random(), 10 * sparsity + rng.random(), sparsity=sparsity)]
        * 2
        for sparsity in (0.5, 0.9)
        for i in range(20)
    }
    found = summary(study)
    assert [row[:2] for row in found.tables[1].rows] == [(0.5, "all"), (0.9, "all")]
    assert all(abs(row[5]) < 0.6 for row in found.tables[1].rows)
    assert [text.split(",")[0] for text in found.findings] == [
        "With 50 % of the weights pruned", "With 90 % of the weights pruned"
    ]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------- figures


def figures(**study):
    return {figure.name: figure for figure in summary(laurent(**study)).figures}


def test_figures_are_gaps_against_lambda_and_two_scatters():
    found = figures()
    assert list(found) == ["validation_gap.lambda", "validation_gap.delta", "validation_gap.gap_before"]
    panels = found["validation_gap.lambda"].panels
    assert [(panel.title, panel.y_name.split()[1]) for panel in panels] == [
        ("1 round", "before"), ("1 round", "after"), ("14 rounds", "before"), ("14 rounds", "after")
    ]  # fmt: skip
    study = laurent()
    (line,) = [line for line in panels[3].lines if line.name == "lm"]
    gaps = [100 * (run[0].left.validation - run[2].left.validation) for run in study["lm_1e-05_14_exponential"]]
    assert line.y[1] == pytest.approx(np.mean(gaps))
    assert line.high[1] == pytest.approx(np.mean(gaps) + 4.302653 * np.std(gaps, ddof=1) / np.sqrt(3))


def test_the_scatter_has_a_point_for_every_run_and_says_rho():
    found = figures()["validation_gap.delta"]
    assert [group.name for group in found.groups] == ["magnitude", "lm", "qm", "obd", "snip", "grasp", "synflow"]
    assert [len(group.x) for group in found.groups] == [3, 24, 24, 24, 3, 3, 3]
    x, y = (np.concatenate([getattr(group, axis) for group in found.groups]) for axis in "xy")
    rho = spearmanr(x, y).statistic
    assert found.note.startswith(f"ρ = {rho:.2f} [")
    assert (found.log_x, found.diagonal) == (True, False)
    assert found.caption.startswith("Each point is one of 84 runs with 95.6 % of the weights pruned. ΔL ")


def test_gap_against_gap_has_the_diagonal():
    found = figures()["validation_gap.gap_before"]
    assert (found.log_x, found.diagonal) == (False, True)
    assert "The gap before fine-tuning" in found.caption


def test_fewer_than_three_runs_are_no_scatter():
    assert summary({"a": [run()], "b": [run()]}).figures == []


# --------------------------------------------------------------------------------------------- what cannot be compared


def test_members_that_were_pruned_several_times_have_no_part_in_rho():
    rewind = Stage("rewind", Then(2.3, 0.1), {"rewind": "start"})
    study = laurent()
    tickets = [(dense, cut, rewind, tuned, cut, rewind, tuned) for dense, cut, tuned in study["qm_0.1_14_exponential"]]
    alone, found = summary(study), summary({**study, "tickets": tickets})
    assert found.findings == alone.findings
    assert [figure.caption for figure in found.figures] == [figure.caption for figure in alone.figures]
    assert found.tables[1:] == alone.tables[1:]
    row = found.tables[0].rows[-1]
    gaps = [100 * (dense.left.validation - tuned.left.validation) for dense, _, tuned in study["qm_0.1_14_exponential"]]
    assert (row[0], row[3].value) == ("tickets", pytest.approx(np.mean(gaps)))
    assert "Pruned several times, with training or rewinding between: tickets." in found.tables[0].note


def test_gaps_of_as_many_images_tie_whatever_the_network_before():
    right = range(4700, 4800, 10)  # of 5,000 images
    pasts = [(trained(0.1, k / 5000), pruned(k / 5000, 0.5), trained(0.1, (k - 50) / 5000)) for k in right]
    assert len({(1 - after.left.validation) - (1 - before.left.validation) for before, _, after in pasts}) > 1
    found = summary({f"p{i}": [past] * 2 for i, past in enumerate(pasts)})
    assert {gap for each in found.populations.values() for gap in each["gap_after"]["members"]} == {0.01}
    assert [row[-3] for row in found.tables[1].rows] == [None]  # all gaps are the same: there is nothing to rank


def test_settings_that_differ_in_other_options_have_rows_of_their_own():
    study = {}
    for i in range(3):
        for within in ("network", "layer"):
            dense, cut, tuned = run(criterion="magnitude", change=0.1 * (i + 1), gap_after=0.01 * i)
            extra = {} if within == "network" else {"within": within}
            study[f"{within}-{i}"] = [(dense, replace(cut, options={**cut.options, **extra}), tuned)] * 2
    assert [row[:2] for row in summary(study).tables[1].rows] == [
        ("all", 6), ("magnitude", 3), ("magnitude (within: layer)", 3)
    ]  # fmt: skip


def test_no_finding_is_dropped_where_there_are_many_sparsities():
    study = {
        f"{sparsity}-{i}": [run(0.2, 0.01 * i, 0.1 * (i + 1), sparsity=sparsity)] * 2
        for sparsity in (0.5, 0.6, 0.7, 0.8, 0.9)
        for i in range(3)
    }
    found = summary(study)
    assert len(found.findings) == 5
    assert len(found.figures) == 8
    assert all(figure.caption.endswith("1 lower sparsity has no figure.") for figure in found.figures)
