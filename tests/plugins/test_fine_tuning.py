"""Curves of the fine-tuning."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers_lineage import Stage, Then, laurent, pruned, study_of, trained

from prunekit.plugins.measures.fine_tuning import FineTuning


def note(*past):
    return FineTuning().note(Then(0.05, 0.97, past))


def summary(populations):
    measure = FineTuning()
    return measure.summarise(study_of(measure, populations), [])


def test_epochs_of_all_stages_after_the_last_pruning_in_their_order():
    first, second = trained(epochs=((0.5, 0.7),)), trained(epochs=((0.4, 0.8), (0.3, 0.9)))
    found = note(trained(0.1), pruned(0.6), first, Stage("rewind"), second)
    assert found["losses"] == [0.5, 0.4, 0.3]
    assert found["errors"] == pytest.approx([0.3, 0.2, 0.1])
    assert found["delta"] == pytest.approx(0.5)


def test_without_validation_images_there_are_losses_alone():
    past = trained(), pruned(), trained(epochs=((0.5, None), (float("nan"), None)))
    found = note(*past)
    assert (found["losses"], found["errors"]) == ([0.5, None], [None, None])
    (figure,) = summary({"sparse": [past]}).figures
    assert [panel.y_name for panel in figure.panels] == ["training loss"]


def test_members_that_were_not_pruned_note_their_own_error():
    assert note(trained()) == {"pruning": None, "error": pytest.approx(0.03)}


def test_what_was_not_fine_tuned_is_not_shown():
    found = summary({"dense": [(trained(),)], "sparse": [(trained(), pruned())]})
    assert (found.tables, found.figures) == ([], [])
    assert found.populations["sparse"]["losses"] == []


def test_the_table_has_first_final_last_and_lowest():
    runs = [
        (trained(), pruned(), trained(epochs=((a, 0.5), (a / 2, 0.9), (a / 4, b)))) for a, b in ((0.8, 0.8), (0.4, 0.7))
    ]
    ((name, epochs, first, end, final, last, lowest),) = summary({"sparse": runs}).tables[0].rows
    assert (name, epochs) == ("sparse", 3)
    assert (first, end, last, lowest) == pytest.approx((0.6, 0.15, 0.25, 0.1))
    assert (final.value, final.spread) == (pytest.approx(0.25), pytest.approx(np.sqrt(0.005)))


def test_the_final_error_is_that_of_the_epoch_whose_weights_the_network_has():
    first = trained(epochs=((0.5, 0.95),))
    stage = replace(trained(epochs=((0.5, 0.7), (0.4, 0.9), (0.3, 0.8))), selected=2)
    assert note(trained(), pruned(), first, stage)["final"] == pytest.approx(0.1)
    assert note(trained(), pruned(), first, replace(stage, selected=None))["final"] == pytest.approx(0.2)
    assert note(trained(), pruned())["final"] is None


def test_a_line_for_each_criterion_with_the_setting_of_the_smallest_delta():
    (figure,) = summary(laurent()).figures
    loss, error = figure.panels
    assert [line.name for line in loss.lines] == [
        "magnitude", "lm, λ = 1e-3, 14 rounds", "qm, λ = 1e-3, 14 rounds", "obd, λ = 1e-3, 14 rounds",
        "snip", "grasp", "synflow",
    ]  # fmt: skip
    assert "Of each criterion the setting with the smallest mean ΔL." in figure.caption
    assert (loss.log, error.log) == (True, False)
    runs = laurent()["qm_0.001_14_exponential"]
    losses = np.array([[row["loss"] for row in run[2].epochs] for run in runs])
    errors = np.array([[1 - row["accuracy"] for row in run[2].epochs] for run in runs])
    assert loss.lines[2].x == tuple(range(1, 21))
    assert loss.lines[2].y == pytest.approx(np.exp(np.log(losses).mean(axis=0)))
    assert error.lines[2].y == pytest.approx(100 * errors.mean(axis=0))


def test_one_setting_of_each_criterion_is_not_said_to_be_chosen():
    (figure,) = summary({"sparse": [(trained(), pruned(), trained())]}).figures
    assert "Of each criterion" not in figure.caption


def test_more_criteria_than_colours_are_counted():
    study = {f"p{i}": [(trained(), pruned(criterion=f"c{i}"), trained())] for i in range(9)}
    (figure,) = summary(study).figures
    assert len(figure.panels[0].lines) == 7
    assert "2 more criteria are in the table alone." in figure.caption


def test_one_that_was_pruned_several_times_is_shown_where_its_criterion_has_no_other():
    first, last = trained(0.2), trained(0.1)
    tickets = [(first, pruned(0.4), Stage("rewind", options={"rewind": "start"}), first, pruned(0.21), last)]
    (figure,) = summary({"tickets": tickets}).figures
    assert [line.name for line in figure.panels[0].lines] == ["magnitude"]
    both = [(first, pruned(0.9), trained(epochs=((0.7, 0.5),)))]
    (figure,) = summary({"tickets": tickets, "once": both}).figures
    assert figure.panels[0].lines[0].y == pytest.approx((0.7,))
    (figure,) = summary({"tickets": tickets, "random": [(first, pruned(0.9, criterion="random"), last)]}).figures
    assert [line.name for line in figure.panels[0].lines] == ["magnitude", "random"]
