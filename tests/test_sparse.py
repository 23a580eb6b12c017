"""Pruned models in one file: small, and the same afterwards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, distributed, nn
from torch.nn.utils import prune

from prunekit import InputError, PrunekitError, Pruner, load_sparse, save_sparse


def holding(**tensors: Tensor) -> nn.Module:
    model = nn.Module()
    for name, tensor in tensors.items():
        model.register_buffer(name, tensor)
    return model


def sparse_weight(count: int, density: float, dtype: torch.dtype = torch.float32) -> Tensor:
    torch.manual_seed(0)
    weight = torch.rand(count) + 0.5
    weight[torch.randperm(count)[round(count * density) :]] = 0
    return weight.to(dtype)


def saved(model: nn.Module, tmp_path: Path) -> dict[str, Tensor]:
    save_sparse(model, tmp_path / "model.safetensors")
    return load_sparse(tmp_path / "model.safetensors")


def header(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return dict(file.metadata())


def assert_same(found: dict[str, Tensor], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert found[name].shape == tensor.shape
        assert torch.equal(found[name].nan_to_num(7), tensor.nan_to_num(7)), name


# ----------------------------------------------------------------------------------------------------------- the same


@pytest.mark.parametrize("density", [0.0, 1e-4, 0.003, 0.01, 0.05, 0.1, 0.124, 0.126, 0.3, 0.6, 0.95, 1.0])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64])
def test_a_weight_of_any_sparsity_and_type_is_the_same_again(
    density: float, dtype: torch.dtype, tmp_path: Path
) -> None:
    weight = sparse_weight(10_007, density, dtype)
    assert_same(saved(holding(weight=weight), tmp_path), {"weight": weight})


@pytest.mark.parametrize("zeros", [0, 1, 254, 255, 256, 509, 510, 511, 765])
@pytest.mark.parametrize("behind", [0, 1, 300])
def test_a_value_behind_a_long_row_of_zeros_keeps_its_place(zeros: int, behind: int, tmp_path: Path) -> None:
    weight = torch.zeros(zeros + 1 + behind + 8000)
    weight[zeros] = 3.0
    weight[zeros + behind + 1] = -2.0
    assert_same(saved(holding(weight=weight), tmp_path), {"weight": weight})


def test_what_is_no_number_keeps_its_bits(tmp_path: Path) -> None:
    special = torch.tensor([0x7FC00001, 0xFFC12345, 0x7F800000, 0xFF800000, 1, 0x80000001]).to(torch.int32)
    weight = torch.zeros(4, 250)
    weight[1, :6] = special.view(torch.float32)  # two NaNs with a payload, infinities, subnormal numbers
    found = saved(holding(weight=weight), tmp_path)["weight"]
    assert torch.equal(found.view(torch.int32), weight.view(torch.int32))


def test_a_negative_zero_stays_one_in_a_dense_tensor_and_equals_zero_in_a_sparse_one(tmp_path: Path) -> None:
    dense, sparse = torch.ones(64), torch.zeros(64)
    dense[0] = sparse[0] = -0.0
    found = saved(holding(dense=dense, sparse=sparse), tmp_path)
    assert found["dense"].signbit().sum() == 1
    assert torch.equal(found["sparse"], sparse)


def test_every_kind_of_entry_is_the_same_again(tmp_path: Path) -> None:
    model = holding(
        count=torch.tensor(12),
        scale=torch.tensor(0.0),
        empty=torch.empty(0, 3),
        flags=torch.zeros(500, dtype=torch.bool),
        whole=torch.zeros(500, dtype=torch.int32),
        turned=sparse_weight(600, 0.1).view(20, 30).t(),
        part=sparse_weight(600, 0.1)[::3],
        wide=sparse_weight(600, 0.1).view(2, 3, 10, 10).to(memory_format=torch.channels_last),
    )
    assert_same(saved(model, tmp_path), dict(model.state_dict()))


def test_a_pruned_network_is_the_same_whatever_its_memory_format(tmp_path: Path) -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 3))

    model, other = build(), build().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model(torch.randn(4, 4, 3, 3))
    Pruner(model, sparsity=0.9).finalize()
    save_sparse(model, tmp_path / "model.safetensors")
    load_sparse(tmp_path / "model.safetensors", other)
    assert_same(dict(other.state_dict()), dict(model.state_dict()))
    assert other[0].weight.is_contiguous(memory_format=torch.channels_last)
    assert other[1].num_batches_tracked == 1


def test_tied_weights_are_kept_once_and_tied_weights_take_them_back(tmp_path: Path) -> None:
    def build() -> nn.Sequential:
        first, second = nn.Linear(50, 50), nn.Linear(50, 50)
        second.weight = first.weight
        return nn.Sequential(first, second)

    model, other = build(), build()
    save_sparse(model, tmp_path / "model.safetensors")
    assert (tmp_path / "model.safetensors").stat().st_size < 1.5 * 4 * 2500
    found = load_sparse(tmp_path / "model.safetensors", other)
    assert_same(found, dict(model.state_dict()))
    assert_same(dict(other.state_dict()), dict(model.state_dict()))
    assert other[0].weight is other[1].weight


def test_tensors_that_only_overlap_are_kept_apart(tmp_path: Path) -> None:
    base = torch.arange(1.0, 11.0)
    model = holding(first=base[:5], all=base, same=base.view(2, 5), empty=base[:0], other=base[:0])
    assert_same(saved(model, tmp_path), dict(model.state_dict()))


# ----------------------------------------------------------------------------------------------------------- the size


@pytest.mark.parametrize(
    ("density", "most"), [(1.0, 1.0), (0.7, 0.7 + 1 / 32), (0.3, 0.3 + 1 / 32), (0.1, 0.127), (0.01, 0.013)]
)
def test_the_file_shrinks_with_the_sparsity(density: float, most: float, tmp_path: Path) -> None:
    """Values are 32 bits each; places are a bit for each weight, or about a byte for each value."""
    saved(holding(weight=sparse_weight(400_000, density)), tmp_path)
    assert (tmp_path / "model.safetensors").stat().st_size <= most * 1_600_000 + 1000


def test_the_header_says_what_the_file_is(tmp_path: Path) -> None:
    saved(holding(weight=sparse_weight(1000, 0.1)), tmp_path)
    found = header(tmp_path / "model.safetensors")
    assert (found["format"], found["version"]) == ("prunekit sparse", "1")
    assert found["tensors"] == '{"weight": {"form": ["values", "gaps"], "shape": [1000]}}'


# ------------------------------------------------------------------------------------------------ models of other kinds


def test_wrappers_leave_no_trace_and_take_the_weights_back(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(6, 5), nn.Linear(5, 4))
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    part = nn.Sequential(torch.compile(nn.Linear(6, 5)), nn.Linear(5, 4))  # type: ignore[arg-type]
    part.load_state_dict(dict(zip(part.state_dict(), expected.values(), strict=True)))
    for wrapped in (nn.DataParallel(model), torch.compile(model), nn.DataParallel(torch.compile(model)), part):  # type: ignore[arg-type]
        assert isinstance(wrapped, nn.Module)
        assert_same(saved(wrapped, tmp_path), expected)
        with torch.no_grad():
            [parameter.zero_() for parameter in wrapped.parameters()]
        load_sparse(tmp_path / "model.safetensors", wrapped)
        assert all(torch.equal(a, b) for a, b in zip(wrapped.state_dict().values(), expected.values(), strict=True))


def test_distributed_models_are_kept_under_the_names_of_what_they_wrap(tmp_path: Path) -> None:
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    try:
        model = nn.Linear(6, 5)
        wrapped = nn.parallel.DistributedDataParallel(model)
        assert_same(saved(wrapped, tmp_path), dict(model.state_dict()))
        load_sparse(tmp_path / "model.safetensors", wrapped)
    finally:
        distributed.destroy_process_group()


def test_a_part_that_is_called_module_keeps_its_name(tmp_path: Path) -> None:
    model = nn.Sequential()
    model.module = nn.Linear(3, 2)
    assert_same(saved(model, tmp_path), dict(model.state_dict()))
    load_sparse(tmp_path / "model.safetensors", model)


def test_masks_of_torch_are_kept_as_the_effective_weights(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(30, 20), nn.Linear(20, 10))
    prune.l1_unstructured(model[0], "weight", amount=500)
    prune.l1_unstructured(model[0], "bias", amount=5)
    found = saved(model, tmp_path)
    assert set(found) == {"0.weight", "0.bias", "1.weight", "1.bias"}
    assert torch.equal(found["0.weight"], model[0].weight)
    assert torch.equal(found["0.bias"], model[0].bias)
    assert (found["0.weight"] == 0).sum() == 500
    with pytest.raises(InputError, match=r"2 unexpected \(0.weight, 0.bias\): the model has masks of torch"):
        load_sparse(tmp_path / "model.safetensors", model)


def test_names_that_only_look_like_masks_stay(tmp_path: Path) -> None:
    model = holding(
        a_mask=torch.ones(2), b_orig=torch.ones(3), c=torch.ones(1), c_orig=torch.ones(1), c_mask=torch.ones(1)
    )
    assert_same(saved(model, tmp_path), dict(model.state_dict()))


def test_a_plain_file_is_read_as_it_is(tmp_path: Path) -> None:
    state = {"0.weight": torch.randn(3, 2), "0.bias": torch.zeros(3)}
    save_file(state, tmp_path / "plain.safetensors", {"format": "pt"})
    assert torch.equal(load_sparse(tmp_path / "plain.safetensors")["0.weight"], state["0.weight"])
    save_file(state, tmp_path / "bare.safetensors")
    assert set(load_sparse(tmp_path / "bare.safetensors", nn.Sequential(nn.Linear(2, 3)))) == set(state)


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_sparse(nn.Linear(40, 10), tmp_path / "model.safetensors")
    return tmp_path / "model.safetensors"


def refused(path: Path, model: nn.Module | None = None) -> str:
    with pytest.raises(InputError) as error:
        load_sparse(path, model)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(str(path))
    return str(error.value)


@pytest.mark.parametrize("length", [0, 5, 50, 500, -1])
def test_a_file_that_is_cut_short_is_refused(length: int, file: Path) -> None:
    file.write_bytes(file.read_bytes()[:length])
    assert "is cut short" in refused(file)


def test_a_byte_that_was_altered_is_noticed(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-3] ^= 1
    file.write_bytes(content)
    assert refused(file).endswith("is cut short or altered")


def test_an_altered_header_is_noticed(file: Path) -> None:
    file.write_bytes(file.read_bytes().replace(b"[10, 40]", b"[40, 10]"))
    assert refused(file).endswith("is cut short or altered")


def test_another_version_is_refused(file: Path) -> None:
    tensors, said = load_file(file), header(file)
    save_file(tensors, file, {**said, "version": "2"})
    assert "is of version 2" in refused(file)


def test_what_is_no_model_is_refused(file: Path) -> None:
    with pytest.raises(InputError, match="the model is 'resnet18': expected"):
        load_sparse(file, "resnet18")  # type: ignore[arg-type]


def test_a_file_that_is_missing_or_a_folder_is_refused(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "no.safetensors")
    assert "directory" in refused(tmp_path)


def test_what_cannot_be_kept_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    class Strange(nn.Linear):
        def get_extra_state(self) -> dict[str, int]:
            return {"a": 1}

    for model, line in (
        (nn.LazyLinear(3), "weight has no values yet"),
        (nn.Linear(3, 3, device="meta"), "weight has no values yet"),
        (holding(x=torch.zeros(3, dtype=torch.complex128)), "cannot be kept as safetensors"),
        (Strange(2, 2), "holds _extra_state, a dict"),
        ("resnet18", "the model is 'resnet18': expected a torch.nn.Module"),
    ):
        with pytest.raises(InputError, match=line):
            save_sparse(model, tmp_path / "model.safetensors")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_write_that_fails_leaves_the_file_that_was_there(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(PrunekitError, match="cannot be written: No space left"):
        save_sparse(nn.Linear(3, 3), file)
    assert file.read_bytes() == before
    assert [each.name for each in file.parent.iterdir()] == ["model.safetensors"]
