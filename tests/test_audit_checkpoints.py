"""Weights that were made elsewhere, from the recipe to the report."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import prunekit
from prunekit.errors import InputError
from prunekit.recipe import load
from prunekit.report.load import load_study
from prunekit.store import Store
from prunekit.study import resolve

MODEL = """
import torch
from torch import nn


class Mine(nn.Module):
    def __init__(self, classes=10):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.out = nn.Linear(72, classes)

    def forward(self, images):
        return torch.log_softmax(self.out(self.conv(images).relu().flatten(1)), dim=1)


def build(classes=10):
    return Mine(classes)


def fails():
    raise OSError("no such weights")
"""
RECIPE = """
name: audit
data: digits
model: {import: mine:build, mean: [0.25], std: [0.5]}
populations:
  dense: {checkpoints: dense-*.pt}
  sparse: {checkpoints: [sparse-0.safetensors, sparse-1.pt]}
  pruned_here:
    from: dense
    stages: {prune: {schedule: {name: one_shot, sparsity: 0.75}}}
comparisons: [{reference: dense, pruned: sparse}, {reference: dense, pruned: pruned_here}]
measures: [accuracy, pie, layers]
"""


def mine(seed: int):
    import mine as module

    torch.manual_seed(seed)
    return module.build()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of somebody's checkpoints, of every kind that there is, and a run over them."""
    folder = tmp_path_factory.mktemp("audit")
    here = Path.cwd()
    os.chdir(folder)
    (folder / "mine.py").write_text(MODEL)
    (folder / "audit.yaml").write_text(RECIPE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        patch.delenv("PRUNEKIT_RUNS", raising=False)
        save_file(mine(0).state_dict(), "dense-0.pt")
        wrapped = {f"module.{name}": value for name, value in mine(1).state_dict().items()}
        torch.save({"epoch": 3, "state_dict": wrapped}, "dense-1.pt")
        for seed in (0, 1):
            model = mine(seed)
            prunekit.Pruner(model, sparsity=0.5).finalize()
            torch.save(model.state_dict(), f"sparse-{seed}.pt")
        prunekit.save_sparse(model := mine(0), "sparse-0.safetensors")
        prunekit.Pruner(model, sparsity=0.5).finalize()
        prunekit.save_sparse(model, "sparse-0.safetensors")
        assert not prunekit.run("audit.yaml", jobs=1).failures
        yield folder
    os.chdir(here)


def member(population: str, seed: int) -> tuple[Store, str]:
    study = resolve(load("audit.yaml"))
    return Store(Path("runs")), study.populations[population].members[seed].key


def test_members_say_what_their_model_says_of_images_normalised_as_the_recipe_says(folder):
    images = resolve(load("audit.yaml")).recipe.dataset.load().test.images
    for seed in (0, 1):
        with torch.no_grad():
            expected = mine(seed)((torch.from_numpy(images).double() / 255 - 0.25).div(0.5).float())
        store, key = member("dense", seed)
        found = store.load_observation(key, "test")
        assert found["prediction"].tolist() == expected.argmax(dim=1).tolist()
        np.testing.assert_allclose(found["confidence"], expected.exp().amax(dim=1), rtol=1e-4)


def test_what_is_zero_is_counted_and_stays_pruned(folder):
    populations = load_study(Path("runs")).columns.populations
    assert populations["dense"].sparsity == 0
    assert populations["sparse"].sparsity == pytest.approx(round(738 * 0.5) / 738)
    assert populations["pruned_here"].sparsity == pytest.approx(round(738 * 0.75) / 738, abs=1e-3)
    store, key = member("sparse", 1)
    stage = store.load_stage(key)
    weights = {"encoder.classifier.conv.weight": "conv.weight", "head.weight": "out.weight"}
    state = torch.load("sparse-1.pt", weights_only=True)
    assert all(torch.equal(stage.masks[ours], state[theirs] != 0) for ours, theirs in weights.items())


def test_members_pruned_here_are_pairs_of_those_given(folder):
    study = load_study(Path("runs"))
    assert [comparison.paired for comparison in study.comparisons] == [False, True]


def test_a_file_put_between_the_others_makes_no_other_member_of_them(folder):
    keys = [member("dense", seed)[1] for seed in (0, 1)]
    Path("dense-00.pt").write_bytes(Path("sparse-0.pt").read_bytes())
    try:
        assert [member("dense", seed)[1] for seed in (0, 2)] == keys
    finally:
        Path("dense-00.pt").unlink()


def test_editing_what_the_model_imports_makes_other_members_too(folder, monkeypatch):
    import importlib
    import sys

    Path("parts.py").write_text("import torch\nWIDTH = 2\n\n\ndef relu(x):\n    return x.relu()\n")
    Path("other.py").write_text("from parts import relu\nimport mine\nbuild = mine.build\n")
    sys.modules.pop("other", None)
    importlib.invalidate_caches()
    another = {"assignments": ["model={import: other:build}"]}
    keys = []
    for width in (2, 3):
        Path("parts.py").write_text(f"import torch\nWIDTH = {width}\n\n\ndef relu(x):\n    return x.relu()\n")
        keys.append(resolve(load("audit.yaml", **another)).populations["dense"].members[0].key)
    assert keys[0] != keys[1]


def test_names_of_ones_own_may_be_those_of_prunekits_parts(tmp_path):
    from torch import nn

    from prunekit.network import build_network, load_checkpoint
    from prunekit.plugins.backbones.imported import Imported
    from prunekit.protocols import Backbone

    class Theirs(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
            self.head = nn.Linear(5, 10)

        def forward(self, images):
            return self.head(self.encoder(images).relu())

    class Backbones(Imported):
        def classifier(self, images, classes):
            return Theirs()

    backbone: Backbone = Backbones.model_validate({"import": "torch.nn:Linear"})
    data = prunekit.DataSummary(prunekit.ImageShape(1, 8, 8), tuple("0123456789"), 1, 0, 1)
    network, theirs = build_network(backbone, data, seed=0), Theirs()
    save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    load_checkpoint(network, backbone, data, tmp_path / "theirs.safetensors")
    images = torch.rand(3, 1, 8, 8)
    torch.testing.assert_close(network(images), theirs(images))


def test_editing_the_model_makes_other_members(folder):
    before = member("dense", 0)[1]
    Path("mine.py").write_text(MODEL + "# another\n")
    try:
        assert member("dense", 0)[1] != before
    finally:
        Path("mine.py").write_text(MODEL)


class Code:
    def __reduce__(self):
        return os.mkdir, ("sprung",)


REFUSED = {
    "populations.dense.checkpoints: dense-0.pt: does not fit the model: ": ["model=wrn10_1"],
    "model.import: there is no module 'nine'": ["model={import: nine:build}"],
    "model.import: mine has no function 'bild' (did you mean 'build'?)": ["model={import: mine:bild}"],
    "mine:build fails: TypeError: build() got an unexpected keyword argument 'clases'": [
        "model={import: mine:build, clases: 3}"
    ],
    "mine:fails fails: OSError: no such weights": ["model={import: mine:fails}"],
    "collections:OrderedDict returns a OrderedDict: expected a torch.nn.Module": [
        "model={import: collections:OrderedDict}"
    ],
    "expected a head torch.nn.Linear(72, 10), got one of 72 features and 3 classes": [
        "model={import: mine:build, classes: 3}"
    ],
    "mean and std are of 3 channels: expected images of 1 channels": [
        "model={import: mine:build, mean: [0, 0, 0], std: [1, 1, 1]}"
    ],
    "model: mean and std go together": ["model={import: timm:create_model, mean: [0]}"],
    "dense-0.pt holds the same as": ["populations.dense.checkpoints=[dense-0.pt, ./sub/../dense-0.pt, copy.pt]"],
    "prunekit runs no code from files": ["populations.dense.checkpoints=evil.pt"],
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_be_used_is_refused_in_one_line(message, folder):
    Path("evil.pt").write_bytes(pickle.dumps({"weight": Code()}))
    Path("copy.pt").write_bytes(Path("dense-0.pt").read_bytes())
    Path("sub").mkdir(exist_ok=True)
    with pytest.raises(InputError) as refused:
        prunekit.run("audit.yaml", assignments=REFUSED[message], out="other")
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not Path("sprung").exists()
    assert not any(Path("other").rglob("*.safetensors"))
