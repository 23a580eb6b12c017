"""What the numbers of a study cannot say: only what applies to it, what weighs most first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prunekit.comparison import Comparison
from prunekit.figures import Planes
from prunekit.report.arrays import LoadedStudy
from prunekit.report.build import Report
from prunekit.report.page.asked import ends
from prunekit.tables import LEVEL, Number


def limits(study: LoadedStudy, report: Report, comparisons: Sequence[Comparison]) -> Iterator[str]:
    """Yield a sentence or two per limit."""
    populations = study.columns.populations
    names = {name for each in comparisons for name in (each.reference, each.pruned)}
    if names:
        yield _members(report, [len(populations[name].seeds) for name in names], study.made_elsewhere)
    yield from _many(report)
    yield (
        f"One data set: {study.subject}. What holds for them need not hold for other {study.unit}, and least of all "
        f"for {study.unit} unlike them."
    )
    if study.about.model:
        yield "One architecture: another may forget other examples."
    if any(report.exemplars):
        yield (
            "An example that changed is not an error: the true label plays no part in finding it. Some of them are "
            "wrong before, some after, some both times; the gallery tells which."
        )
    if any(isinstance(figure, Planes) for figure in report.figures):
        yield (
            "Maps of the representation deceive: the plane keeps some neighbours and no distances. Gaps, sizes and "
            "positions of groups mean nothing, and two maps cannot be laid over each other."
        )
    if any(populations[name].sparsity > 0 for name in names):
        yield (
            "Sparsity counts weights that are zero. Zeros alone make no network smaller or faster; neither was "
            "measured here, and counts of operations, where they stand, are theory."
        )


def _members(report: Report, sizes: Sequence[int], made_elsewhere: Sequence[str]) -> str:
    if min(sizes) == 1:
        return (
            "One network per population: another seed may differ from it as much as the pruned network does, and "
            "nothing here can tell the two apart."
        )
    text = f"{ends(sizes)} members per population, which differ in their seeds alone"
    if made_elsewhere:
        text += f" if they were made so: of {' and '.join(made_elsewhere)} prunekit knows the files"
    reached = [(number.smallest_p, name) for name, number in _tested(report) if number.smallest_p is not None]
    if not reached:
        return f"{text}: another way to train them, or other training images, are other sources of change."
    best, name = min(reached)
    text += f". The smallest p of {name} that so few can reach is {best:.2g}"
    if best > LEVEL:
        return f"{text}: however large it is, they cannot tell it from seed noise at the level {LEVEL:g}."
    return f"{text}, and a change that they do not tell from seed noise may still be one."


def _many(report: Report) -> Iterator[str]:
    tests = len(_tested(report))
    if LEVEL * tests >= 1:
        yield (
            f"{tests} headline numbers are tested, each on its own: if pruning changed nothing, up to "
            f"{LEVEL * tests:.2g} of them would be marked at the level {LEVEL:g} by chance."
        )


def _tested(report: Report) -> list[tuple[str, Number]]:
    """Return the headline numbers of comparisons that were tested, and what they are called."""
    return [(each.name, number) for each in report.headlines for number in each.comparisons if number.p is not None]
