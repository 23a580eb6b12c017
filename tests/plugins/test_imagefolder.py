"""Images in folders: what is read, how it is split, what its results are keyed by."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from helpers_images import image_folder, pixels
from PIL import Image
from pydantic import ValidationError

from prunekit import ImageShape, InputError, Split
from prunekit.plugins.datasets.imagefolder import ImageFolder
from prunekit.progress import listening


@pytest.fixture
def root(tmp_path: Path, cache: Path) -> Path:
    """Fifteen images of 5×6 pixels for training and six for testing, in three classes."""
    return image_folder(tmp_path / "pets")


def fingerprint(root: Path, **options: object) -> str | None:
    dataset = ImageFolder.model_validate({"root": str(root), **options})
    dataset.load()
    return dataset.fingerprint()


def test_pixels_labels_and_ids_are_those_of_the_files(root: Path) -> None:
    data = ImageFolder(root=str(root)).load()
    assert data.classes == ("bee", "cat", "dog")
    for part, split, size in (("train", data.train, 5), ("test", data.test, 2)):
        assert split.ids == tuple(f"{part}/{name}/{i}.png" for name in data.classes for i in range(size))
        for image, label, name in zip(split.images, split.labels, split.ids, strict=True):
            assert name.split("/")[1] == data.classes[label]
            np.testing.assert_array_equal(image.transpose(1, 2, 0), np.asarray(Image.open(root / name)))


def test_folders_below_a_class_belong_to_it_and_hidden_and_other_files_do_not_count(root: Path) -> None:
    deep = root / "train" / "cat" / "black" / "small"
    deep.mkdir(parents=True)
    Image.fromarray(pixels(77)).save(deep / "x.PNG")
    for hidden in (root / "train" / ".hidden", root / "train" / "cat" / ".thumbnails"):
        hidden.mkdir()
        Image.fromarray(pixels(78)).save(hidden / "y.png")
    Image.fromarray(pixels(79)).save(root / "train" / "cat" / "._z.png")
    (root / "train" / "cat" / "notes.txt").write_text("no image")
    ids = ImageFolder(root=str(root)).load().train.ids
    assert "train/cat/black/small/x.PNG" in ids
    assert len(ids) == 16


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "bmp", "webp", "gif", "tif", "tiff", "ppm", "PNG"])
def test_all_usual_kinds_of_files_are_read(tmp_path: Path, cache: Path, suffix: str) -> None:
    for part in ("train", "test"):
        for value, name in ((40, "dark"), (200, "light")):
            folder = tmp_path / "grounds" / part / name
            folder.mkdir(parents=True)
            Image.new("RGB", (8, 8), (value, value, value // 2)).save(folder / f"0.{suffix}")
    train = ImageFolder(root=str(tmp_path / "grounds"), colour="rgb").load().train
    for image, value in zip(train.images, (40, 200), strict=True):
        np.testing.assert_allclose(image.mean(axis=(1, 2)), (value, value, value // 2), atol=3)


def test_a_relative_root_starts_from_the_working_folder(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root.parent)
    assert ImageFolder(root="pets").describe().train == 15
    monkeypatch.setenv("HOME", str(root.parent))
    monkeypatch.setenv("USERPROFILE", str(root.parent))
    assert ImageFolder(root="~/pets").describe().train == 15


# ---------------------------------------------------------------------------------------------------------- the split


@pytest.mark.parametrize(("validation", "held"), [(0, 0), (3, 3), (0.2, 3), (0.0, 0)])
def test_validation_is_cut_from_the_training_images_in_proportion(
    root: Path, validation: int | float, held: int
) -> None:
    dataset = ImageFolder(root=str(root), validation=validation)
    whole, data = ImageFolder(root=str(root)).load(), dataset.load()
    assert (dataset.describe().train, dataset.describe().validation) == (15 - held, held)
    assert sorted((*data.train.ids, *data.validation.ids)) == sorted(whole.train.ids)
    assert data.test.ids == whole.test.ids
    assert set(np.bincount(data.validation.labels, minlength=3)) == {held // 3}
    by_id = dict(zip(whole.train.ids, whole.train.images, strict=True))
    for split in (data.train, data.validation):
        for name, image in zip(split.ids, split.images, strict=True):
            np.testing.assert_array_equal(image, by_id[name])


def test_more_images_leave_the_held_out_ones_mostly_where_they_are(root: Path) -> None:
    before = set(ImageFolder(root=str(root), validation=3).load().validation.ids)
    Image.fromarray(pixels(80)).save(root / "train" / "cat" / "new.png")
    after = set(ImageFolder(root=str(root), validation=3).load().validation.ids)
    assert len(before & after) >= 2


# ------------------------------------------------------------------------------------------------ what keys are made of


def test_neither_time_nor_place_of_the_files_changes_the_fingerprint(root: Path) -> None:
    before = fingerprint(root, validation=3)
    assert before is not None
    for file in root.rglob("*.png"):
        os.utime(file, (1, 1))
    assert fingerprint(root, validation=3) == before
    moved = root.rename(root.with_name("animals"))
    assert fingerprint(moved, validation=3) == before


def test_what_is_trained_on_changes_the_fingerprint(root: Path) -> None:
    seen = [
        fingerprint(root),
        fingerprint(root, validation=3),
        fingerprint(root, size=4),
        fingerprint(root, colour="grey"),
    ]
    (root / "train" / "cat" / "0.png").rename(root / "train" / "cat" / "renamed.png")
    seen.append(fingerprint(root))
    Image.fromarray(pixels(81)).save(root / "test" / "cat" / "0.png")
    seen.append(fingerprint(root))
    assert len(set(seen)) == len(seen)


def test_the_same_split_written_otherwise_has_the_same_fingerprint(root: Path) -> None:
    assert fingerprint(root, validation=3) == fingerprint(root, validation=0.2)
    assert fingerprint(root, colour="rgb") == fingerprint(root) == fingerprint(root, size=[6, 5])


def test_the_fingerprint_is_unknown_until_images_are_decoded_and_again_after_one_was_written(root: Path) -> None:
    assert ImageFolder(root=str(root)).fingerprint() is None
    ImageFolder(root=str(root)).load()
    assert ImageFolder(root=str(root)).fingerprint() is not None
    Image.fromarray(pixels(82)).save(root / "train" / "cat" / "0.png")
    assert ImageFolder(root=str(root)).fingerprint() is None


def test_another_process_finds_the_same(root: Path) -> None:
    data = ImageFolder(root=str(root), validation=3).load()
    program = (
        "import sys; from prunekit.plugins.datasets.imagefolder import ImageFolder;"
        "dataset = ImageFolder(root=sys.argv[1], validation=3); print(dataset.fingerprint());"
        "print(*dataset.load().train.ids); assert not {'torch', 'sklearn'} & set(sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", program, str(root)], check=True, capture_output=True, text=True)
    theirs, ids = run.stdout.splitlines()
    assert theirs == ImageFolder(root=str(root), validation=3).fingerprint()
    assert ids == " ".join(data.train.ids)


# ------------------------------------------------------------------------------------------------------ size and colour


@pytest.mark.parametrize(("size", "shape"), [(None, (6, 5)), (4, (4, 4)), ([3, 8], (3, 8))])
def test_size_is_one_number_or_height_and_width(root: Path, size: object, shape: tuple[int, int]) -> None:
    dataset = ImageFolder.model_validate({"root": str(root), "size": size})
    before, data = dataset.describe(), dataset.load()
    assert before.shape == ImageShape(3, *shape) == dataset.describe().shape
    assert data.train.images.shape == (15, 3, *shape)


@pytest.mark.parametrize("size", [0, -1, [32], [32, 0], [1, 2, 3], 3.5, True, "32"])
def test_impossible_sizes_are_refused(size: object) -> None:
    with pytest.raises(ValidationError):
        ImageFolder.model_validate({"root": "pets", "size": size})


def striped(folder: Path, name: str) -> None:
    """A 12×4 image whose outer thirds are red and whose middle is blue."""
    folder.mkdir(parents=True, exist_ok=True)
    image = np.zeros((4, 12, 3), np.uint8)
    image[:, :4, 0] = image[:, 8:, 0] = 255
    image[:, 4:8, 2] = 255
    Image.fromarray(image).save(folder / name)


def test_a_resized_image_is_the_middle_in_its_proportions(tmp_path: Path, cache: Path) -> None:
    for part in ("train", "test"):
        for name in ("a", "b"):
            striped(tmp_path / part / name, "0.png")
    image = ImageFolder(root=str(tmp_path), size=2).load().train.images[0]
    # 2 pixels of 4: the triangle of a pixel weighs those at distances 1.5, 0.5, 0.5, 1.5 by 1, 3, 3, 1 eighths, and
    # the outermost one is red.
    for y, x in np.ndindex(2, 2):
        np.testing.assert_allclose(image[:, y, x], (255 / 8, 0, 255 * 7 / 8), atol=1)


@pytest.mark.parametrize(("colour", "channels"), [("rgb", 3), ("grey", 1)])
def test_grey_among_colour_images_is_converted_where_asked(root: Path, colour: str, channels: int) -> None:
    Image.fromarray(pixels(83, (6, 5))).save(root / "train" / "cat" / "grey.png")
    images = ImageFolder.model_validate({"root": str(root), "colour": colour}).load().train.images
    assert images.shape == (16, channels, 6, 5)
    row = ImageFolder.model_validate({"root": str(root), "colour": colour}).load().train.ids.index("train/cat/grey.png")
    for channel in images[row]:
        np.testing.assert_array_equal(channel, pixels(83, (6, 5)))


def test_grey_images_stay_grey(tmp_path: Path, cache: Path) -> None:
    root = image_folder(tmp_path / "grey", shape=(6, 5))
    assert ImageFolder(root=str(root)).describe().shape == ImageShape(1, 6, 5)
    data = ImageFolder(root=str(root)).load()
    np.testing.assert_array_equal(data.test.images[0, 0], np.asarray(Image.open(root / data.test.ids[0])))


# ------------------------------------------------------------------------------------------------------- broken images


def broken(root: Path, name: str) -> Path:
    """Cut an image in half."""
    whole = (root / name).read_bytes()
    (root / name).write_bytes(whole[: len(whole) // 2])
    return root / name


def ids(split: Split) -> set[str]:
    return set(split.ids)


def test_broken_images_are_left_out_where_asked_counted_and_named(root: Path) -> None:
    for name in ("train/cat/0.png", "test/dog/1.png"):
        broken(root, name)
    (root / "train" / "bee" / "0.png").write_bytes(b"")
    dataset = ImageFolder(root=str(root), skip_broken=True, validation=0.25)
    with pytest.warns(UserWarning, match=r"3 broken images left out: test/dog/1.png, train/bee/0.png, train/cat/0.png"):
        data = dataset.load()
    gone = {"train/cat/0.png", "train/bee/0.png", "test/dog/1.png"}
    assert not gone & (ids(data.train) | ids(data.validation) | ids(data.test))
    after = dataset.describe()
    assert (after.train, after.validation, after.test) == (10, 3, 5)
    assert (len(data.train.images), len(data.validation.images), len(data.test.images)) == (10, 3, 5)
    for name, image in zip(data.train.ids, data.train.images, strict=True):
        np.testing.assert_array_equal(image.transpose(1, 2, 0), np.asarray(Image.open(root / name)))


def test_leaving_broken_images_out_is_the_same_as_removing_them(root: Path) -> None:
    name = broken(root, "train/cat/0.png")
    with pytest.warns(UserWarning, match="1 broken image"):
        left_out = fingerprint(root, skip_broken=True, validation=3)
    name.unlink()
    assert fingerprint(root, validation=3) == left_out


def test_broken_images_are_told_once_and_whole_ones_not_at_all(root: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ImageFolder(root=str(root), skip_broken=True).load()


def test_left_out_images_are_named_in_every_run_and_not_by_the_processes_that_load_first(root: Path) -> None:
    broken(root, "train/cat/0.png")
    with pytest.warns(UserWarning, match="1 broken images left out: train/cat/0.png"):
        ImageFolder(root=str(root), skip_broken=True).load()
    with pytest.warns(UserWarning, match="1 broken images left out: train/cat/0.png"):
        ImageFolder(root=str(root), skip_broken=True).fingerprint()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        worker = ImageFolder(root=str(root), skip_broken=True)
        worker.load()
        worker.fingerprint()


def test_what_was_decoded_without_broken_images_serves_nobody_who_wants_all(root: Path) -> None:
    broken(root, "train/cat/0.png")
    with pytest.warns(UserWarning, match="broken"):
        ImageFolder(root=str(root), skip_broken=True).load()
    dataset = ImageFolder(root=str(root))
    for act in (dataset.describe, dataset.fingerprint, dataset.load):
        with pytest.raises(InputError, match=r"train/cat/0\.png: broken: .* \(`skip_broken: true` leaves"):
            act()


def test_progress_is_told(root: Path) -> None:
    told: list[tuple[str, int, int | None]] = []
    with listening(lambda what, done, total: told.append((what, done, total))):
        ImageFolder(root=str(root)).load()
        ImageFolder(root=str(root)).load()
    assert told[0] == ("decoding images", 0, 21)
    assert told[-1] == ("decoding images", 21, 21)
    assert [done for _, done, _ in told] == sorted({done for _, done, _ in told})
