"""Runs on images that lie on the disk: told while they are prepared, keyed by what they are and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers_images import image_folder, npz_file, pixels
from PIL import Image

from prunekit import InputError, run
from prunekit.pool import Event
from prunekit.recipe import load
from prunekit.runner import execute
from prunekit.store import Store
from prunekit.study import resolve

SHAPE = (8, 8, 3)

RECIPE = """\
name: on-images
data: {name: imagefolder, root: pets}
model: wrn10_1
seeds: 1
populations:
  dense:
    stages:
      train: {objective: cross_entropy, epochs: 1, batch_size: 5, optimizer: {name: sgd, lr: 0.1}}
measures: [accuracy]
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A recipe of one member in an otherwise empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRUNEKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path / "recipe.yaml"


def test_images_are_decoded_once_and_their_results_found_again_wherever_they_lie(recipe: Path) -> None:
    root = image_folder(Path("pets"), shape=SHAPE)
    events: list[Event] = []
    first = run(recipe, listener=events.append)
    assert (first.done, first.failures) == (2, {})
    assert [event.data["done"] for event in events if event.kind == "preparing"][-1] == 21
    assert [event.kind for event in events].index("planned") > [event.kind for event in events].index("preparing")

    events.clear()
    assert run(recipe, listener=events.append).done == 0
    assert "preparing" not in {event.kind for event in events}

    for file in root.rglob("*.png"):
        os.utime(file, (1, 1))
    root.rename("animals")
    assert run(recipe, assignments=["data.root=animals"]).done == 0


def test_arrays_train_too(recipe: Path) -> None:
    npz_file(Path("data.npz"), x_train=pixels(1, (15, *SHAPE)), x_test=pixels(2, (6, *SHAPE)))
    result = run(recipe, assignments=["data={name: npz, path: data.npz}"])
    assert (result.done, result.failures) == (2, {})


def test_a_root_that_cannot_be_used_is_told_with_the_recipes_line(recipe: Path) -> None:
    with pytest.raises(InputError, match=r"recipe.yaml:2: data: pets: there is no folder 'pets' in "):
        run(recipe)
    assert not Path("runs").exists()


def test_a_broken_image_is_told_before_any_training(recipe: Path) -> None:
    root = image_folder(Path("pets"), shape=SHAPE)
    (root / "test" / "dog" / "1.png").write_bytes(b"")
    with pytest.raises(InputError, match=r"recipe.yaml:2: data: pets/test/dog/1.png: broken: .*`skip_broken: true`"):
        run(recipe)


def test_sizes_are_true_once_broken_images_are_left_out(recipe: Path) -> None:
    root = image_folder(Path("pets"), shape=SHAPE)
    (root / "test" / "dog" / "1.png").write_bytes(b"")
    with pytest.warns(UserWarning, match="1 broken image"):
        result = run(recipe, assignments=["data.skip_broken=true"])
    assert (result.done, result.failures) == (2, {})


def test_images_that_change_while_a_run_goes_on_fail_it(recipe: Path) -> None:
    root = image_folder(Path("pets"), shape=SHAPE)
    source = load(recipe)
    source.recipe.data.load()
    study = resolve(source)
    Image.fromarray(pixels(99, SHAPE)).save(root / "train" / "cat" / "0.png")
    result = execute(study, Store.create(Path("runs")))
    assert result.failures == {
        "dense seed 0: train": "the data of imagefolder changed since the run began: run it again"
    }
    again = run(recipe)
    assert (again.done, again.failures) == (2, {})
