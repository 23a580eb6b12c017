"""Folders that cannot be used: each is refused in one line, before anything is decoded where that can be known."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers_images import image_folder, pixels
from PIL import Image

from prunekit import InputError
from prunekit.plugins.datasets.imagefolder import ImageFolder


@pytest.fixture
def root(tmp_path: Path, cache: Path) -> Path:
    return image_folder(tmp_path / "pets")


def refusal(root: Path, **options: object) -> str:
    """What describing says; loading must say the same."""
    dataset = ImageFolder.model_validate({"root": str(root), **options})
    with pytest.raises(InputError) as described:
        dataset.describe()
    with pytest.raises(InputError) as loaded:
        dataset.load()
    assert str(described.value) == str(loaded.value)
    assert "\n" not in str(loaded.value)
    return str(loaded.value)


def refusal_to_load(root: Path, **options: object) -> str:
    """What loading says of a folder whose listing is sound."""
    dataset = ImageFolder.model_validate({"root": str(root), **options})
    dataset.describe()
    with pytest.raises(InputError) as loaded:
        dataset.load()
    assert dataset.fingerprint() is None
    assert "\n" not in str(loaded.value)
    return str(loaded.value)


# ---------------------------------------------------------------------------------------------------- the layout


def test_a_missing_root_is_told_with_the_nearest_name_beside_it(root: Path) -> None:
    missing = root.with_name("petz")
    assert refusal(missing) == f"{missing}: there is no folder 'petz' in {root.parent} (did you mean 'pets'?)"


def test_a_missing_folder_above_the_root_is_the_one_that_is_told(root: Path) -> None:
    missing = root.with_name("petz") / "small"
    assert refusal(missing) == f"{missing}: there is no folder 'petz' in {root.parent} (did you mean 'pets'?)"


def test_a_near_name_is_found_in_any_case_and_a_long_list_is_cut_short(root: Path) -> None:
    many = root.parent / "many"
    for i in range(50):
        (many / f"{i:02d}").mkdir(parents=True)
    first = ", ".join(f"{i:02d}" for i in range(12))
    assert refusal(many / "pets").endswith(f"there is no folder 'pets' in {many} (known: {first} and 38 more)")
    root.rename(many / "PETS")
    assert refusal(many / "pets").endswith("(did you mean 'PETS'?)")


def test_a_file_is_no_root(root: Path) -> None:
    file = root / "train" / "cat" / "0.png"
    assert refusal(file) == f"{file}: is no folder"


def test_an_empty_root_is_refused(tmp_path: Path, cache: Path) -> None:
    assert "has no folder 'train' (it is empty; expected train/<class>/ and test/<class>/)" in refusal(tmp_path)


@pytest.mark.parametrize(("part", "other"), [("train", "test"), ("test", "train")])
def test_a_root_without_one_of_its_parts_is_refused_with_what_is_there(root: Path, part: str, other: str) -> None:
    (root / part).rename(root / "val")
    assert f"{root}: has no folder '{part}' (there: {other}, val;" in refusal(root)


def test_classes_that_differ_are_named_both_ways(root: Path) -> None:
    (root / "test" / "dog").rename(root / "test" / "dogs")
    shutil.rmtree(root / "test" / "bee")
    assert refusal(root) == f"{root}: the classes of train and test differ: test lacks 'bee', 'dog'; train lacks 'dogs'"


def test_images_without_class_folders_are_refused(root: Path) -> None:
    for name in ("bee", "cat", "dog"):
        (root / "train" / name / "0.png").rename(root / "train" / f"{name}.png")
        shutil.rmtree(root / "train" / name)
    assert refusal(root) == f"{root / 'train' / 'bee.png'}: lies in no class folder (expected train/<class>/bee.png)"


def test_a_part_without_class_folders_is_refused(root: Path) -> None:
    shutil.rmtree(root / "test")
    (root / "test").mkdir()
    assert refusal(root) == f"{root / 'test'}: has no class folders (it is empty)"


def test_one_class_is_refused(tmp_path: Path, cache: Path) -> None:
    root = image_folder(tmp_path / "pets", classes=["cat"])
    assert refusal(root) == f"{root}: holds one class only ('cat'): there is nothing to tell apart"


def test_one_image_is_refused(tmp_path: Path, cache: Path) -> None:
    root = image_folder(tmp_path / "pets", classes=["cat"], sizes={"train": 1, "test": 0})
    assert "one class only" in refusal(root)


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_class_without_images_is_refused_with_what_is_there(root: Path, part: str) -> None:
    for file in (root / part / "cat").iterdir():
        file.rename(file.with_suffix(".heic"))
    said = refusal(root)
    assert said.startswith(f"{root / part / 'cat'}: holds no images (there: 0.heic, 1.heic")
    assert "jpg" in said


def test_names_that_are_no_utf8_are_refused(root: Path) -> None:
    try:
        (root / "train" / "cat" / "0.png").rename(root / "train" / "cat" / "k\udce4tzchen.png")
    except (OSError, UnicodeEncodeError):
        pytest.skip("the file system refuses such names itself")
    assert r"the name of the file 'train/cat/k\udce4tzchen.png' is no UTF-8" in refusal(root)


@pytest.mark.parametrize("target", [".", "..", "../..", "../../../.."])
def test_a_link_to_a_folder_that_it_lies_in_is_named(root: Path, target: str) -> None:
    link = root / "train" / "cat" / "again"
    link.symlink_to(target)
    true = (root / "train" / "cat" / target).resolve()
    assert refusal(root) == f"{link}: is a link to a folder that it lies in ({true}): remove the link"


def test_links_that_lead_into_each_other_are_named(root: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, other in ((one, two), (two, one)):
        folder.mkdir()
        (folder / "on").symlink_to(other)
    (root / "train" / "cat" / "more").symlink_to(one)
    said = refusal(root)
    assert said.startswith(f"{root / 'train' / 'cat' / 'more' / 'on' / 'on'}: is a link to a folder that it lies in")


def test_links_to_folders_elsewhere_are_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    Image.fromarray(pixels(94)).save(tmp_path / "more" / "x.png")
    for name in ("a", "b"):
        (root / "train" / "cat" / name).symlink_to(tmp_path / "more")
    assert {"train/cat/a/x.png", "train/cat/b/x.png"} < set(ImageFolder(root=str(root)).load().train.ids)


# ---------------------------------------------------------------------------------------------------- the split


def test_a_validation_part_that_leaves_nothing_is_refused(root: Path) -> None:
    assert "expected a count from 0 to 14" in refusal(root, validation=15)


def test_a_validation_part_that_takes_a_whole_class_is_refused(root: Path) -> None:
    assert "leaves 1 of the classes without training images" in refusal(root, validation=13)


# ---------------------------------------------------------------------------------------------------- the images


def test_the_first_image_of_another_size_is_named_with_both_sizes_and_the_option(root: Path) -> None:
    Image.fromarray(pixels(90, (7, 9, 3))).save(root / "train" / "cat" / "3.png")
    Image.fromarray(pixels(91, (9, 9, 3))).save(root / "train" / "dog" / "0.png")
    assert (
        refusal_to_load(root) == f"{root}/train/cat/3.png is 9×7 and {root}/train/bee/0.png is 5×6 (width×height):"
        " give a `size`, such as `size: 32`, to resize all"
    )
    assert ImageFolder(root=str(root), size=4).load().train.images.shape == (15, 3, 4, 4)


def test_grey_among_colour_images_is_refused_naming_one_of_each(root: Path) -> None:
    Image.fromarray(pixels(92, (6, 5))).save(root / "test" / "cat" / "1.png")
    assert (
        refusal_to_load(root) == f"{root}/test/cat/1.png is grey and {root}/train/bee/0.png is in colour:"
        " choose `colour: rgb` or `colour: grey` for all"
    )


def test_colour_among_grey_images_is_refused_naming_one_of_each(tmp_path: Path, cache: Path) -> None:
    root = image_folder(tmp_path / "pets", shape=(6, 5))
    Image.fromarray(pixels(93)).save(root / "test" / "cat" / "1.png")
    said = refusal_to_load(root)
    assert said.startswith(f"{root}/test/cat/1.png is in colour and {root}/train/bee/0.png is grey")


@pytest.mark.parametrize("contents", [b"", b"no image at all"])
def test_a_file_that_is_no_image_is_named_with_the_option_that_leaves_it_out(root: Path, contents: bytes) -> None:
    (root / "train" / "cat" / "2.png").write_bytes(contents)
    assert (
        refusal_to_load(root) == f"{root}/train/cat/2.png: broken: cannot identify image file"
        " (`skip_broken: true` leaves such images out)"
    )


def test_an_image_that_was_cut_off_is_named(root: Path) -> None:
    file = root / "test" / "dog" / "1.png"
    file.write_bytes(file.read_bytes()[:60])
    assert refusal_to_load(root).startswith(f"{file}: broken: ")


def test_the_first_image_is_looked_at_before_anything_is_decoded(root: Path) -> None:
    (root / "train" / "bee" / "0.png").write_bytes(b"")
    assert "train/bee/0.png: broken" in refusal(root)


def test_images_that_are_all_broken_are_refused_even_where_they_are_skipped(root: Path) -> None:
    for file in (root / "test" / "cat").iterdir():
        file.write_bytes(b"")
    assert refusal_to_load(root, skip_broken=True) == f"{root / 'test' / 'cat'}: none of its images can be read"
    for file in (root / "train").rglob("*.png"):
        file.write_bytes(b"")
    assert refusal(root, skip_broken=True) == f"{root / 'train'}: none of its images can be read"


def test_an_image_that_vanished_since_it_was_listed_is_no_broken_one(root: Path) -> None:
    dataset = ImageFolder(root=str(root), skip_broken=True)
    dataset.describe()
    (root / "train" / "cat" / "0.png").unlink()
    with pytest.raises(InputError, match=r"train/cat/0.png: cannot be read: No such file"):
        dataset.load()
