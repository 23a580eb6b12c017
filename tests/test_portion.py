"""Which seeds a run does."""

from __future__ import annotations

from pathlib import Path

import pytest

from prunekit.errors import InputError
from prunekit.outline import describe, outline
from prunekit.portion import parse_seeds
from prunekit.recipe import load
from prunekit.store import Store
from prunekit.study import resolve


def test_a_number_is_how_many_and_two_are_from_where_to_where() -> None:
    assert parse_seeds("8") == 8
    assert parse_seeds("10:20") == range(10, 20)
    assert parse_seeds("0:1") == range(1)


@pytest.mark.parametrize("text", ["5:5", "7:3"])
def test_a_part_without_seeds_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"^--seeds {text}: names no seed: END is the first seed that is left out$"):
        parse_seeds(text)


@pytest.mark.parametrize("text", ["a:b", "-2:3", "3:", ":3", "1:2:3", "1.5", "", "8 "])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=f"^--seeds {text}: expected a number of members, or FIRST:END such as 10:20"):
        parse_seeds(text)


@pytest.mark.parametrize("part", [range(0, 10, 2), range(-3, 2), range(5, 1, -1)])
def test_a_range_that_skips_seeds_or_begins_before_0_is_refused(tiny: Path, part: range) -> None:
    with pytest.raises(InputError, match="expected seeds one after the other, from 0 on"):
        load(tiny, seeds=part)


def test_a_part_is_a_part_of_the_same_study(tiny: Path) -> None:
    whole, part = resolve(load(tiny, seeds=4)), resolve(load(tiny, seeds=range(1, 3)))
    assert part.identity == whole.identity
    assert [(m.population, m.seed) for m in part.members()] == [
        (name, seed) for name in ("dense", "sparse", "control") for seed in (1, 2)
    ]
    assert {m.keys for m in part.members()} < {m.keys for m in whole.members()}


@pytest.mark.parametrize(("part", "named"), [(range(1, 2), 2), (range(3, 5), 5)])
def test_the_plan_names_all_seeds_of_the_recipe_or_more_where_the_part_reaches_beyond(
    tiny: Path, part: range, named: int
) -> None:
    study = resolve(load(tiny, seeds=part))
    assert study.recipe.seeds == named
    for block in describe(study)["populations"].values():
        assert list(block["members"]) == [str(seed) for seed in range(named)]


def test_a_dry_run_counts_the_part_alone(tiny: Path, tmp_path: Path) -> None:
    whole, part = (
        outline(resolve(load(tiny, seeds=seeds)), Store(tmp_path / "runs"), jobs=1) for seeds in (9, range(6, 9))
    )
    assert (whole["members"], part["members"]) == (27, 9)
    assert part["populations"]["sparse"]["members"] == 3
    assert part["disk_bytes"] == pytest.approx(whole["disk_bytes"] / 3, rel=0.01)
