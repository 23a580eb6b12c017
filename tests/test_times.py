"""Times of a stage, and how far it is."""

import pytest
from pydantic import TypeAdapter, ValidationError

from prunekit.times import Progress, Time


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("30ep", Time(epochs=30)),
        ("500it", Time(iterations=500)),
        ("2ep100it", Time(2, 100)),
        ("5%", Time(percent=5.0)),
        ("12.5%", Time(percent=12.5)),
        ("0it", Time()),
        ("100%", Time(percent=100.0)),
        (" 3ep ", Time(epochs=3)),
    ],
)
def test_times_are_read(text: str, time: Time) -> None:
    assert Time.parse(text) == time


@pytest.mark.parametrize(
    "text", ["", " ", "5", "5 ep", "ep", "-1it", "1.5ep", "100it2ep", "5%2it", "101%", "5 %", "1e3it"]
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is no time|outside the stage"):
        Time.parse(text)


@pytest.mark.parametrize(
    "text", ["30ep", "500it", "2ep100it", "5%", "12.5%", "0it", "0%", "100%", "33.33339%", "0.000012345678%"]
)
def test_a_time_is_written_as_it_is_read(text: str) -> None:
    assert str(Time.parse(text)) == text


def test_a_time_without_a_unit_is_refused_in_options() -> None:
    adapter = TypeAdapter(Time)
    assert adapter.validate_python("3ep") == Time(epochs=3)
    assert adapter.dump_python(Time(2, 100)) == "2ep100it"
    for value in (3, 3.0, None, True):
        with pytest.raises(ValidationError, match="has no unit"):
            adapter.validate_python(value)
    assert adapter.json_schema()["type"] == "string"


@pytest.mark.parametrize(
    ("text", "iteration"),
    [("3ep", 147), ("500it", 500), ("2ep3it", 101), ("5%", 1225), ("0%", 0), ("100%", 24500), ("0.003%", 1)],
)
def test_a_time_names_an_iteration(text: str, iteration: int) -> None:
    assert Progress(0, 24500, 49).at(Time.parse(text)) == iteration


def test_epochs_are_counted_with_their_fraction() -> None:
    assert Progress(0, 100, 8).epoch == 0.0
    assert Progress(20, 100, 8).epoch == 2.5


def test_what_is_unknown_is_refused_not_guessed() -> None:
    unknown = Progress(5, None, None)
    assert unknown.at(Time.parse("7it")) == 7
    with pytest.raises(ValueError, match="5% is a share of a stage of unknown length"):
        unknown.at(Time.parse("5%"))
    with pytest.raises(ValueError, match="2ep1it counts epochs of unknown length"):
        unknown.at(Time.parse("2ep1it"))
    with pytest.raises(ValueError, match="unknown length"):
        _ = unknown.epoch
