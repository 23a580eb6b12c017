"""From measures to one report."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from rich.console import Console

from prunekit.comparison import Comparison
from prunekit.errors import InputError, PrunekitError
from prunekit.plugins.measures.accuracy import Accuracy
from prunekit.protocols import Measure
from prunekit.registry import registry
from prunekit.report.arrays import ArrayPopulation
from prunekit.report.build import as_json, build_report, percent
from prunekit.report.page import to_html
from prunekit.report.terminal import print_report
from prunekit.report.text import to_json, to_latex, to_markdown
from prunekit.tables import Column, Summary, Table

NOT_ASKED = dict.fromkeys(registry.names("measure"))


class Spoken(Measure):
    """Says what a test tells it to."""

    name = "spoken"

    def summarise(self, study, comparisons):
        return Summary(
            populations={"sparse": {"nothing": float("nan"), "many": np.arange(2)}},
            comparisons=[{"of": c.pruned} for c in comparisons],
            tables=[Table("A table", (Column("Word"),), [("one",)])],
            clauses=[f"{c.pruned} says so" for c in comparisons],
            readings=["read aloud", "read aloud"],
        )


class Silent(Measure):
    """Says nothing."""

    name = "silent"

    def summarise(self, study, comparisons):
        return Summary()


def test_values_of_a_measure_stand_under_its_name(make):
    study = make()
    study.measures = [Spoken(), Silent()]
    report = build_report(study, study.comparisons)
    assert report.document["populations"]["sparse"] == {
        "members": 8, "sparsity": 0.9, "spoken": {"nothing": None, "many": [0, 1]}, "silent": None, **NOT_ASKED
    }  # fmt: skip
    assert report.document["populations"]["dense"]["spoken"] is None
    assert [each["spoken"] for each in report.document["comparisons"]] == [{"of": "sparse"}, {"of": "sparse"}]
    assert report.document["comparisons"][0]["silent"] is None
    assert report.readings == ("read aloud",)


def test_what_was_not_measured_is_null(make):
    study = make()
    study.measures = [Accuracy()]
    document = build_report(study, study.comparisons).document
    assert document["comparisons"][0]["pie"] is None
    assert document["comparisons"][0]["q_score"] is None
    assert document["populations"]["dense"]["q_score"] is None
    assert document["populations"]["dense"]["accuracy"]["mean"] > 0.5


def test_clauses_become_one_closing_sentence_per_comparison(make):
    study = make()
    study.measures = [Spoken(), Silent(), Spoken()]
    sentences = build_report(study, study.comparisons).sentences
    assert [each.comparison for each in sentences] == ["dense → sparse", "control → sparse"]
    assert sentences[0].text == "90 % of the weights pruned: sparse says so."


def test_the_sentence_says_what_the_reference_had_lost_already(make):
    study = make()
    study.measures = [Spoken()]
    dense = study.columns.populations["dense"]
    study.columns.populations["dense"] = ArrayPopulation("dense", dense.seeds, 0.5, dense.columns)
    assert build_report(study, study.comparisons).sentences[0].text == (
        "90 % of the weights pruned (50 % in dense): sparse says so."
    )


def test_a_measure_that_leaves_out_a_comparison_is_named(make):
    class Forgetful(Spoken):
        name = "forgetful"

        def summarise(self, study, comparisons):
            return Summary(clauses=["only one"])

    study = make()
    study.measures = [Forgetful()]
    with pytest.raises(PrunekitError, match="'forgetful' gave 1 clauses for 2 comparisons"):
        build_report(study, study.comparisons)


def test_the_document_has_every_key_that_is_promised(make):
    study = make()
    document = json.loads(json.dumps(build_report(study, study.comparisons).document, allow_nan=False))
    assert document["study"] == "made-up"
    assert document["data"] == {"name": "made-up", "split": "test", "examples": 200}
    assert document["populations"]["dense"]["accuracy"].keys() >= {"mean", "std", "members"}
    first = document["comparisons"][0]
    assert (first["reference"], first["pruned"], first["control"]) == ("dense", "sparse", "control")
    assert first["pie"].keys() >= {
        "count", "fraction", "expected", "p", "smallest_p", "paired", "interval", "ties", "per_class", "examples"
    }  # fmt: skip
    assert len(first["pie"]["examples"]) == first["pie"]["count"]
    assert first["q_score"]["reference"].keys() == {"q", "z", "l1"}
    assert first["sentence"].startswith("90 % of the weights pruned: accuracy ")


def test_q_scores_are_averaged_over_members_then_over_examples(make):
    study = make()
    q = study.columns.populations["sparse"]["q"]
    found = build_report(study, study.comparisons).document["comparisons"][0]["q_score"]["pruned"]["q"]
    per_example = [sum(q[m, i] for m in range(8)) / 8 for i in range(200)]
    assert found["mean"] == pytest.approx(sum(per_example) / 200)
    assert found["std"] == pytest.approx(np.sqrt(sum((x - found["mean"]) ** 2 for x in per_example) / 200))


def test_a_report_without_comparisons_still_describes_the_populations(make):
    report = build_report(make(), [])
    assert report.sentences == ()
    assert report.document["comparisons"] == []
    assert [table.title for table in report.tables] == ["Accuracy", "Representations"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("inf"), None),
        (np.float32("nan"), None),
        (np.int64(3), 3),
        (np.bool_(True), True),
        ((1, [2.5]), [1, [2.5]]),
        ({1: np.array([0.5, np.nan])}, {"1": [0.5, None]}),
    ],
)
def test_json_holds_no_number_that_is_not_finite(value, expected):
    assert as_json(value) == expected


def test_what_json_cannot_hold_is_refused():
    with pytest.raises(TypeError, match="got a set"):
        as_json({1, 2})


@pytest.mark.parametrize(
    ("share", "text"), [(0.9, "90 %"), (0.899999, "90 %"), (0.995, "99.5 %"), (0, "0 %"), (0.99999, "99.999 %")]
)
def test_shares_are_written_with_the_digits_that_say_something(share, text):
    assert percent(share) == text


def test_unknown_populations_are_refused_with_the_nearest_name(make):
    study = make()
    with pytest.raises(InputError, match=r"no population 'spares' \(did you mean 'sparse'\?\)"):
        study.compare("dense", "spares")
    with pytest.raises(InputError, match="compared with itself"):
        study.compare("dense", "dense")


def test_the_recipes_comparison_is_used_where_it_has_one(make):
    study = make()
    assert study.compare("dense", "sparse") is study.comparisons[0]
    assert study.compare("sparse", "dense") == Comparison("sparse", "dense", None, False)


def test_a_column_that_was_not_observed_is_named():
    population = ArrayPopulation("dense", (0,), 0.0, {"confidence": np.zeros((1, 2))})
    with pytest.raises(InputError, match=r"'dense' has no column 'confidense' \(did you mean 'confidence'\?\)"):
        population["confidense"]


class Finding(Measure):
    """Finds something of the study as a whole."""

    name = "finding"
    found: list[str] = ["It explains it <b>weakly</b>: ρ = 0.21 [−0.05, 0.44].", "50 % & more_or | less."]

    def summarise(self, study, comparisons):
        return Summary(findings=self.found)


def test_findings_of_all_measures_stand_together_in_their_order(make):
    study = make()
    other = type("Other", (Finding,), {"name": "other"})
    study.measures = [Spoken(), Finding(), Silent(), other(found=["Nothing else."])]
    report = build_report(study, study.comparisons)
    assert report.findings == (*Finding().found, "Nothing else.")
    assert report.document["findings"] == list(report.findings)
    assert build_report(make(), []).document["findings"] == []


@pytest.mark.parametrize("comparisons", [[0], [0, 1], [0] * 6, []])
def test_a_terminal_shows_findings_before_the_comparisons_however_many_there_are(make, comparisons):
    study = make()
    study.measures = [Spoken(), Finding()]
    report = build_report(study, [study.comparisons[i] for i in comparisons])
    console = Console(file=io.StringIO(), width=120, highlight=False)
    print_report(report, console)
    text = console.file.getvalue()
    assert text.count(Finding().found[0]) == text.count(Finding().found[1]) == 1
    assert text.index("What the study finds") < text.index(Finding().found[0])
    if comparisons:
        last = "sparse says so" if len(comparisons) <= 4 else "6 comparisons:"
        assert text.index(Finding().found[1]) < text.index(last)


def test_every_format_has_the_findings(make):
    study = make()
    study.measures = [Finding()]
    report = build_report(study, study.comparisons)
    page = to_markdown(report)
    assert "## What the study finds\n\n- It explains it \\<b\\>weakly\\</b\\>: ρ" in page.replace("\\[", "[")
    assert "- 50 % & more\\_or \\| less." in page
    latex = to_latex(report).splitlines()
    assert all(f"% {finding}" in latex for finding in Finding().found)
    assert json.loads(to_json(report))["findings"] == Finding().found


def test_without_findings_there_is_no_heading(make):
    report = build_report(make(), make().comparisons)
    assert "What the study finds" not in to_markdown(report)


def test_the_page_begins_its_answer_with_the_findings_escaped(make):
    study = make()
    study.measures = [Finding()]
    page = to_html(study, build_report(study, study.comparisons), study.comparisons)
    answer = page.partition('<section id="answer">')[2].partition("</section>")[0]
    assert "<li>It explains it &lt;b&gt;weakly&lt;/b&gt;: ρ = 0.21 [−0.05, 0.44].</li>" in answer
    assert answer.index("It explains it") < answer.index("dense → sparse")
    study.measures = [Silent()]
    assert "The study as a whole" not in to_html(study, build_report(study, []), [])


def test_a_measure_whose_summary_fails_is_named_with_its_file_and_line(make, tmp_path):
    file = tmp_path / "failing.py"
    file.write_text(
        "from prunekit import Measure, register\n\n\n@register('failing')\nclass Failing(Measure):\n"
        "    def summarise(self, study, comparisons):\n        return 1 / 0\n"
    )
    measure = registry.with_files([file]).find("measure", "failing")[0].plugin()
    study = make()
    study.measures = [measure]
    with pytest.raises(PrunekitError, match=r"failing\.py:7: the measure 'failing' fails: ZeroDivisionError"):
        build_report(study, [])
