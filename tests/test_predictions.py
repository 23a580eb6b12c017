"""Predictions that were made elsewhere: read from tables, laid out over the same examples, refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from prunekit.errors import InputError
from prunekit.predictions import PredictedMembers, read_predictions, together


def table(path: Path, text: str) -> Path:
    path.write_text(text.replace(" ", ""))
    return path


def members(folder: Path, *texts: str, **options) -> PredictedMembers:
    files = [read_predictions(table(folder / f"m{i}.csv", text)) for i, text in enumerate(texts)]
    return together(files, **options)


def predictions(found: PredictedMembers) -> list[list[int]]:
    return [columns["prediction"].tolist() for columns in found.columns.values()]


def test_a_csv_holds_ids_predictions_confidences_and_labels(tmp_path):
    found = members(tmp_path, "example_id,prediction,confidence,label\n a,cat,0.5,dog\n b,dog,1,dog\n")
    assert (found.ids, found.classes, found.labelled) == (("a", "b"), ("cat", "dog"), True)
    assert found.labels.tolist() == [1, 1]
    columns = found.columns[tmp_path / "m0.csv"]
    assert columns["prediction"].tolist() == [0, 1]
    assert columns["confidence"].tolist() == [0.5, 1.0]


def test_parquet_and_npz_say_the_same_as_a_csv(tmp_path):
    csv = table(tmp_path / "m.csv", "example_id,prediction,confidence\n 7,3,0.25\n 8,1,0.5\n")
    columns = {"example_id": [7, 8], "prediction": [3, 1], "confidence": [0.25, 0.5]}
    pq.write_table(pa.table(columns), tmp_path / "m.parquet")
    np.savez(tmp_path / "m.npz", **{name: np.array(values) for name, values in columns.items()})
    files = [read_predictions(path) for path in (csv, tmp_path / "m.parquet", tmp_path / "m.npz")]
    assert {(file.ids, file.prediction) for file in files} == {(("7", "8"), ("3", "1"))}
    assert all(file.confidence.tolist() == [0.25, 0.5] for file in files)


def test_members_are_laid_out_in_the_order_of_the_first_file(tmp_path):
    found = members(tmp_path, "example_id,prediction\n a,0\n b,1\n c,2\n", "example_id,prediction\n c,0\n a,1\n b,2\n")
    assert predictions(found) == [[0, 1, 2], [1, 2, 0]]


def test_or_in_the_order_of_the_data(tmp_path):
    found = members(
        tmp_path,
        "example_id,prediction\n a,cat\n b,dog\n",
        ids=["b", "a"],
        classes=["dog", "cat"],
        labels=np.array([0, 0]),
    )
    assert (predictions(found), found.labels.tolist()) == ([[0, 1]], [0, 0])


def test_whole_numbers_are_classes_in_their_order_and_names_alphabetically(tmp_path):
    assert members(tmp_path, "example_id,prediction\n a,10\n b,9\n").classes == ("9", "10")
    assert members(tmp_path, "example_id,prediction\n a,owl\n b,ant\n").classes == ("ant", "owl")


def test_a_whole_number_is_the_same_class_however_it_is_written(tmp_path):
    found = members(tmp_path, "example_id,prediction,label\n a,3.0,3\n b,4,4\n")
    assert (found.classes, predictions(found), found.labels.tolist()) == (("3", "4"), [[0, 1]], [0, 1])


def test_numbers_count_the_classes_of_the_data(tmp_path):
    found = members(tmp_path, "example_id,prediction\n a,1\n b,0\n", classes=["cat", "dog"])
    assert (found.classes, predictions(found)) == (("cat", "dog"), [[1, 0]])


def test_numbers_that_name_classes_of_the_data_are_these_names(tmp_path):
    found = members(tmp_path, "example_id,prediction\n a,1\n b,0\n", classes=["1", "0"])
    assert predictions(found) == [[0, 1]]


def test_what_a_text_stands_for_does_not_depend_on_other_files(tmp_path):
    text, classes = "example_id,prediction\n a,1\n b,2.0\n", ["1", "2", "3"]
    one = members(tmp_path, text, classes=classes)
    both = members(tmp_path, text, "example_id,prediction\n a,3\n b,3\n", classes=classes)
    assert predictions(one) == [[0, 1]]
    assert predictions(both) == [[0, 1], [2, 2]]
    with pytest.raises(InputError, match="the data have no class '0'"):  # it does not count classes that are numbers
        members(tmp_path, "example_id,prediction\n a,0\n", classes=["1", "2", "3"])


def test_names_and_numbers_of_classes_may_stand_side_by_side(tmp_path):
    found = members(
        tmp_path, "example_id,prediction\n a,cat\n", "example_id,prediction\n a,1\n", classes=["cat", "dog"]
    )
    assert predictions(found) == [[0], [1]]


def test_labels_come_from_any_file_that_has_them(tmp_path):
    found = members(tmp_path, "example_id,prediction\n a,0\n b,1\n", "example_id,prediction,label\n b,1,1\n a,0,0\n")
    assert found.labels.tolist() == [0, 1]


def test_without_labels_the_true_classes_are_unknown(tmp_path):
    found = members(tmp_path, "example_id,prediction\n a,0\n")
    assert (found.labels.tolist(), found.labelled) == ([-1], False)


def test_columns_that_say_nothing_here_are_named(tmp_path):
    file = read_predictions(table(tmp_path / "m.csv", "example_id,prediction,confidense\n a,0,1\n"))
    assert file.unused == ("confidense",)


REFUSED = {
    "m.csv: its columns are separated by ';': expected commas": "example_id;prediction\n a;0\n",
    "m.csv: has no column 'prediction' (did you mean 'predicted'?)": "example_id,predicted\n a,0\n",
    "m.csv: has no column 'example_id' (did you mean 'exampleid'?)": "exampleid,prediction\n a,0\n",
    "m.csv: holds no example": "example_id,prediction\n",
    "m.csv: 2 example ids stand more than once, first 'a' (rows 1 and 3)": (
        "example_id,prediction\n a,0\n b,0\n a,1\n b,0\n b,0\n"
    ),
    "m.csv: prediction is empty in row 2": "example_id,prediction\n a,0\n b,\n",
    "m.csv: confidence is '1.5' in row 1: expected a probability from 0 to 1": (
        "example_id,prediction,confidence\n a,0,1.5\n"
    ),
    "m.csv: confidence is '' in row 1: expected a probability from 0 to 1": (
        "example_id,prediction,confidence\n a,0,\n"
    ),
    "m.csv: confidence is 'sure' in row 1: expected a probability from 0 to 1": (
        "example_id,prediction,confidence\n a,0,sure\n"
    ),
    "m.csv: cannot be read: CSV parse error": "example_id,prediction\n a,0\n b\n",
    "m.csv: cannot be read: Empty CSV file": "",
    "m.csv: cannot be read: a column stands twice": "example_id,prediction,prediction\n a,0,0\n",
}


@pytest.mark.parametrize("message", REFUSED)
def test_a_table_that_cannot_be_used_is_refused(message, tmp_path):
    with pytest.raises(InputError) as refused:
        read_predictions(table(tmp_path / "m.csv", REFUSED[message]))
    assert str(refused.value).startswith(f"{tmp_path}/{message}")
    assert "\n" not in str(refused.value)


def test_a_file_of_another_kind_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"m\.xlsx: expected predictions in one of \.csv, \.parquet, \.npz, not '\.xl"):
        read_predictions(tmp_path / "m.xlsx")
    for name in ("m.parquet", "m.npz"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
        with pytest.raises(InputError, match=f"{name}: cannot be read: "):
            read_predictions(tmp_path / name)


def test_tables_that_are_cut_short_or_of_another_kind_inside_are_refused(tmp_path):
    np.savez(tmp_path / "m.npz", example_id=np.arange(99), prediction=np.arange(99))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "m.npz").read_bytes()[:-40])
    np.save(tmp_path / "single.npy", np.arange(3))
    (tmp_path / "single.npy").rename(tmp_path / "single.npz")
    pq.write_table(pa.table({"example_id": [1], "prediction": [[1, 2]]}), tmp_path / "lists.parquet")
    for name in ("cut.npz", "single.npz", "lists.parquet"):
        with pytest.raises(InputError, match=f"{name}: cannot be read: ") as refused:
            read_predictions(tmp_path / name)
        assert "\n" not in str(refused.value)


def test_an_npz_with_objects_is_refused_and_nothing_is_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return Path.touch, (tmp_path / "sprung",)

    np.savez(tmp_path / "m.npz", example_id=np.array([Trap()], dtype=object), prediction=np.array([0]))
    with pytest.raises(InputError, match=r"m\.npz: cannot be read: Object arrays cannot be loaded"):
        read_predictions(tmp_path / "m.npz")
    assert not (tmp_path / "sprung").exists()


def test_arrays_of_other_shapes_are_refused(tmp_path):
    np.savez(tmp_path / "m.npz", example_id=np.array([1, 2]), prediction=np.zeros((2, 10)))
    with pytest.raises(InputError, match=r"prediction is an array of shape \[2, 10\]: expected \[examples\] of all"):
        read_predictions(tmp_path / "m.npz")


def test_other_examples_are_refused_with_how_many_and_the_first(tmp_path):
    with pytest.raises(InputError) as refused:
        members(
            tmp_path, "example_id,prediction\n a,0\n b,0\n c,0\n", "example_id,prediction\n a,0\n x,0\n y,0\n z,0\n"
        )
    assert str(refused.value) == (
        f"{tmp_path}/m1.csv: its examples are not those of {tmp_path}/m0.csv: of the ids 2 are missing, first 'b'; "
        "3 are none of them, first 'x'"
    )


def test_other_labels_are_refused_with_how_many_and_the_first(tmp_path):
    with pytest.raises(InputError) as refused:
        members(
            tmp_path, "example_id,prediction,label\n a,0,0\n b,0,1\n", "example_id,prediction,label\n a,0,0\n b,0,0\n"
        )
    assert str(refused.value) == (
        f"{tmp_path}/m1.csv: 1 labels are not those of {tmp_path}/m0.csv, first that of 'b': '0' here, '1' there"
    )


def test_a_class_that_the_data_do_not_have_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"m0\.csv: the data have no class 'catt' \(did you mean 'cat'\?\)"):
        members(tmp_path, "example_id,prediction\n a,catt\n b,dog\n", classes=["cat", "dog"])
    with pytest.raises(InputError, match=r"m0\.csv: the data have no class '2'"):
        members(tmp_path, "example_id,prediction\n a,2\n b,1\n", classes=["cat", "dog"])
