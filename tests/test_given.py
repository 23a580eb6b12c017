"""Files of members that were made elsewhere: found by globs, in an order that people expect."""

from __future__ import annotations

import re

import pytest

from prunekit.errors import InputError
from prunekit.given import find_files, refuse_copies


def names(files) -> list[str]:
    return [file.path.name for file in files]


@pytest.fixture
def folder(tmp_path):
    for i in (10, 2, 1):
        (tmp_path / f"dense-{i}.csv").write_text(str(i))
    return tmp_path


def test_numbers_are_sorted_by_value(folder):
    assert names(find_files(["dense-*.csv"], folder)) == ["dense-1.csv", "dense-2.csv", "dense-10.csv"]


def test_several_globs_follow_each_other_and_a_file_counts_once(folder):
    assert names(find_files(["dense-10.csv", "*.csv"], folder)) == ["dense-10.csv", "dense-1.csv", "dense-2.csv"]


def test_an_absolute_glob_stays_where_it_is(folder, tmp_path_factory):
    assert len(find_files([str(folder / "*.csv")], tmp_path_factory.mktemp("other"))) == 3


def test_the_digest_is_that_of_the_content(folder):
    (folder / "copy.csv").write_text("1")
    one, other = find_files(["dense-1.csv", "copy.csv"], folder)
    assert one.digest == other.digest == "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"


def test_a_glob_that_matches_nothing_names_the_nearest_file(folder):
    with pytest.raises(
        InputError, match=re.escape(f"no file matches 'denze-1.csv' in {folder} (did you mean 'dense-1.")
    ):
        find_files(["denze-1.csv"], folder)
    with pytest.raises(InputError, match=f"no file matches 'models/x-.*': there is no folder {folder}/models"):
        find_files(["models/x-*.csv"], folder)


def test_brackets_in_the_name_of_the_recipes_folder_are_no_pattern(tmp_path):
    (tmp_path / "run[1]").mkdir()
    (tmp_path / "run[1]" / "dense-0.csv").write_text("0")
    assert names(find_files(["dense-*.csv"], tmp_path / "run[1]")) == ["dense-0.csv"]
    with pytest.raises(InputError, match="did you mean 'dense-0"):
        find_files(["dense-O.csv"], tmp_path / "run[1]")


def test_a_folder_is_no_member(folder):
    (folder / "dense-3.csv").mkdir()
    assert len(find_files(["dense-*.csv"], folder)) == 3


def test_a_member_that_would_count_twice_is_refused(folder):
    (folder / "dense-11.csv").write_text("10")
    with pytest.raises(InputError, match=r"dense-11\.csv holds the same as .*dense-10\.csv: a member would be counted"):
        refuse_copies(find_files(["*.csv"], folder))
