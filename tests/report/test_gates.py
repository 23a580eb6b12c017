"""Conditions on the figures of a report."""

from __future__ import annotations

import json
import sys

import pytest

from prunekit.cli.main import main
from prunekit.errors import InputError
from prunekit.report.build import build_report
from prunekit.report.gates import Gate

DOCUMENT = {
    "data": {"name": "pets", "examples": 797},
    "populations": {
        "sup_gmp_0.9": {"accuracy": {"mean": 0.9, "members": [0.88, 0.92]}},
        "sup_gmp_0.95": {"accuracy": {"mean": 0.8}},
        "sup": {"gmp_0": {"9": {"accuracy": {"mean": 0.1}}}},
        "sup_gmp_0": {"1": {"accuracy": 0.7}},
    },
    "comparisons": [
        {
            "reference": "dense",
            "pruned": "sup_gmp_0.9",
            "sentence": "so it is",
            "umap": None,
            "pie": {"count": 25, "fraction": 0.031, "drawn": True, "p": 0.5, "interval": [4.5, 41], "control": None},
            "impact": {"per_class": {"cat > 3": {"p": 0.01}, "ship": {"p": None}}},
        },
        {
            "reference": "dense",
            "pruned": "sup_gmp_0.95",
            "sentence": "so it is",
            "umap": None,
            "pie": {
                "count": 8,
                "fraction": 0.01,
                "drawn": True,
                "p": None,
                "interval": [1, 9],
                "control": {"count": 2},
            },
            "impact": {"per_class": {"cat > 3": {"p": 0.2}, "ship": {"p": 0.3}}},
        },
    ],
}


def met(condition, document=DOCUMENT):
    return Gate.parse(condition).met(document)


def test_every_comparison_whose_figure_meets_the_condition_is_named():
    assert met("pie.fraction > 0.02") == ["dense → sup_gmp_0.9: pie.fraction is 0.031, which is > 0.02"]
    assert met("pie.fraction > 0.005") == [
        "dense → sup_gmp_0.9: pie.fraction is 0.031, which is > 0.005",
        "dense → sup_gmp_0.95: pie.fraction is 0.01, which is > 0.005",
    ]
    assert met("pie.fraction > 0.031") == []


@pytest.mark.parametrize(
    ("sign", "counts"),
    [(">", [25]), (">=", [25, 8]), ("<", []), ("<=", [8]), ("==", [8]), ("!=", [25])],
)
def test_the_six_signs(sign, counts):
    assert met(f"pie.count {sign} 8") == [
        f"dense → {name}: pie.count is {count}, which is {sign} 8"
        for name, count in (("sup_gmp_0.9", 25), ("sup_gmp_0.95", 8))
        if count in counts
    ]


@pytest.mark.parametrize(
    ("text", "limit"),
    [("3", 3), ("-0.5", -0.5), ("+1e-3", 0.001), (".5", 0.5), ("2.", 2), ("2%", 0.02), ("-1.5 %", -0.015)],
)
def test_numbers_and_shares(text, limit):
    for condition in (f"pie.p<{text}", f"  pie.p < {text}  "):
        gate = Gate.parse(condition)
        assert (gate.path, gate.sign, gate.limit) == ("pie.p", "<", pytest.approx(limit, rel=1e-15))


def test_paths_from_the_root_of_the_document():
    assert met("data.examples < 1000") == ["data.examples is 797, which is < 1000"]


def test_a_position_in_a_list_is_a_key():
    assert met("populations.sup_gmp_0.9.accuracy.members.1 > 0.9") == [
        "populations.sup_gmp_0.9.accuracy.members.1 is 0.92, which is > 0.9"
    ]
    assert met("pie.interval.0 > 4") == ["dense → sup_gmp_0.9: pie.interval.0 is 4.5, which is > 4"]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("populations.sup_gmp_0.9.accuracy.mean", 0.9),
        ("populations.sup_gmp_0.95.accuracy.mean", 0.8),
        ("populations.sup_gmp_0.1.accuracy", 0.7),  # the key sup_gmp_0, then 1
        ("populations.sup.gmp_0.9.accuracy.mean", 0.1),
    ],
)
def test_names_that_hold_dots(path, value):
    assert met(f"{path} < 1") == [f"{path} is {value}, which is < 1"]


def test_a_class_whose_name_looks_like_a_condition():
    assert met("impact.per_class.cat > 3.p < 0.05") == [
        "dense → sup_gmp_0.9: impact.per_class.cat > 3.p is 0.01, which is < 0.05"
    ]


@pytest.mark.parametrize(
    "condition",
    ["", "pie.count", "> 3", "pie.count >", "pie.count > many", "pie.count = 3", "pie.count 3", "pie.count > nan",
     "pie.count > 3 4", "pie.count >> 3", "pie.count > 1,000"],
)  # fmt: skip
def test_what_is_no_condition_is_refused(condition):
    with pytest.raises(InputError, match=r"^--fail-if '.*': expected a figure, one of .* and a number, such as 'pie"):
        Gate.parse(condition)


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("pie.fractoin", r"pie has no 'fractoin' \(did you mean 'fraction'\?\)"),
        ("pei.fraction", r"the report has no 'pei.fraction' \(did you mean 'pie'\?\)"),
        ("populations.sup_gmp_0.8.accuracy", r"populations.sup_gmp_0 has no '8.accuracy'"),
        ("populations.spu_gmp_0.9.accuracy", r"populations has no .* \(did you mean 'sup_gmp_0'\?\)"),
        ("pie.count.more", "pie.count has no 'more'$"),
        ("pie.interval.2", r"pie.interval has no '2' \(known: 0, 1\)"),
        ("pie", r"pie is not a number \(known: control, count, drawn, "),
        ("pie.drawn", "pie.drawn is not a number$"),
        ("sentence", "sentence is not a number$"),
        ("data.name", "data.name is not a number$"),
    ],
)
def test_what_names_no_number_is_refused(path, words):
    with pytest.raises(InputError, match=f"^--fail-if '{path} > 0': {words}"):
        met(f"{path} > 0")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("umap", "umap has no value in dense → sup_gmp_0.9, dense → sup_gmp_0.95 .*--measure umap adds it"),
        ("umap.silhouette", "umap has no value in dense → sup_gmp_0.9, dense → sup_gmp_0.95 .*--measure umap adds it"),
        ("pie.p", "pie.p has no value in dense → sup_gmp_0.95$"),
        ("pie.control.count", "pie.control has no value in dense → sup_gmp_0.9$"),
        ("impact.per_class.ship.p", "impact.per_class.ship.p has no value in dense → sup_gmp_0.9$"),
    ],
)
def test_a_figure_that_does_not_exist_everywhere_lets_nothing_through(path, words):
    with pytest.raises(InputError, match=words):
        met(f"{path} > 1e9")


def test_of_many_comparisons_without_the_figure_a_few_are_named():
    compared = [{"reference": "dense", "pruned": f"s{i}", "pie": None} for i in range(30)]
    with pytest.raises(
        InputError, match=r"pie has no value in dense → s0, dense → s1, dense → s2 and others .*--measure pie adds it"
    ):
        met("pie.count > 0", {"comparisons": compared})


def test_where_nothing_is_compared_no_condition_on_comparisons_passes():
    with pytest.raises(InputError, match=r"the report has no 'pie.count'"):
        met("pie.count > 0", {**DOCUMENT, "comparisons": []})


def numbers_in(value, path=()):
    """Yield every number of a document with its keys."""
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in below:
        yield from numbers_in(each, (*path, str(key)))
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield ".".join(path), value


def test_every_number_of_a_real_document_can_be_named(make):
    study = make(members=3, examples=20)
    document = json.loads(json.dumps(build_report(study, study.comparisons).document))
    found = dict(numbers_in(document))
    assert len(found) > 100
    for path, value in found.items():
        assert met(f"{path} >= {value!r}", document) == [f"{path} is {value}, which is >= {value:.12g}"]
    shown = document["comparisons"][0]
    for path, _ in numbers_in(shown):
        with_it = [each for each in document["comparisons"] if path in dict(numbers_in(each))]
        if len(with_it) == len(document["comparisons"]):
            assert len(met(f"{path} > -1e9", document)) == len(with_it)


# -------------------------------------------------------------------------------------------------------- the command


@pytest.fixture
def report(make, monkeypatch, capsys):
    """Run ``prunekit report`` on a made-up study; returns exit code, stdout, stderr."""
    study = make(harm=0.3)
    monkeypatch.setattr("prunekit.report.load.load_study", lambda *_, **__: study)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["prunekit", "report", *map(str, arguments)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, *capsys.readouterr()

    return run


def test_a_condition_that_is_met_ends_with_3_after_the_whole_report(report, tmp_path):
    plain = report()
    assert plain[0] == 0
    examples = tmp_path / "examples.csv"
    code, out, err = report(
        *("--fail-if", "pie.count > 0", "--fail-if", "data.examples < 1e9", "--fail-if", "pie.fraction > 2"),
        *("--examples", examples),
    )
    assert (code, out) == (3, plain[1])
    assert examples.exists()
    _, line = err.splitlines()
    assert line.startswith("prunekit: --fail-if: dense → sparse: pie.count is ")
    assert line.endswith("; data.examples is 200, which is < 1000000000")
    assert "pie.fraction" not in line


def test_conditions_that_are_not_met_change_nothing(report):
    assert report("--fail-if", "pie.fraction > 1", "--fail-if", "accuracy.difference > 0") == report()


@pytest.mark.parametrize("condition", ["pie.count >", "pie.cuont > 3", "pie > 3", "class_impact.classes.ship.p < 0.05"])
def test_a_condition_that_cannot_be_looked_at_is_one_line_and_no_report(report, condition, tmp_path):
    examples = tmp_path / "examples.csv"
    code, out, err = report("--fail-if", "pie.count > 0", "--fail-if", condition, "--examples", examples)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith(f"prunekit: --fail-if '{condition}': ")
    assert not examples.exists()


def test_a_condition_that_does_not_parse_is_refused_before_anything_is_read(report, monkeypatch):
    monkeypatch.setattr("prunekit.report.load.load_study", lambda *_, **__: pytest.fail("the study was read"))
    assert report("--fail-if", "pie.count is large")[0] == 2
