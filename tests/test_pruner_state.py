"""Pruning that goes on later, in the middle of its schedule."""

import copy
import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers_pruner import Rounds, batches, loss, small
from torch import nn

from prunekit import InputError, Pruner

STEPS = 9
GMP: dict[str, Any] = {"schedule": "gmp", "sparsity": 0.9, "begin": "2it", "end": "8it", "every": "3it"}


class Loop:
    """A model, its optimizer and its pruner."""

    def __init__(self, **options: Any) -> None:
        self.model = small()
        self.steps = torch.optim.SGD(self.model.parameters(), lr=0.1, momentum=0.9)
        self.pruner = Pruner(self.model, **{**GMP, **options}, data=batches(2), loss=loss)

    def train(self, first: int, last: int) -> None:
        for batch in batches(STEPS)[first:last]:
            self.steps.zero_grad()
            loss(self.model, batch).backward()
            self.steps.step()
            self.pruner.step()

    def save(self, file: Path) -> None:
        torch.save([each.state_dict() for each in (self.model, self.steps, self.pruner)], file)

    def load(self, file: Path) -> None:
        for each, state in zip((self.model, self.steps, self.pruner), torch.load(file, weights_only=True), strict=True):
            each.load_state_dict(state)


@pytest.mark.filterwarnings("ignore:nothing is left of")
@pytest.mark.parametrize("criterion", ["magnitude", "random", "taylor"])
@pytest.mark.parametrize("begin", ["0it", "2it"])
@pytest.mark.parametrize("stop", [0, 1, 2, 5, 6, STEPS])
def test_a_loop_that_was_stopped_ends_with_the_bits_of_one_that_was_not(
    stop: int, begin: str, criterion: str, tmp_path: Path
) -> None:
    options = {"criterion": criterion, "begin": begin, "initial": 0.3}
    whole, first, second = Loop(**options), Loop(**options), Loop(**options)
    whole.train(0, STEPS)
    first.train(0, stop)
    first.save(tmp_path / "state.pt")
    second.load(tmp_path / "state.pt")
    assert second.pruner.iteration == stop
    second.train(stop, STEPS)
    assert second.pruner.updates == whole.pruner.updates
    assert second.pruner.sparsity == whole.pruner.sparsity
    assert all(torch.equal(mask, second.pruner.masks[name]) for name, mask in whole.pruner.masks.items())
    assert all(map(torch.equal, whole.model.state_dict().values(), second.model.state_dict().values()))


def test_a_state_holds_a_bit_per_weight_and_plain_types() -> None:
    state = Pruner(small(), sparsity=0.5).state_dict()
    assert {name: len(mask.pop("bits")) for name, mask in state["masks"].items()} == {"0.weight": 9, "4.weight": 48}
    assert json.loads(json.dumps(state)) == state


def test_loading_goes_back_too_and_sets_what_is_pruned_to_zero() -> None:
    loop = Loop()
    loop.train(0, 3)
    weights, state = copy.deepcopy(loop.model.state_dict()), loop.pruner.state_dict()
    loop.train(3, STEPS)
    loop.model.load_state_dict({name: value + 1 for name, value in weights.items()})
    loop.pruner.load_state_dict(state)
    assert loop.pruner.iteration == 3
    assert [update.iteration for update in loop.pruner.updates] == [2]
    assert all(bool((t.parameter[~t.mask] == 0).all()) for t in loop.pruner.targets)
    assert loop.pruner.sparsity == state["updates"][-1]["sparsity"]


def test_weights_loaded_before_the_pruner_was_made_are_missed_not_lost_in_silence() -> None:
    state = Pruner(small(), Rounds(sparsity=0.5), criterion="random").state_dict()
    model = small()
    with torch.no_grad():
        model[4].weight.copy_(model[4].weight.flip(0))
    early = Pruner(model, Rounds(sparsity=0.5))
    state["settings"] = early.state_dict()["settings"]
    before = early.sparsity
    with pytest.raises(InputError, match=r"^\d+ weights that the state keeps were set to zero by this pruner: once"):
        early.load_state_dict(state)
    assert early.sparsity == before
    model.load_state_dict(small().state_dict())
    early.load_state_dict(state)
    assert early.sparsity == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sparsity": 0.8}, r"its schedule is gmp \(.*sparsity=0\.9.*\), this one's gmp \(.*sparsity=0\.8"),
        ({"criterion": "random"}, "its criterion is magnitude, this one's random"),
        ({"within": "layer"}, "its within is network, this one's layer"),
        ({"seed": 3}, "its seed is 0, this one's 3"),
        ({"iterations_per_epoch": 5}, "its iterations_per_epoch is unknown, this one's 5"),
        ({"targets": {"modules": ["linear"]}}, r"it has 0\.weight, which this pruner does not prune"),
        ({"targets": {"parameters": ["weight", "bias"]}}, r"it has no 0\.bias, which this pruner prunes"),
    ],
)
def test_a_state_of_another_pruner_is_refused_and_changes_nothing(options: dict[str, Any], message: str) -> None:
    theirs, ours = Loop(), Loop(**options)
    theirs.train(0, 6)
    ours.train(0, 3)
    before = copy.deepcopy(ours.pruner.state_dict())
    weights = copy.deepcopy(ours.model.state_dict())
    with pytest.raises(InputError, match=message) as raised:
        ours.pruner.load_state_dict(theirs.pruner.state_dict())
    assert "\n" not in str(raised.value)
    after = ours.pruner.state_dict()
    assert all(torch.equal(mask["bits"], after["masks"][name]["bits"]) for name, mask in before["masks"].items())
    assert (after["iteration"], after["updates"]) == (before["iteration"], before["updates"])
    assert all(map(torch.equal, weights.values(), ours.model.state_dict().values()))


def test_a_state_of_a_parameter_of_another_shape_is_refused() -> None:
    state = Pruner(nn.Linear(3, 4), sparsity=0.5).state_dict()
    with pytest.raises(InputError, match=r"its weight is \[4, 3\], this one's \[3, 4\]"):
        Pruner(nn.Linear(4, 3), sparsity=0.5).load_state_dict(state)


@pytest.mark.parametrize(
    "change",
    [
        lambda state: {"0.weight": torch.ones(2)},
        lambda state: {**state, "masks": {name: {"bits": 3} for name in state["masks"]}},
        lambda state: {**state, "masks": {n: {**m, "bits": m["bits"][1:]} for n, m in state["masks"].items()}},
        lambda state: {**state, "iteration": "many"},
        lambda state: {**state, "updates": [{"iteration": 3}]},
        lambda state: {**state, "settings": None},
        lambda state: [state],
    ],
)
def test_what_is_no_state_is_refused_in_one_line(change: Any) -> None:
    pruner = Pruner(small(), sparsity=0.5)
    with pytest.raises(InputError) as raised:
        pruner.load_state_dict(change(pruner.state_dict()))
    assert "\n" not in str(raised.value)
    assert pruner.sparsity == 0.5


def test_a_pruner_that_was_finalised_can_be_saved_but_not_loaded_into() -> None:
    pruner = Pruner(small(), sparsity=0.5)
    masks = pruner.finalize()
    other = Pruner(small(), sparsity=0.5)
    other.load_state_dict(pruner.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert all(torch.equal(mask, masks[name]) for name, mask in other.finalize().items())
    with pytest.raises(InputError, match="finalised"):
        other.load_state_dict(pruner.state_dict())
