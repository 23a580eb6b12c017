"""The digits that come with scikit-learn."""

import subprocess
import sys

import numpy as np
import pytest
from pydantic import ValidationError
from sklearn.datasets import load_digits

from prunekit import InputError
from prunekit.plugins.datasets.digits import Digits


def test_pixels_labels_and_ids_are_scikit_learns() -> None:
    data, theirs = Digits().load(), load_digits()
    seen = set()
    for split in (data.train, data.validation, data.test):
        for image, label, name in zip(split.images, split.labels, split.ids, strict=True):
            number = int(name.removeprefix("digits-"))
            assert label == theirs.target[number]
            np.testing.assert_allclose(image[0], theirs.images[number] / 16 * 255, atol=0.5)
            seen.add(number)
    assert seen == set(range(1797))
    assert data.train.images.max() == 255


def test_every_part_holds_the_classes_in_proportion() -> None:
    data, total = Digits().load(), np.bincount(load_digits().target)
    for split in (data.train, data.validation, data.test):
        expected = total * len(split.labels) / 1797
        assert np.abs(np.bincount(split.labels, minlength=10) - expected).max() < 2


def test_the_test_part_does_not_depend_on_the_validation_part() -> None:
    none, usual, share = (Digits(validation=size) for size in (0, 200, 0.25))
    assert [d.describe().validation for d in (none, usual, share)] == [0, 200, 250]
    assert none.load().test.ids == usual.load().test.ids == share.load().test.ids
    assert set(usual.load().validation.ids) < set(none.load().train.ids)
    assert len(none.load().train.ids) == 1000


def test_the_fingerprint_follows_the_split_however_it_is_written() -> None:
    assert Digits(validation=200).fingerprint() == Digits(validation=0.2).fingerprint() == Digits().fingerprint()
    assert Digits(validation=201).fingerprint() != Digits().fingerprint()


def test_describing_imports_nothing_heavy() -> None:
    program = (
        "import sys; from prunekit.registry import registry; digits = registry.find('dataset', 'digits')[0].plugin();"
        "digits.describe(); assert digits.fingerprint(); assert not {'sklearn', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("size", [-1, 1.0, -0.1, float("nan"), True, "200"])
def test_impossible_validation_sizes_are_refused(size: object) -> None:
    with pytest.raises(ValidationError):
        Digits.model_validate({"validation": size})


def test_a_validation_part_that_leaves_nothing_to_train_on_is_refused() -> None:
    assert Digits(validation=999).describe().train == 1
    with pytest.raises(InputError, match=r"1000 images cannot be held out of 1000 .* expected a count from 0 to 999"):
        Digits(validation=1000).describe()
