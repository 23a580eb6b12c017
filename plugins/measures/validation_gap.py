"""What pruning costs on the validation images, before and after fine-tuning, and whether ΔL tells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from prunekit import Column, Comparison, Headline, Measure, ObservedMember, StudyColumns, Summary, Table, register

from ._along_lambda import Quantity, lambda_figures
from ._finding import AFTER, AXES, BEFORE, DELTA, findings, relation_tables, relations, scatters
from ._lineage import gap, last_pruning, losses, noted, validation_error
from ._populations import Pruned, as_json, by_name, not_comparable, nothing_pruned, pruned_populations, shortened

KEYS = (BEFORE, AFTER)
QUANTITIES = (
    Quantity(BEFORE, AXES[BEFORE], factor=100),
    Quantity(AFTER, AXES[AFTER], factor=100),
)


@register("validation_gap", version=2, source="Laurent et al. 2020, arXiv 2006.12279: gap before and after fine-tuning")
class ValidationGap(Measure):
    """Validation gap: validation error of the pruned network less that of the original.

    Right after pruning (before fine-tuning), and after it was trained again (after). The original is the network before
    anything was pruned; of members that were pruned several times, as lottery tickets are, before the first time.
    Beside it stands ΔL, for Spearman's ρ between both. Costs two passes over the training images and three over the
    validation images per member. The test images play no part.
    """

    notes = True
    published_keys = KEYS

    def note(self, member: ObservedMember) -> dict[str, Any]:
        """Return validation errors, gaps and ΔL of a pruned member; of others the validation error alone."""
        pruning = last_pruning(member)
        if pruning is None:
            return {"pruning": None, "error": validation_error(member)}
        original, pruned = validation_error(pruning.original), validation_error(pruning.pruned)
        tuned = validation_error(pruning.tuned)
        return {
            **noted(pruning),
            "original": original,
            "pruned": pruned,
            "tuned": tuned,
            BEFORE: gap(pruned, original),
            AFTER: gap(tuned, original),
            DELTA: losses(pruning)["delta"],
        }

    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Tabulate the gaps, correlate them with ΔL, and draw them against λ, ΔL and each other."""
        pruned = pruned_populations(study, self.name)
        found = {each.name: each for each in pruned}
        related, noted = relations(pruned), ("original", "pruned", "tuned", *KEYS)
        summary = Summary(
            populations=by_name(study, self.name, pruned, lambda each: as_json(each, noted), "error"),
            findings=findings(related),
            headline=_headline(pruned),
            figures=[
                *lambda_figures(pruned, QUANTITIES, "validation_gap.lambda", "Validation gap against λ", _nothing),
                *scatters(pruned, "validation_gap"),
            ],
        )
        if not pruned:
            summary.findings.append(nothing_pruned(self.name))
        else:
            summary.tables.append(_table(pruned))
            summary.readings.append(
                "validation_gap: validation error less that of the network before anything was pruned, right after "
                "the last stage that only prunes (before) and at the end of the stages that follow (after); no test "
                "image is looked at"
            )
        if related:
            summary.tables += relation_tables(related)
        for comparison in comparisons:
            mine = found.get(comparison.pruned)
            summary.comparisons.append(None if mine is None else {key: mine.mean(key) for key in (*KEYS, DELTA)})
            summary.clauses.append(_clause(mine))
        return summary


def _nothing(pruned: Sequence[Pruned]) -> str:
    return ""


def _headline(pruned: Sequence[Pruned]) -> Headline | None:
    """Take the gap after fine-tuning; before, where nothing was fine-tuned."""
    key = AFTER if any(each.mean(AFTER) is not None for each in pruned) else BEFORE
    numbers = {each.name: each.number(key, 100) for each in pruned if each.mean(key) is not None}
    when = "after fine-tuning" if key == AFTER else "right after pruning"
    note = f"gap: validation error {when} less that of the network before anything was pruned"
    note += ", mean ± standard deviation (ddof 1) over members"
    return Headline("gap, points", "z.2f", populations=numbers, note=note) if numbers else None


def _table(pruned: Sequence[Pruned]) -> Table:
    return Table(
        title="Validation gap",
        columns=(
            Column("Population"),
            Column("Error of the original", ".2%"),
            Column("Gap before, points", "z.2f", key=BEFORE),
            Column("Gap after, points", "z.2f", key=AFTER),
        ),
        rows=[(each.name, each.number("original"), *(each.number(key, 100) for key in KEYS)) for each in pruned],
        note="Mean ± standard deviation (ddof 1) over members. Gap: validation error less that of the original, the "
        "network before anything was pruned; before fine-tuning, right after pruning, and after it. Populations "
        "without a stage that only prunes are left out." + _missing(pruned) + not_comparable(pruned),
        about=tuple((each.name,) for each in pruned),
    )


def _missing(pruned: Sequence[Pruned]) -> str:
    """Say why there are no gaps."""
    if all(each.mean("pruned") is None for each in pruned):
        return " There are no gaps: the data have no validation part (data sets have an option for it)."
    if some := [each.name for each in pruned if each.mean("original") is None]:
        return f" Not trained before they were pruned, and so without a gap: {shortened(some)}."
    return ""


def _clause(pruned: Pruned | None) -> str:
    """Say what pruning cost on the validation images; "" where there is no gap."""
    if pruned is None or (before := pruned.mean(BEFORE)) is None:
        return ""
    text = f"validation error {100 * before:+z.1f} points right after pruning"
    after = pruned.mean(AFTER)
    return text if after is None else f"{text}, {100 * after:+z.1f} after fine-tuning"
