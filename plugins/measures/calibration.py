"""Whether confidence means what it says, and what probabilities cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from prunekit import (
    LEVEL,
    Column,
    Comparison,
    CurvePanel,
    Curves,
    Headline,
    Line,
    Measure,
    Number,
    ObservedMember,
    PopulationColumns,
    StudyColumns,
    Summary,
    Table,
    register,
)

from ._chance import SEED
from ._statistics import Floats, known, spread, welch

DRAWS = 50
"""Calibrated members that are drawn per population."""
FEWEST = 20
"""Predictions of a bin that is drawn: the accuracy of fewer says nothing."""
QUANTITIES = {"ece": ("ECE, points", "+z.2f", 100), "nll": ("NLL", "+z.4f", 1), "brier": ("Brier", "+z.4f", 1)}
"""What a change of each is called in a table, its format and its factor."""


def expected_calibration_error(confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int) -> float:
    """Return Σ over bins of (share of the examples) · |accuracy − mean confidence| (Guo et al. 2017, eq. 3), in [0, 1].

    Of confidences [N] in [0, 1] and whether the prediction is right, [N]; the bins are those of :func:`reliability`.
    NaN without examples.
    """
    if not len(confidence):
        return float("nan")
    surplus = np.bincount(bin_of(confidence, bins), weights=correct - np.float64(confidence), minlength=bins)
    return float(np.abs(surplus).sum() / len(confidence))


def reliability(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int
) -> tuple[Floats, Floats, NDArray[np.int64]]:
    """Return mean confidence, accuracy and number of examples of each bin that has any, the lowest first.

    Bins are equally wide, each without its lower end; a confidence of 0 is in the first. Takes confidences [N] in
    [0, 1] and whether the prediction is right, [N].
    """
    where = bin_of(confidence, bins)
    examples = np.bincount(where, minlength=bins)
    filled = examples > 0
    sums = (np.bincount(where, weights=values, minlength=bins)[filled] for values in (confidence, correct))
    mean, accuracy = (total / examples[filled] for total in sums)
    return mean, accuracy, examples[filled]


def bin_of(confidence: NDArray[np.floating], bins: int) -> NDArray[np.intp]:
    """Return the bin of each confidence, [N] in [0, bins). Raises ValueError without bins."""
    if bins < 1:
        raise ValueError(f"expected at least one bin, not {bins}")
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    where: NDArray[np.intp] = np.searchsorted(inner, confidence, side="left")
    return where


def brier_score(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Floats:
    """Return Σ over classes of (probability − 1 if it is the label, else 0)², [N] in [0, 2] (Brier 1950).

    Of logits [N, C] and true labels [N]; probabilities are their softmax. 0 is best.
    """
    wide = np.asarray(logits, dtype=np.float64)
    odds = np.exp(wide - wide.max(axis=1, keepdims=True))
    off = odds / odds.sum(axis=1, keepdims=True)
    off[np.arange(len(off)), labels] -= 1
    score: Floats = np.einsum("nc,nc->n", off, off)
    return score


def calibrated_error(confidence: NDArray[np.floating], bins: int) -> float:
    """Return the mean error, in [0, 1], of members with confidences [M, N] that are right exactly as often as they say.

    It is what chance alone gives: on few examples no bin is exactly right. From draws that are the same every time.
    """
    rng = np.random.default_rng(SEED)
    drawn = (confidence[i % len(confidence)] for i in range(DRAWS))
    return float(np.mean([expected_calibration_error(c, rng.random(len(c)) < c, bins) for c in drawn]))


@dataclass(frozen=True, eq=False)
class _Calibration:
    """Of a population."""

    members: dict[str, Floats]
    """[M] by quantity."""
    chance: float
    """The ECE if it were calibrated; NaN without examples, as the members' is."""
    curve: tuple[Floats, Floats]
    """Mean confidence and accuracy by bin, of all members together; without bins of few predictions."""

    @classmethod
    def of(cls, population: PopulationColumns, labels: NDArray[np.integer], bins: int) -> _Calibration:
        confidence, correct = population["confidence"], population["prediction"] == labels
        errors = [expected_calibration_error(*each, bins) for each in zip(confidence, correct, strict=True)]
        members = {
            "ece": np.array(errors),
            "nll": _over_examples(population, "loss"),
            "brier": _over_examples(population, "brier"),
        }
        mean, accuracy, predictions = reliability(confidence.ravel(), correct.ravel(), bins)
        enough = predictions >= FEWEST
        return cls(members, calibrated_error(confidence, bins), (mean[enough], accuracy[enough]))

    def mean(self, key: str) -> float:
        return float(self.members[key].mean())

    def number(self, key: str) -> Number:
        chance = known(self.chance) if key == "ece" else None
        return Number(known(self.mean(key)), spread(self.members[key]), chance=chance)


def _over_examples(population: PopulationColumns, column: str) -> Floats:
    """Return the mean of a column of each member, [M]; NaN without examples, and where there is no such column."""
    if column not in population or not population[column].shape[1]:
        return np.full(len(population.seeds), np.nan)
    return population[column].mean(axis=1, dtype=np.float64)  # type: ignore[no-any-return]


@register("calibration", source="Guo et al. 2017, arXiv 1706.04599, eq. 3; Brier 1950")
class Calibration(Measure):
    """Expected calibration error, negative log-likelihood and Brier score: mean ± std (ddof 1) over members."""

    columns = ("brier",)
    needs = ("label", "confidence")
    summary_options = frozenset({"bins"})

    @property
    def needs_networks(self) -> bool:
        """False: of predictions it tells the calibration error alone."""
        return False

    bins: int = Field(default=15, gt=0)
    """Bins of the confidence, equally wide, that the expected calibration error averages over."""

    def observe(self, member: ObservedMember) -> dict[str, NDArray[Any]]:
        """Return the column brier, [N]."""
        return {"brier": brier_score(member.logits(), member.labels())}

    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Tabulate every population, test every change with Welch's t-test, and draw confidence against accuracy."""
        found = {
            name: _Calibration.of(population, study.labels, self.bins) for name, population in study.populations.items()
        }
        changes = [_change(found[each.reference], found[each.pruned]) for each in comparisons]
        summary = Summary(
            populations={name: _as_json(each) for name, each in found.items()},
            comparisons=changes,
            headline=Headline(
                "ECE",
                ".2%",
                populations={name: each.number("ece") for name, each in found.items()},
                note="ECE: expected calibration error, mean ± standard deviation (ddof 1) over members",
            ),
            tables=[_table(found)],
            clauses=[_clause(found, *each) for each in zip(comparisons, changes, strict=True)],
            figures=[_figure(found, each) for each in comparisons],
            readings=[
                f"calibration: ECE over {self.bins} equally wide bins of the confidence in the predicted class (Guo et "
                "al. 2017); NLL: mean cross-entropy, in nats; Brier: squared distance of the probabilities from the "
                "label, summed over classes (Brier 1950), so that it lies in [0, 2]"
            ],
        )
        if comparisons:
            summary.tables.append(_changes_table(comparisons, changes))
        return summary


def _as_json(calibration: _Calibration) -> dict[str, dict[str, float | None]]:
    numbers = {key: calibration.number(key) for key in QUANTITIES}
    found = {key: {"mean": number.value, "std": number.spread} for key, number in numbers.items()}
    found["ece"]["chance"] = numbers["ece"].chance
    return found


def _change(reference: _Calibration, pruned: _Calibration) -> dict[str, dict[str, float | None]]:
    p = welch(*(np.stack([each.members[key] for key in QUANTITIES], axis=1) for each in (reference, pruned)))
    return {
        key: {"change": known(pruned.mean(key) - reference.mean(key)), "p": known(p[i])}
        for i, key in enumerate(QUANTITIES)
    }


def _table(found: dict[str, _Calibration]) -> Table:
    return Table(
        title="Calibration",
        columns=(
            Column("Population"),
            Column("ECE", ".2%"),
            Column("If calibrated", ".2%"),
            Column("NLL", ".4f"),
            Column("Brier", ".4f"),
        ),
        rows=[
            (name, each.number("ece"), known(each.chance), each.number("nll"), each.number("brier"))
            for name, each in found.items()
        ],
        note="Expected calibration error, negative log-likelihood (nats) and Brier score: mean ± standard deviation "
        "(ddof 1) over members; less is better. If calibrated: the ECE to expect, on so few examples, of members that "
        "are right exactly as often as they say.",
    )


def _changes_table(comparisons: Sequence[Comparison], changes: Sequence[dict[str, dict[str, float | None]]]) -> Table:
    columns = [Column("Populations")]
    rows: list[tuple[Any, ...]] = [(each.name,) for each in comparisons]
    for key, (title, form, factor) in QUANTITIES.items():
        columns += [Column("Change", form, title), Column("p", ".2g", title)]
        for i, change in enumerate(changes):
            value, p = change[key]["change"], change[key]["p"]
            rows[i] += (Number(None if value is None else factor * value, p=p), p)
    return Table(
        title="Change of calibration",
        columns=tuple(columns),
        rows=rows,
        note="p: Welch's t-test over members, each on its own; changes are marked where it is at most "
        f"{LEVEL:g}. None where there is one member, or none differ.",
    )


def _clause(found: dict[str, _Calibration], comparison: Comparison, change: dict[str, dict[str, float | None]]) -> str:
    before, after, p = found[comparison.reference], found[comparison.pruned], change["ece"]["p"]
    if np.isnan(before.chance):
        return ""  # there are no examples
    tested = "no test" if p is None else f"p = {p:.2g}"
    return (
        f"expected calibration error {100 * before.mean('ece'):.1f} → {100 * after.mean('ece'):.1f} % "
        f"({100 * before.chance:.1f} → {100 * after.chance:.1f} % if calibrated; {tested})"
    )


def _figure(found: dict[str, _Calibration], comparison: Comparison) -> Curves:
    names = [comparison.reference, comparison.pruned, *([comparison.control] if comparison.control else [])]
    errors = ", ".join(f"{name} {100 * found[name].mean('ece'):.1f} %" for name in names)
    some = np.isfinite(found[comparison.reference].chance)
    return Curves(
        name=f"calibration.{comparison.slug}",
        title=f"Confidence and accuracy: {comparison.name}",
        caption="Accuracy of the predictions of all members together, by confidence; below the diagonal they are surer "
        f"than right. Bins of fewer than {FEWEST} predictions are left out. "
        + (f"ECE: {errors}." if some else "There are no examples."),
        comparison=comparison,
        x_name="confidence",
        diagonal=True,
        panels=(
            CurvePanel(
                y_name="accuracy",
                lines=tuple(Line(name, *(tuple(values.tolist()) for values in found[name].curve)) for name in names),
            ),
        ),
    )
