"""Weights that a training stage keeps on the way, and those of its best epoch."""

from typing import Any

import pytest
import torch
from helpers_training import DATA, PRUNE, equal, make_data, new_network, stage, state, trained

from prunekit import InputError
from prunekit.checkpoint import Checkpoint
from prunekit.network import Network


def epochs_of(options: dict[str, Any], count: int) -> tuple[list[dict[str, torch.Tensor]], list[dict[str, Any]]]:
    """Weights and history after every epoch of the same training, as it goes through all its epochs."""
    weights: list[dict[str, torch.Tensor]] = []
    network = new_network()

    def note(checkpoint: Checkpoint, row: dict[str, Any]) -> None:
        weights.append({name: tensor.clone() for name, tensor in checkpoint.under("weights").items()})

    result = trained(network, stage(epochs=count, **options), on_epoch=note)
    return weights, result.history


UNSTEADY = {"optimizer": {"name": "sgd", "lr": 0.8}}


def test_the_first_epoch_of_highest_validation_accuracy_is_selected() -> None:
    weights, history = epochs_of(UNSTEADY, 6)
    accuracies = [row["accuracy"] for row in history]
    best = accuracies.index(max(accuracies))
    assert best < 5  # else nothing is told from the last epoch
    network = new_network()
    result = trained(network, stage(epochs=6, select="best_validation", **UNSTEADY))
    assert result.selected == best + 1
    assert equal(state(network), weights[best])
    assert result.history == history


def test_without_selection_the_last_epoch_counts() -> None:
    weights, _ = epochs_of(UNSTEADY, 3)
    network = new_network()
    result = trained(network, stage(epochs=3, **UNSTEADY))
    assert result.selected is None
    assert equal(state(network), weights[-1])


def test_a_stage_that_prunes_selects_among_the_epochs_after_its_last_update() -> None:
    options = {"prune": PRUNE, **UNSTEADY}  # 3 iterations an epoch, the last update at iteration 8
    _, history = epochs_of(options, 6)
    network = new_network()
    result = trained(network, stage(epochs=6, select="best_validation", **options))
    late = [row for row in history if row["iteration"] >= 8]
    assert max(late, key=lambda row: row["accuracy"])["epoch"] == result.selected
    assert all(not network.get_parameter(name)[~mask].any() for name, mask in result.masks.items())
    assert result.history[-1]["sparsity"] == pytest.approx(0.8, abs=0.002)


def test_weights_are_kept_at_the_times_asked_for() -> None:
    weights, _ = epochs_of({}, 3)
    network = new_network()
    start = state(network)
    result = trained(network, stage(epochs=3, keep=["0it", "1ep", "2ep1it", "100%"]))
    assert list(result.kept) == ["0it", "1ep", "2ep1it", "100%"]
    assert equal(result.kept["0it"], start)
    assert equal(result.kept["1ep"], weights[0])
    assert not equal(result.kept["2ep1it"], weights[1])
    assert equal(result.kept["100%"], state(network))


def test_a_projector_is_not_kept() -> None:
    result = trained(new_network(), stage(objective="supcon", augment="none", keep=["1ep"]))
    assert result.kept["1ep"].keys() == new_network().state_dict().keys()
    other = Network(new_network().encoder, new_network().head)
    other.load_state_dict(result.kept["1ep"])


def test_without_validation_images_there_is_no_best_epoch() -> None:
    with pytest.raises(InputError, match="needs validation images"):
        trained(new_network(), stage(select="best_validation"), data=make_data(validation=0))


def test_the_test_part_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    part = DATA.part

    def refusing(name: Any) -> Any:
        assert name != "test"
        return part(name)

    monkeypatch.setattr(DATA, "part", refusing)
    assert trained(new_network(), stage(select="best_validation")).selected is not None
