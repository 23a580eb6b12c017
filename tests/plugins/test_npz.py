"""Images in the arrays of a NumPy file."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from helpers_images import arrays, npz_file, pixels
from pydantic import ValidationError

from prunekit import ImageShape, InputError, Split
from prunekit.plugins.datasets.npz import Npz

Y = np.arange(15) % 3


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data.npz"


def npz(file: Path, **changes: object) -> Npz:
    return Npz(path=str(npz_file(file, **changes)))


def places(split: Split, given: np.ndarray) -> list[int]:
    """Where the images of ``split`` stand in the array [N, H, W, C] that they were read from."""
    where = {np.ascontiguousarray(image.transpose(2, 0, 1)).tobytes(): i for i, image in enumerate(given)}
    return [where[image.tobytes()] for image in split.images]


# ------------------------------------------------------------------------------------------------------- what is read


def test_pixels_and_labels_are_those_of_the_arrays(file: Path) -> None:
    data, given = npz(file).load(), arrays()
    for part, split in (("train", data.train), ("test", data.test)):
        order = places(split, given[f"x_{part}"])
        assert sorted(order) == list(range(len(split.ids)))
        np.testing.assert_array_equal(split.images, given[f"x_{part}"][order].transpose(0, 3, 1, 2))
        np.testing.assert_array_equal(split.labels, given[f"y_{part}"][order])
        assert list(split.ids) == sorted(split.ids)
    assert data.train.images.flags.c_contiguous
    assert data.classes == ("0", "1", "2")
    assert not len(data.validation.ids)


@pytest.mark.parametrize(
    ("shape", "expected", "first_pixel"),
    [
        ((6, 5), (1, 6, 5), np.s_[0, 0]),
        ((6, 5, 1), (1, 6, 5), np.s_[0, 0, :]),
        ((6, 5, 3), (3, 6, 5), np.s_[0, 0, :]),
        ((1, 6, 5), (1, 6, 5), np.s_[:, 0, 0]),
        ((3, 6, 5), (3, 6, 5), np.s_[:, 0, 0]),
        ((3, 6, 3), (3, 3, 6), np.s_[0, 0, :]),  # both ends fit: the last axis is the channels
        ((3, 3, 3), (3, 3, 3), np.s_[0, 0, :]),
    ],
)
def test_channels_are_found_at_either_end(
    file: Path, shape: tuple[int, ...], expected: tuple[int, ...], first_pixel: object
) -> None:
    given = {"x_train": pixels(1, (15, *shape)), "x_test": pixels(2, (6, *shape))}
    dataset = npz(file, **given)
    assert dataset.describe().shape == ImageShape(*expected)
    images = dataset.load().train.images
    assert images.shape == (15, *expected)
    found = sorted(tuple(image[:, 0, 0].tolist()) for image in images)
    assert found == sorted(tuple(np.atleast_1d(x[first_pixel]).tolist()) for x in given["x_train"])


@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", ">i2"])
def test_labels_are_whole_numbers_of_any_kind_and_may_be_a_column(file: Path, dtype: str) -> None:
    data = npz(file, y_train=Y.astype(dtype)[:, None]).load()
    assert data.train.labels.dtype == np.int64
    np.testing.assert_array_equal(data.train.labels, Y[places(data.train, arrays()["x_train"])])


def test_classes_may_be_named(file: Path) -> None:
    npz_file(file)
    dataset = Npz(path=str(file), classes=["bee", "cat", "dog"])
    assert dataset.describe().classes == dataset.load().classes == ("bee", "cat", "dog")
    assert dataset.fingerprint() != Npz(path=str(file)).fingerprint()
    with pytest.raises(InputError, match="holds 3 classes and `classes` names 2"):
        Npz(path=str(file), classes=["bee", "cat"]).describe()
    with pytest.raises(ValidationError, match="the class 'bee' stands twice"):
        Npz(path=str(file), classes=["bee", "bee", "cat"])


def test_compressed_files_are_read(file: Path) -> None:
    np.savez_compressed(file, **arrays())
    train = Npz(path=str(file)).load().train
    np.testing.assert_array_equal(train.labels, Y[places(train, arrays()["x_train"])])


def test_describing_reads_no_images(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = npz(file)
    read: list[str] = []
    plain = np.lib.npyio.NpzFile.__getitem__
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda self, key: read.append(key) or plain(self, key))
    summary = dataset.describe()
    assert (summary.train, summary.validation, summary.test) == (15, 0, 6)
    assert sorted(read) == ["y_test", "y_train"]


# ------------------------------------------------------------------------------------------------------- ids and split


def test_ids_follow_the_images_wherever_they_stand(file: Path) -> None:
    before = npz(file).load().train
    order = np.random.default_rng(3).permutation(15)
    after = npz(file, x_train=arrays()["x_train"][order], y_train=Y[order]).load().train
    assert after.ids == before.ids
    np.testing.assert_array_equal(after.images, before.images)
    np.testing.assert_array_equal(after.labels, before.labels)
    assert len(set(before.ids)) == 15


def test_the_order_of_axes_is_no_part_of_an_id(file: Path) -> None:
    before = npz(file).load().train.ids
    given = arrays()
    moved = {key: given[key].transpose(0, 3, 1, 2) for key in ("x_train", "x_test")}
    assert npz(file, **moved).load().train.ids == before


def test_equal_images_are_numbered_and_the_same_image_in_both_parts_has_two_ids(file: Path) -> None:
    x = arrays()["x_train"]
    x[3] = x[0]  # both of class 0
    x[4] = x[0]  # of class 1
    data = npz(file, x_train=x, x_test=np.concatenate([x[:1], arrays()["x_test"][1:]])).load()
    same = (data.train.images == x[0].transpose(2, 0, 1)).all(axis=(1, 2, 3))
    of = {
        label: [name for name, i, y in zip(data.train.ids, same, data.train.labels, strict=True) if i and y == label]
        for label in (0, 1)
    }
    first, second = of[0]
    assert second == f"{first}-2"
    (other,) = of[1]
    assert other.split("-")[1] != first.split("-")[1]
    assert len({*data.train.ids, *data.test.ids}) == 21
    assert first.replace("train", "test") in data.test.ids


@pytest.mark.parametrize("validation", [3, 0.2])
def test_validation_is_cut_from_the_training_images_in_proportion(file: Path, validation: int | float) -> None:
    whole = npz(file).load().train
    dataset = Npz(path=str(file), validation=validation)
    assert (dataset.describe().train, dataset.describe().validation) == (12, 3)
    data = dataset.load()
    assert np.bincount(data.validation.labels).tolist() == [1, 1, 1]
    assert {*data.train.ids, *data.validation.ids} == set(whole.ids)
    by_id = dict(zip(whole.ids, zip(whole.images, whole.labels, strict=True), strict=True))
    for split in (data.train, data.validation):
        for name, image, label in zip(split.ids, split.images, split.labels, strict=True):
            np.testing.assert_array_equal(image, by_id[name][0])
            assert label == by_id[name][1]


def test_the_fingerprint_follows_images_and_split_however_written_and_not_the_file(file: Path) -> None:
    seen = [npz(file).fingerprint(), Npz(path=str(file), validation=3).fingerprint()]
    assert Npz(path=str(file), validation=0.2).fingerprint() == seen[1]
    np.savez_compressed(file, **arrays())
    assert Npz(path=str(file)).fingerprint() == seen[0]
    order = np.random.default_rng(4).permutation(15)
    shuffled = npz(file, x_train=arrays()["x_train"][order], y_train=Y.astype(np.uint8)[order])
    assert shuffled.fingerprint() == seen[0]
    assert npz(file, x_train=arrays()["x_train"] ^ 1).fingerprint() not in seen
    npz_file(file)
    moved = file.rename(file.with_name("moved.npz"))
    assert Npz(path=str(moved)).fingerprint() == seen[0]
    seen.append(npz(file, y_test=(np.arange(6) + 1) % 3).fingerprint())
    assert len(set(seen)) == 3


def test_images_are_read_once_for_a_fingerprint_and_again_where_the_file_was_written(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = npz(file)
    read: list[str] = []
    plain = np.lib.npyio.NpzFile.__getitem__
    monkeypatch.setattr(np.lib.npyio.NpzFile, "__getitem__", lambda self, key: read.append(key) or plain(self, key))
    dataset.load()
    before = dataset.fingerprint()
    assert dataset.fingerprint() == before
    assert read.count("x_train") == 1
    npz_file(file, x_train=arrays()["x_train"] ^ 1)
    os.utime(file, ns=(1, 1))
    assert dataset.fingerprint() != before
    assert read.count("x_train") == 2


def test_another_process_finds_the_same(file: Path) -> None:
    dataset = npz(file)
    program = (
        "import sys; from prunekit.plugins.datasets.npz import Npz; dataset = Npz(path=sys.argv[1]);"
        "print(dataset.fingerprint(), *dataset.load().train.ids)"
    )
    run = subprocess.run([sys.executable, "-c", program, str(file)], check=True, capture_output=True, text=True)
    assert run.stdout.split() == [dataset.fingerprint(), *dataset.load().train.ids]


# ------------------------------------------------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"x_test": None}, "has no array 'x_test'"),
        ({"x_test": None, "X_test": 0}, "has no array 'x_test' (did you mean 'X_test'?)"),
        ({"y_train": None, "labels": 0}, "has no array 'y_train' (known: labels)"),
        ({"x_train": pixels(1, (15, 6, 5, 3)) / 255}, "x_train is float64 [15, 6, 5, 3]: expected uint8, 0 to 255"),
        ({"x_train": np.zeros((15, 6, 5, 3), np.int64)}, "x_train is int64 [15, 6, 5, 3]: expected uint8"),
        ({"x_train": pixels(1, (15, 30))}, "x_train is uint8 [15, 30]: expected [N, H, W], [N, H, W, C] or"),
        ({"x_train": pixels(1, (15, 6, 5, 4))}, "of 1 or 3 channels"),
        ({"x_train": pixels(1, (15, 6, 0, 3))}, "x_train is uint8 [15, 6, 0, 3]: expected"),
        ({"x_train": pixels(1, (0, 6, 5, 3)), "y_train": Y[:0]}, "x_train is uint8 [0, 6, 5, 3]: expected"),
        ({"x_test": pixels(1, (6, 5, 6, 3))}, "x_train, uint8 [15, 6, 5, 3], and x_test, uint8 [6, 5, 6, 3], differ"),
        ({"y_train": Y.astype(float)}, "y_train is float64 [15]: expected whole numbers"),
        ({"y_train": Y == 1}, "y_train is bool [15]: expected whole numbers"),
        ({"y_train": np.eye(3, dtype=int)[Y]}, "y_train is int64 [15, 3]: expected one label per image"),
        ({"y_train": np.array(3)}, "y_train is int64 []: expected one label per image"),
        ({"y_train": Y[:-1]}, "y_train has 14 labels for 15 images"),
        ({"y_test": np.arange(6) % 3 - 1}, "y_test holds -1: labels are counted from 0"),
        (
            {"y_train": Y + 1, "y_test": np.arange(6) % 3 + 1},
            "y_train lacks the label 0: expected each label from 0 to 3",
        ),
        ({"y_test": np.arange(6) % 2}, "y_test lacks the label 2: expected each label from 0 to 2 in both parts"),
        ({"y_test": np.arange(6)}, "y_train lacks the label 3: expected each label from 0 to 5"),
        ({"y_train": Y * 10**9}, "y_train lacks the label 1"),
        ({"y_train": Y * 0, "y_test": np.zeros(6, int)}, "holds one class only"),
        ({"y_train": Y.astype(object)}, "y_train holds Python objects, which are never read"),
        ({"x_train": pixels(1, (15, 6, 5, 3)).astype(object)}, "x_train holds Python objects, which are never read"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_before_images_are_read(
    file: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(InputError) as error:
        npz(file, **changes).describe()
    assert said in str(error.value)
    assert str(error.value).startswith(f"{file}: ")
    assert "\n" not in str(error.value)


def test_a_missing_file_is_told_with_the_nearest_name(file: Path) -> None:
    npz_file(file)
    with pytest.raises(InputError, match=r"there is no file 'dat.npz' in .* \(did you mean 'data.npz'\?\)"):
        Npz(path=str(file.with_name("dat.npz"))).describe()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no file"):
        Npz(path=str(tmp_path)).describe()


def test_another_kind_of_file_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", pixels(1))
    with pytest.raises(InputError, match=r"is no .npz file \(numpy.savez writes one\)"):
        Npz(path=str(tmp_path / "x.npy")).describe()


def test_a_member_that_is_no_array_is_refused(file: Path) -> None:
    npz_file(file, y_test=None)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("y_test.npy", b"not an array")
    with pytest.raises(InputError, match="y_test is no array of numbers"):
        Npz(path=str(file)).describe()


def test_images_that_were_damaged_on_disk_are_refused(file: Path) -> None:
    dataset = npz(file)
    contents = bytearray(file.read_bytes())
    place = bytes(contents).find(arrays()["x_train"].tobytes()[:64])
    contents[place] ^= 1
    file.write_bytes(contents)
    with pytest.raises(InputError, match="x_train is damaged: Bad CRC-32"):
        dataset.load()


def test_a_file_that_was_cut_off_is_refused(file: Path) -> None:
    npz_file(file)
    file.write_bytes(file.read_bytes()[:500])
    with pytest.raises(InputError, match=r"is no \.npz file"):
        Npz(path=str(file)).describe()


@pytest.mark.parametrize("validation", [15, 13])
def test_a_validation_part_that_leaves_too_little_is_refused(file: Path, validation: int) -> None:
    npz_file(file)
    with pytest.raises(InputError, match="validation: "):
        Npz(path=str(file), validation=validation).load()
