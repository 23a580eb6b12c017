"""Groups of examples from a file: reading it, and what is said of them."""

from __future__ import annotations

import numpy as np
import pytest

from prunekit.comparison import Comparison
from prunekit.errors import InputError
from prunekit.plugins.measures._chance import permutation_test
from prunekit.plugins.measures._groups import read_groups
from prunekit.plugins.measures.class_impact import ClassImpact
from prunekit.plugins.measures.pie import Pie
from prunekit.plugins.measures.subgroups import Subgroups
from prunekit.report.arrays import ArrayPopulation, ArrayStudy

LABELS = np.random.default_rng(0).integers(0, 3, 60)
CLASSES = ("cat", "dog", "owl")
IDS = tuple(f"image-{i:02}" for i in range(60))
COMPARISON = Comparison("dense", "sparse", None, paired=True)


def members(seed, number=6, wrong=0.3):
    rng = np.random.default_rng(seed)
    drawn = rng.integers(0, 3, (number, len(LABELS)))
    return np.where(rng.random(drawn.shape) < wrong, drawn, LABELS)


def study(**predictions):
    populations = {
        name: ArrayPopulation(name, tuple(range(len(values))), 0.0, {"prediction": values})
        for name, values in ({"dense": members(1), "sparse": members(2)} | predictions).items()
    }
    return ArrayStudy(CLASSES, IDS, LABELS, populations)


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Write a file of groups, and return the name under which it is found."""
    monkeypatch.chdir(tmp_path)

    def write(text, name="groups.csv"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return name

    return write


def rows(**columns):
    lines = [",".join(("example_id", *columns))]
    lines += [",".join((name, *(values[i] for values in columns.values()))) for i, name in enumerate(IDS)]
    return "\n".join(lines)


# --------------------------------------------------------------------------------------------------------- what it says


def test_groups_that_are_the_classes_are_tested_as_classes(write):
    path = write(rows(animal=[CLASSES[label] for label in LABELS]))
    found = Subgroups(groups=path).summarise(study(), [COMPARISON]).comparisons[0]
    classes = ClassImpact().summarise(study(), [COMPARISON]).comparisons[0]
    for name in CLASSES:
        entry, expected = found["groupings"]["animal"][name], classes["classes"][name]
        assert entry["change"] == expected["recall_change"]
        for key in ("beyond_overall", "p", "adjusted_p", "own_adjusted_p"):
            assert entry[key] == expected[key]
    assert (found["lost"], found["significant"]) == (classes["lost"], classes["significant"])


def test_pies_by_group_are_those_by_class(write):
    path = write(rows(animal=[CLASSES[label] for label in LABELS]))
    found = Subgroups(groups=path).summarise(study(), [COMPARISON]).comparisons[0]["groupings"]["animal"]
    pies = Pie().summarise(study(), [COMPARISON]).comparisons[0]
    assert {name: found[name]["pies"] for name in CLASSES} == pies["per_class"]
    assert sum(found[name]["expected_pies"] for name in CLASSES) == pytest.approx(pies["expected"])
    chance = permutation_test(members(1), members(2), paired=True).by_example
    assert found["dog"]["expected_pies"] == pytest.approx(chance[LABELS == 1].sum())


def test_accuracies_and_numbers_of_examples(write):
    half = np.arange(60) < 20
    path = write(rows(half=np.where(half, "low", "").tolist()))
    found = Subgroups(groups=path).summarise(study(), [COMPARISON]).comparisons[0]["groupings"]["half"]
    assert list(found) == ["low"]
    assert found["low"]["examples"] == 20
    assert found["low"]["reference"] == pytest.approx((members(1) == LABELS)[:, half].mean())
    assert found["low"]["pruned"] == pytest.approx((members(2) == LABELS)[:, half].mean())


def test_p_is_adjusted_for_the_groups_of_all_groupings(write):
    one = [CLASSES[label] for label in LABELS]
    alone = Subgroups(groups=write(rows(animal=one))).summarise(study(), [COMPARISON])
    both = Subgroups(groups=write(rows(animal=one, again=one))).summarise(study(), [COMPARISON])
    # each p twice: the ranks double as their number does
    for name in CLASSES:
        few, many = (each.comparisons[0]["groupings"]["animal"][name] for each in (alone, both))
        assert many["adjusted_p"] == pytest.approx(few["adjusted_p"])
    noise = np.random.default_rng(1).integers(0, 9, 60).astype(str).tolist()
    more = Subgroups(groups=write(rows(animal=one, noise=noise))).summarise(study(), [COMPARISON])
    smallest = min(alone.comparisons[0]["groupings"]["animal"].values(), key=lambda each: each["p"])
    other = min(more.comparisons[0]["groupings"]["animal"].values(), key=lambda each: each["p"])
    assert other["p"] == smallest["p"]
    assert other["adjusted_p"] > smallest["adjusted_p"]


def test_the_group_that_lost_is_named_with_its_column(write):
    half = np.arange(60) < 20
    sparse = members(2)
    sparse[:, half] = np.where(np.random.default_rng(3).random((6, 20)) < 0.8, (LABELS[half] + 1) % 3, LABELS[half])
    path = write(rows(light=np.where(half, "dark", "bright").tolist()))
    summary = Subgroups(groups=path).summarise(study(sparse=sparse), [COMPARISON])
    assert summary.comparisons[0]["most"] == "light = dark"
    assert summary.whom[0].startswith("it fell on group light = dark (accuracy −")
    assert [row[0] for row in summary.tables[0].rows] == ["light = bright", "light = dark"]
    assert [row[1] for row in summary.tables[0].rows] == [40, 20]
    assert summary.figures[0].categories == ("light = bright", "light = dark")


def test_the_change_without_pruning_stands_beside(write):
    path = write(rows(animal=[CLASSES[label] for label in LABELS]))
    comparison = Comparison("dense", "sparse", "control", paired=True)
    summary = Subgroups(groups=path).summarise(study(control=members(5)), [comparison])
    alone = Subgroups(groups=path).summarise(study(sparse=members(5)), [COMPARISON])
    entry = summary.comparisons[0]["groupings"]["animal"]["owl"]["control"]
    assert entry == {key: alone.comparisons[0]["groupings"]["animal"]["owl"][key] for key in entry}


def test_ties_go_where_they_are_told(write):
    path = write(rows(all=["all"] * 60))
    dense = np.stack([np.zeros(60, int), np.ones(60, int)])
    found = {
        ties: Subgroups(groups=path, ties=ties).summarise(study(dense=dense, sparse=dense * 0), [COMPARISON])
        for ties in ("smallest", "largest")
    }
    pies = {ties: each.comparisons[0]["groupings"]["all"]["all"]["pies"] for ties, each in found.items()}
    assert pies == {"smallest": 0, "largest": 60}


# ----------------------------------------------------------------------------------------------------------- the file


def test_rows_are_in_any_order_and_groups_in_that_of_the_alphabet(write):
    found = read_groups(write("sex,example_id\nm,c\nf,a\n,b\n")).groupings(("a", "b", "c"))[0]
    assert (found.name, found.groups, found.group_of.tolist()) == ("sex", ("f", "m"), [0, -1, 1])


def test_what_spreadsheets_write_is_read(write):
    # a byte-order mark, line ends of two bytes, quotes, blank lines, spaces around names and values
    text = '\ufeffexample_id, place \r\n"a, 1","x\ny"\r\n\r\nb, home \r\n'
    found = read_groups(write(text))
    assert found.lines == {"a, 1": 3, "b": 5}
    assert found.columns == {"place": ["x\ny", "home"]}


def test_a_home_folder_is_expanded(write, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write("example_id,g\na,1\n", "mine.csv")
    Subgroups(groups="~/mine.csv").check()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "groups.csv: is empty: expected a column example_id and columns of groups"),
        ("exampleid,sex\na,f\n", "groups.csv:1: expected a column example_id (did you mean 'exampleid'?)"),
        ("name;sex\na;f\n", "groups.csv:1: expected a column example_id (known: name;sex)"),
        ("\nexample_id\na\n", "groups.csv:2: expected a column beside example_id, whose values are the groups"),
        ("example_id,sex,sex\na,f,f\n", "groups.csv:1: the column 'sex' stands twice"),
        ("example_id,,sex\na,f,f\n", "groups.csv:1: a column has no name"),
        ("example_id,sex\n", "groups.csv: has a header and no rows: expected one per example"),
        ("example_id,sex\na,f\nb\n", "groups.csv:3: expected 2 values, as in the header, not 1"),
        (
            "example_id,sex\na,f\nb,f\na,m\nb,m\nb,\n",
            "groups.csv:4: example_id 'a' stands in line 2 already; 3 of 5 rows repeat an example",
        ),
        ("example_id,sex\na, \nb,\n", "groups.csv: the column 'sex' is empty in every row: there are no groups in it"),
        (b"example_id,sex\na,f\nb,weibl\xefch\n", "groups.csv:3: is not in UTF-8: save it in that encoding"),
        ('example_id,sex\na,"f\n', "groups.csv:2: is no CSV: unexpected end of data"),
    ],
)
def test_files_are_refused_before_anything_is_trained(write, text, expected):
    with pytest.raises(InputError) as error:
        Subgroups(groups=write(text)).check()
    assert str(error.value) == expected


def test_a_file_that_is_not_there_is_refused_with_the_nearest_name(write):
    write("example_id,sex\na,f\n", "attributes.csv")
    with pytest.raises(InputError, match=r"there is no file 'atributes.csv' in .* \(did you mean 'attributes.csv'\?\)"):
        Subgroups(groups="atributes.csv").check()


def test_a_folder_is_refused(write, tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(InputError, match="folder: is no file"):
        Subgroups(groups="folder").check()


def test_ids_that_the_study_does_not_have_are_refused(write):
    path = write(rows(g=["x"] * 60) + "\nimage-7,x\nother,x\n")
    Subgroups(groups=path).check()
    with pytest.raises(InputError) as error:
        Subgroups(groups=path).summarise(study(), [COMPARISON])
    assert str(error.value) == (
        "groups.csv:62: the study has no example 'image-7' (did you mean 'image-57'?); 2 of 62 rows are of examples "
        "that it does not have"
    )


def test_examples_without_a_row_are_refused(write):
    path = write("\n".join(rows(g=["x"] * 60).split("\n")[:-3]))
    with pytest.raises(InputError) as error:
        Subgroups(groups=path).summarise(study(), [COMPARISON])
    assert str(error.value) == (
        "groups.csv: 3 of 60 examples of the study have no row, the first is 'image-57': give it one (an empty value "
        "keeps it out of all groups of a column)"
    )
