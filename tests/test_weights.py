"""State dicts loaded into models: all of one, or nothing and one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from prunekit import InputError
from prunekit.weights import load_into, unprefixed

PATH = Path("dense-3.safetensors")


def network(classes: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(4, classes))


def state(classes: int = 3) -> dict[str, Tensor]:
    return dict(network(classes).state_dict())


def refusal(model: nn.Module, given: dict[str, Tensor]) -> str:
    before = [tensor.clone() for tensor in model.state_dict().values()]
    with pytest.raises(InputError) as error:
        load_into(model, given, PATH)
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), before, strict=True))
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(f"{PATH}: does not fit the model: ")


def test_what_fits_is_loaded() -> None:
    model, given = network(), state()
    load_into(model, given, PATH)
    assert all(torch.equal(tensor, given[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("ours", ["", "module.", "model.", "module._orig_mod.model."])
@pytest.mark.parametrize("theirs", ["", "module.", "_orig_mod.", "model."])
def test_prefixes_of_wrappers_do_not_matter(ours: str, theirs: str) -> None:
    model: nn.Module = network()
    for part in reversed(ours.split(".")[:-1]):
        outer = nn.Module()
        outer.add_module(part, model)
        model = outer
    given = state()
    load_into(model, {theirs + name: tensor for name, tensor in given.items()}, PATH)
    assert all(torch.equal(model.state_dict()[ours + name], tensor) for name, tensor in given.items())


def test_a_prefix_is_taken_off_only_where_all_names_have_it() -> None:
    assert unprefixed(["module.model.a", "module.model.b"]) == {"a": "module.model.a", "b": "module.model.b"}
    assert unprefixed(["module.a", "b"]) == {"module.a": "module.a", "b": "b"}
    assert unprefixed([]) == {}


def test_checkpoints_that_count_no_batches_are_loaded() -> None:
    given = {name: tensor for name, tensor in state().items() if not name.endswith("num_batches_tracked")}
    model = network()
    load_into(model, given, PATH)
    assert torch.equal(model[3].weight, given["3.weight"])


def test_what_is_missing_and_what_is_too_much_is_counted_and_three_are_named() -> None:
    given = {f"extra.{i}": torch.zeros(1) for i in range(5)} | {"3.bias": torch.zeros(3)}
    assert refusal(network(), given) == (
        "7 missing (0.weight, 0.bias, 1.weight, …); 5 unexpected (extra.0, extra.1, extra.2, …)"
    )


def test_shapes_that_differ_are_named() -> None:
    given = state() | {"0.weight": torch.zeros(4, 3, 5, 5)}
    assert refusal(network(), given) == "1 of another shape (0.weight [4, 3, 5, 5], not [4, 3, 3, 3])"


def test_another_number_of_classes_is_said() -> None:
    line = (
        "2 of another shape (3.weight [7, 4], not [3, 4], 3.bias [7], not [3]): 7 classes in the file, 3 in the model?"
    )
    assert refusal(network(3), state(7)) == line


def test_a_prefix_of_one_side_alone_is_said() -> None:
    given = {f"encoder.{name}": tensor for name, tensor in state().items()}
    assert refusal(network(), given).endswith(": only the file's names begin with 'encoder.'")
    assert refusal(nn.Sequential(network()), state()).endswith(": only the model's names begin with '0.'")
    averaged = dict(AveragedModel(network()).state_dict())
    assert refusal(network(), averaged).endswith(": only the file's names begin with 'module.'")


def test_a_missing_buffer_called_mask_is_no_mask_of_torch() -> None:
    model = nn.Module()
    model.register_buffer("attn_mask", torch.zeros(3))
    assert refusal(model, {"other": torch.zeros(3)}) == "1 missing (attn_mask); 1 unexpected (other)"


@pytest.mark.parametrize(
    ("given", "own", "fits"),
    [
        (torch.float16, torch.float32, True),
        (torch.bfloat16, torch.float32, True),
        (torch.float8_e4m3fn, torch.float32, True),
        (torch.float32, torch.bfloat16, False),
        (torch.float16, torch.bfloat16, False),
        (torch.bfloat16, torch.float16, False),
        (torch.float64, torch.float32, False),
        (torch.float32, torch.int64, False),
        (torch.int32, torch.int64, True),
    ],
)
def test_no_value_loses_precision(given: torch.dtype, own: torch.dtype, fits: bool) -> None:
    model = nn.Module()
    model.register_buffer("x", torch.zeros(3, dtype=own))
    if fits:
        load_into(model, {"x": torch.ones(3).to(given)}, PATH)
        assert model.x.tolist() == [1, 1, 1]
    else:
        assert (
            refusal(model, {"x": torch.ones(3).to(given)}) == f"1 of a type that loses precision (x {given}, not {own})"
        )


def test_a_model_without_values_is_refused() -> None:
    for model in (nn.LazyLinear(3), nn.Linear(3, 3, device="meta")):
        with pytest.raises(InputError, match="weight has no values yet: run one batch"):
            load_into(model, {"weight": torch.zeros(3, 3), "bias": torch.zeros(3)}, PATH)


def test_a_state_that_is_no_tensor_stays_the_models_own() -> None:
    class Counting(nn.Linear):
        seen = 3

        def get_extra_state(self) -> dict[str, int]:
            return {"seen": self.seen}

        def set_extra_state(self, state: dict[str, int]) -> None:
            self.seen = state["seen"]

    model, given = Counting(3, 2), {"weight": torch.ones(2, 3), "bias": torch.zeros(2)}
    load_into(model, given, PATH)
    assert (model.seen, model.weight.sum().item()) == (3, 6)
