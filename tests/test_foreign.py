"""Checkpoints made elsewhere: what is read, what is refused, and that nothing in them runs."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import prune

from prunekit import InputError, save_sparse
from prunekit.foreign import read_state_dict

STATE = {"0.weight": torch.arange(6.0).view(2, 3), "0.bias": torch.tensor([1.0, -0.0]), "count": torch.tensor(3)}


def prefixed(prefix: str) -> dict[str, Tensor]:
    return {prefix + name: tensor for name, tensor in STATE.items()}


def assert_is_state(found: dict[str, Tensor]) -> None:
    assert list(found) == list(STATE)
    assert all(torch.equal(found[name], tensor) and found[name].dtype == tensor.dtype for name, tensor in STATE.items())
    assert not any(tensor.requires_grad for tensor in found.values())


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        read_state_dict(path)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value)


# -------------------------------------------------------------------------------------------------------- what is read


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("suffix", ["pt", "bin", "ckpt", "safetensors"])
def test_a_state_dict_of_torch_is_known_by_its_content(zipped: bool, suffix: str, tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / f"model.{suffix}", _use_new_zipfile_serialization=zipped)
    assert_is_state(read_state_dict(tmp_path / f"model.{suffix}"))


def test_safetensors_are_known_by_their_content(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.pt")
    found = read_state_dict(tmp_path / "model.pt")
    assert_is_state({name: found[name] for name in STATE})
    assert len(found) == len(STATE)


def test_a_file_of_save_sparse_is_read_dense(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(40, 30))
    with torch.no_grad():
        model[0].weight[3:] = 0
    save_sparse(model, tmp_path / "model")
    assert torch.equal(read_state_dict(tmp_path / "model")["0.weight"], model[0].weight)


@pytest.mark.parametrize("key", ["state_dict", "model", "model_state_dict", "module", "net"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "model.", "module._orig_mod."])
def test_the_usual_wrappings_are_taken_off(key: str, prefix: str, tmp_path: Path) -> None:
    beside: dict[str, Any] = {"epoch": 3, "optimizer": {"state": {0: {"step": torch.ones(1)}}, "param_groups": []}}
    torch.save({**beside, key: prefixed(prefix)}, tmp_path / "model.pt")
    assert_is_state(read_state_dict(tmp_path / "model.pt"))


def test_a_prefix_that_some_names_lack_stays(tmp_path: Path) -> None:
    torch.save({**prefixed("module."), "other": torch.ones(1)}, tmp_path / "model.pt")
    assert {*read_state_dict(tmp_path / "model.pt")} == {*prefixed("module."), "other"}


def test_parameters_that_were_saved_as_such_need_no_gradient_afterwards(tmp_path: Path) -> None:
    torch.save(dict(nn.Linear(3, 2).named_parameters()), tmp_path / "model.pt")
    found = read_state_dict(tmp_path / "model.pt")
    assert {name: tensor.requires_grad for name, tensor in found.items()} == {"weight": False, "bias": False}


@pytest.mark.parametrize("safe", [True, False])
def test_masks_of_torch_become_the_weights_that_they_leave(safe: bool, tmp_path: Path) -> None:
    model = nn.DataParallel(nn.Sequential(nn.Linear(30, 20)))
    prune.random_unstructured(model.module[0], "weight", amount=400)
    state = model.state_dict()
    save_file(state, tmp_path / "model") if safe else torch.save(state, tmp_path / "model")
    found = read_state_dict(tmp_path / "model")
    assert set(found) == {"0.weight", "0.bias"}
    assert torch.equal(found["0.weight"], model.module[0].weight)


# ---------------------------------------------------------------------------------------------------- what is refused


class Intruder:
    """Creates a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_the_intruder_of_these_tests_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Intruder(tmp_path / "ran")))  # noqa: S301  (our own)
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("how", ["zip", "legacy", "pickle 0", "pickle 2", "pickle 5"])
@pytest.mark.parametrize("inside", [False, True])
def test_code_in_a_file_is_refused_and_never_run(how: str, inside: bool, tmp_path: Path) -> None:
    intruder: Any = Intruder(tmp_path / "ran")
    content = {"state_dict": {"extra": intruder}} if inside else intruder
    if how.startswith("pickle"):
        (tmp_path / "model.pt").write_bytes(pickle.dumps(content, protocol=int(how[-1])))
    else:
        torch.save(content, tmp_path / "model.pt", _use_new_zipfile_serialization=how == "zip")
    line = refusal(tmp_path / "model.pt")
    assert "runs no code from files: save model.state_dict() with safetensors" in line
    assert not (tmp_path / "ran").exists()
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        refusal(tmp_path / "model.pt")
    finally:
        del os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"]
    assert not (tmp_path / "ran").exists()


def test_a_whole_model_is_refused_and_named(tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 2), tmp_path / "model.pt")
    line = refusal(tmp_path / "model.pt")
    assert "holds code or objects of Python (torch.nn.modules.linear.Linear)" in line
    assert "save model.state_dict() with safetensors" in line


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_torchscript_is_refused_by_name(tmp_path: Path) -> None:
    torch.jit.trace(nn.Linear(3, 2), torch.ones(1, 3)).save(tmp_path / "model.pt")
    assert "is a TorchScript archive" in refusal(tmp_path / "model.pt")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (
            {"model": STATE, "model_ema": STATE},
            "holds several state dicts (model, model_ema): save the one that is meant",
        ),
        ({"epoch": 3, "lr": 0.1}, "holds epoch (int), lr (float): expected names and tensors"),
        ({**STATE, "epoch": 3}, "holds epoch (int): expected names and tensors"),
        ({}, "holds nothing"),
        (torch.ones(3), "holds a Tensor"),
        ([STATE], "holds a list"),
        ({"state_dict": {}}, "holds state_dict (dict)"),
    ],
)
def test_what_holds_no_one_state_dict_is_refused(content: Any, line: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "model.pt")
    assert line in refusal(tmp_path / "model.pt")


@pytest.mark.parametrize("how", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.99])
def test_a_file_that_is_cut_short_is_refused(how: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    big = {"weight": torch.randn(400)}
    save_file(big, path) if how == "safetensors" else torch.save(big, path, _use_new_zipfile_serialization=how == "zip")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "cut short" in refusal(path) or "damaged" in refusal(path)


def test_files_of_another_kind_and_no_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("version https://git-lfs.github.com/spec/v1\n")
    assert "no checkpoint" in refusal(tmp_path / "text") or "torch did not save so" in refusal(tmp_path / "text")
    assert "No such file" in refusal(tmp_path / "none")
    assert "directory" in refusal(tmp_path)
