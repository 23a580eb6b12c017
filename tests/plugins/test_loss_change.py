"""ΔL: what is noted, tabulated, said and drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers_lineage import LAMBDAS, Stage, Then, laurent, pruned, study_of, trained

from prunekit.comparison import Comparison
from prunekit.plugins.measures.loss_change import LossChange
from prunekit.report.arrays import LoadedStudy
from prunekit.report.build import build_report


def note(*past, **options):
    return LossChange(**options).note(Then(0.05, 0.97, past))


def summary(populations, comparisons=(), **options):
    measure = LossChange(**options)
    return measure.summarise(study_of(measure, populations), comparisons)


def test_the_note_of_a_pruned_member():
    schedule = {"name": "linear", "sparsity": 0.95, "rounds": 2}
    cut = pruned(0.7, criterion={"name": "qm", "regularisation": 0.001}, schedule=schedule, changes=(2.0, 3.5))
    found = note(trained(0.1), cut, trained())
    assert found == {
        "pruning": {
            "criterion": "qm", "regularisation": 0.001, "schedule": "linear", "rounds": 2, "sparsity": 0.95,
            "variant": "",
        },
        "sole": True,
        "before": 0.1, "after": 0.7, "change": pytest.approx(0.6), "delta": pytest.approx(0.6),
        "squared_changes": [2.0, 3.5], "squared_change": 5.5, "deltas": None,
    }  # fmt: skip


def test_delta_after_every_round_is_against_the_network_before():
    cut = pruned(0.7, changes=(1.0, 1.0, 1.0), losses=(0.05, 0.3, 0.7))
    found = note(trained(0.1), cut, trained(), per_round=True)
    assert found["deltas"] == pytest.approx([0.05, 0.2, 0.6])


def test_rounds_of_pruning_at_initialisation_have_no_delta():
    found = note(pruned(0.7), trained(), per_round=True)
    assert (found["before"], found["delta"], found["deltas"], found["after"]) == (None, None, None, 0.7)


def test_members_that_were_not_pruned_note_their_own_loss():
    assert note(trained()) == {"pruning": None, "loss": 0.05}


def test_a_sum_of_which_a_part_is_not_known_is_not_known():
    assert note(trained(), pruned(changes=(1.0, None)), trained())["squared_change"] is None


def runs(changes, before=0.1):
    return [(trained(before), pruned(before + change, changes=(change,)), trained()) for change in changes]


def test_the_table_has_means_and_spreads_of_pruned_populations_alone():
    found = summary({"dense": [(trained(),)] * 3, "sparse": runs([0.2, 0.3, 0.4])})
    (table,) = found.tables
    (row,) = table.rows
    name, delta, before, after, change = row
    assert (name, table.about) == ("sparse", (("sparse",),))
    assert (delta.value, delta.spread) == (pytest.approx(0.3), pytest.approx(0.1))
    assert (before, after) == (pytest.approx(0.1), pytest.approx(0.4))
    assert (change.value, change.spread) == (pytest.approx(0.3), pytest.approx(0.1))
    reach = 4.302653 * 0.1 / np.sqrt(3)  # Student's t, 2 degrees of freedom
    assert delta.interval == pytest.approx((0.3 - reach, 0.3 + reach))
    assert found.headline.populations == {"sparse": delta}


def test_json_has_the_setting_and_every_member():
    found = summary({"dense": [(trained(),)], "sparse": runs([0.25, 0.5])}).populations
    assert found["dense"]["loss"] == {"mean": 0.1, "members": [0.1]}
    assert found["sparse"]["criterion"] == "magnitude"
    assert found["sparse"]["delta"]["members"] == pytest.approx([0.25, 0.5])


def test_the_clause_says_where_the_loss_went():
    comparisons = [Comparison("dense", "sparse", None, True), Comparison("sparse", "dense", None, True)]
    found = summary({"dense": [(trained(),)], "sparse": runs([0.5])}, comparisons)
    assert found.clauses == ["pruning itself took the training loss from 0.1 to 0.6 (ΔL = 0.5)", ""]
    assert found.comparisons[0]["delta"] == pytest.approx(0.5)
    assert found.comparisons[1] is None


def test_pruning_at_initialisation_is_said_to_have_no_delta():
    found = summary({"early": [(pruned(), trained())]})
    assert "Not trained before they were pruned, and so without ΔL: early." in found.tables[0].note
    assert found.headline is None
    assert found.figures == []


def test_members_whose_loss_is_no_number_are_counted():
    found = summary({"sparse": [*runs([0.5]), (trained(), pruned(float("inf")), trained())]})
    assert "Members whose loss is no finite number are left out of means: 1." in found.tables[0].note
    assert found.tables[0].rows[0][1].value == pytest.approx(0.5)


def test_a_study_without_pruning_has_no_table():
    found = summary({"dense": [(trained(),)]})
    assert (found.tables, found.headline, found.figures) == ([], None, [])


# ------------------------------------------------------------------------------------------------------------ figures


def figures(**study):
    options = {"per_round": study.pop("per_round", False)}
    return {figure.name: figure for figure in summary(laurent(**study), **options).figures}


def test_delta_against_lambda_has_a_panel_for_each_number_of_rounds_and_a_line_for_each_criterion():
    figure = figures()["loss_change.lambda"]
    assert [panel.title for panel in figure.panels] == ["1 round", "14 rounds"]
    assert all(panel.log for panel in figure.panels)
    first, second = ({line.name: line for line in panel.lines} for panel in figure.panels)
    assert list(first) == ["magnitude", "lm", "qm", "obd", "snip", "grasp", "synflow"]
    assert list(second) == ["magnitude", "lm", "qm", "obd"]
    assert first["qm"].x == ("0", "1e-5", "1e-3", "0.1")
    assert {name for name, line in first.items() if line.dashed} == {"magnitude", "snip", "grasp", "synflow"}
    assert len(set(first["magnitude"].y)) == 1
    assert first["magnitude"] == second["magnitude"]  # pruned at once or in rounds, it is the same
    assert "Dashed: magnitude, snip, grasp and synflow, which have no λ." in figure.caption
    assert "The smallest mean is that of qm, λ = 1e-3, 14 rounds" in figure.caption


def test_points_are_geometric_means_with_intervals_of_the_logarithms():
    study = laurent()
    figure = figures()["loss_change.lambda"]
    (line,) = [line for line in figure.panels[1].lines if line.name == "qm"]
    for i, value in enumerate(LAMBDAS):
        runs = study[f"qm_{value:g}_14_exponential"]
        logs = np.log([run[1].left.train - run[0].left.train for run in runs])
        reach = 4.302653 * logs.std(ddof=1) / np.sqrt(3)
        expected = np.exp([logs.mean(), logs.mean() - reach, logs.mean() + reach])
        assert (line.y[i], line.low[i], line.high[i]) == pytest.approx(tuple(expected), rel=1e-5)


@pytest.mark.parametrize("study", [{"lambdas": (0.1,)}, {"lambdas": ()}])
def test_one_lambda_needs_no_figure(study):
    assert figures(**study) == {}


def test_two_schedules_have_a_figure_each_and_are_held_against_each_other():
    found = figures(schedules=("linear", "exponential"), rounds=(1, 3, 14), per_round=True)
    assert list(found) == [
        "loss_change.lambda.linear", "loss_change.lambda.exponential", "loss_change.schedules", "loss_change.rounds"
    ]  # fmt: skip
    assert [panel.title for panel in found["loss_change.lambda.linear"].panels] == ["1 round", "3 rounds", "14 rounds"]
    number = found["loss_change.schedules"]
    assert [panel.y_name for panel in number.panels] == ["ΔL", "‖Δθ‖²"]
    lines = {line.name: line for line in number.panels[0].lines}
    assert set(lines) == {f"{criterion}, {s}" for criterion in ("lm", "qm", "obd") for s in ("linear", "exponential")}
    assert lines["qm, linear"].x == ("1", "3", "14")
    assert lines["qm, linear"].y[0] == lines["qm, exponential"].y[0]  # one round has no schedule
    by_round = found["loss_change.rounds"]
    assert [panel.y_name for panel in by_round.panels] == ["‖Δθ‖² of the round", "ΔL after the round"]
    assert by_round.panels[0].lines[0].x == tuple(range(1, 15))


def test_rounds_without_their_own_delta_show_what_they_changed_alone():
    found = figures(schedules=("linear", "exponential"))
    assert [panel.y_name for panel in found["loss_change.rounds"].panels] == ["‖Δθ‖² of the round"]


def test_one_schedule_is_held_against_nothing():
    assert list(figures(per_round=True)) == ["loss_change.lambda"]


def test_sparsities_have_figures_of_their_own():
    found = laurent(others=())
    study = {**found}
    for name, runs in found.items():
        if name != "dense":
            study[f"{name}_less"] = [_at(run, 0.8) for run in runs]
    names = [figure.name for figure in summary(study).figures]
    assert names == ["loss_change.lambda.80", "loss_change.lambda.95.6"]


def _at(run, sparsity):
    """Return a run as if it had been pruned to another sparsity."""
    dense, cut, tuned = run
    cut = replace(cut, options={**cut.options, "schedule": cut.options["schedule"] | {"sparsity": sparsity}})
    return dense, cut, tuned


def test_more_rounds_are_held_against_one_run_by_run():
    def at(rounds, changes, name="exponential"):
        schedule = {"name": name, "sparsity": 0.9, "rounds": rounds}
        each = {"criterion": "qm", "schedule": schedule, "changes": (1.0,) * rounds}
        return [(trained(0.1), pruned(0.1 + change, **each)) for change in changes]

    study = {"once": at(1, (1.0, 1.0, 1.0, 1.0)), "few": at(5, (2.0,) * 4), "many": at(14, (0.25, 0.5, 1.5, 0.5))}
    assert summary(study).findings == [
        "ΔL is smaller after 14 exponential rounds than after one in 3 of 4 runs (1 setting), in the median 0.5 times "
        "as large."
    ]
    assert summary({name: study[name] for name in ("few", "many")}).findings == []
    also = {**study, "linear": at(14, (2.0, 0.5), "linear")}
    assert [text[:40] for text in summary(also).findings] == [
        "ΔL is smaller after 14 exponential round", "ΔL is smaller after 14 linear rounds tha"
    ]  # fmt: skip


def test_hundreds_of_populations_stay_a_few_figures_and_a_report():
    measure = LossChange(per_round=True)
    study = study_of(
        measure,
        laurent(2, (1, 14, 140), ("linear", "exponential"), (0.0, *(10.0**k for k in range(-5, 3)))),
    )
    assert len(study.populations) == 140
    data = {"name": "made-up", "split": "test", "examples": 2}
    report = build_report(LoadedStudy("study", data, study, [], [measure]), [])
    assert len(report.figures) == 4
    assert len(report.tables) == 1


# --------------------------------------------------------------------------------- what cannot be held against others

REWIND = Stage("rewind", Then(2.3, 0.1), {"rewind": "start"})


def tickets(runs):
    """Return runs as if they had been pruned, rewound and trained twice."""
    return [(dense, cut, REWIND, tuned, cut, REWIND, tuned) for dense, cut, tuned in runs]


def test_members_that_were_pruned_several_times_are_in_the_table_and_nowhere_else():
    study = laurent(rounds=(1, 14), schedules=("linear", "exponential"))
    some = next(name for name in study if name.startswith("qm_0.1_14"))
    with_tickets = {**study, "tickets": tickets(study[some])}
    alone, found = summary(study), summary(with_tickets)
    assert (found.findings, found.figures) == (alone.findings, alone.figures)
    row = found.tables[0].rows[-1]
    assert row[0] == "tickets"
    losses = [cut.left.train - tuned.left.train for _, cut, tuned in study[some]]  # against what was trained last
    assert row[1].value == pytest.approx(np.mean(losses))
    assert "Pruned several times, with training or rewinding between: tickets." in found.tables[0].note
    assert "Pruned several times" not in alone.tables[0].note
    assert (found.populations["tickets"]["sole"], found.populations[some]["sole"]) == (False, True)


def test_the_clause_on_the_last_of_several_prunings_says_so():
    found = summary({"tickets": tickets(runs([0.5]))}, [Comparison("dense", "tickets", None, True)])
    assert found.clauses[0].startswith("the last pruning took the training loss from")


# ------------------------------------------------------------------------------------------------- what is not shown


def own_criterion(*lambdas):
    """Return populations of somebody's own criterion with these λ, None being its default."""
    study = {}
    for value in lambdas:
        criterion = "own" if value is None else {"name": "own", "regularisation": value}
        study[f"own-{value}"] = [(trained(0.1), pruned(0.5 + (value or 0), criterion=criterion), trained())] * 2
    return study


def test_a_lambda_at_a_default_that_is_not_known_is_no_level_and_the_others_are_drawn():
    (figure,) = summary(own_criterion(None, 0.1, 1.0)).figures
    (line,) = figure.panels[0].lines
    assert (line.dashed, line.x) == (False, ("0.1", "1"))
    assert line.y == pytest.approx((0.5, 1.4))
    assert "Not shown: own-None, whose λ is the default of the criterion, which is not known here." in figure.caption


def test_a_criterion_without_any_lambda_is_a_level():
    qm = {name: [_at(run, 0.9) for run in found] for name, found in laurent().items() if name.startswith("qm")}
    study = {**own_criterion(None), **qm}
    (figure,) = summary(study).figures
    assert {line.name: line.dashed for line in figure.panels[0].lines} == {"own": True, "qm": False}
    assert "Not shown" not in figure.caption


def test_settings_that_differ_in_other_options_are_not_averaged():
    study = {}
    for examples, change in ((10, 1.0), (1000, 0.25)):
        for value in (0.1, 1.0):
            criterion = {"name": "qm", "regularisation": value, "examples": examples}
            study[f"{examples}-{value}"] = [(trained(0.1), pruned(0.1 + change, criterion=criterion))] * 2
    (figure,) = summary(study).figures
    assert {line.name: line.y for line in figure.panels[0].lines} == {
        "qm (examples: 10)": pytest.approx((1.0, 1.0)), "qm (examples: 1000)": pytest.approx((0.25, 0.25))
    }  # fmt: skip
    assert "averaged" not in figure.caption
    assert "The smallest mean is that of qm (examples: 1000), λ = 0.1: 0.25." in figure.caption


def test_other_options_that_all_settings_of_a_criterion_share_are_not_in_its_name():
    schedule = {"name": "exponential", "sparsity": 0.9}
    study = {}
    for value in (0.1, 1.0):
        cut = pruned(0.6, criterion={"name": "qm", "regularisation": value}, schedule=schedule)
        study[f"{value}"] = [(trained(0.1), replace(cut, options={**cut.options, "within": "layer"}))] * 2
    (figure,) = summary(study).figures
    assert [line.name for line in figure.panels[0].lines] == ["qm"]


def test_rounds_of_other_options_are_not_held_against_each_other():
    def at(rounds, change, examples):
        each = {"criterion": {"name": "qm", "examples": examples}, "changes": (1.0,) * rounds}
        schedule = {"name": "linear", "sparsity": 0.9, "rounds": rounds}
        return [(trained(0.1), pruned(0.1 + change, schedule=schedule, **each))] * 2

    assert summary({"once": at(1, 1.0, 10), "many": at(14, 0.5, 1000)}).findings == []
    assert len(summary({"once": at(1, 1.0, 10), "many": at(14, 0.5, 10)}).findings) == 1


def test_no_finding_is_dropped_and_captions_count_the_sparsities_without_figures():
    study = {}
    for sparsity in (0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        for name, found in laurent(lambdas=(0.0, 0.1), others=()).items():
            if name != "dense":
                study[f"{name}_{sparsity}"] = [_at(run, sparsity) for run in found]
    found = summary(study)
    assert [text.split(" of")[0] for text in found.findings] == [
        f"With {sparsity} %" for sparsity in (50, 60, 70, 80, 90, 95)
    ]
    assert [figure.name for figure in found.figures] == [f"loss_change.lambda.{s}" for s in (70, 80, 90, 95)]
    assert all("2 lower sparsities have no figure." in figure.caption for figure in found.figures)


def test_captions_count_the_numbers_of_rounds_without_a_panel():
    figure = figures(rounds=(1, 2, 3, 7, 14), lambdas=(0.0, 0.1))["loss_change.lambda"]
    assert [panel.title for panel in figure.panels] == ["2 rounds", "3 rounds", "7 rounds", "14 rounds"]
    assert "1 smaller number of rounds has no panel." in figure.caption
