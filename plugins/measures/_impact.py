"""Which groups of examples lose more than others, tested over members, and the words and tables that show it.

Arrays in, numbers out; nothing here is a plugin.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunekit import LEVEL, Bar, BarPanel, Bars, Column, Comparison, Number

from ._statistics import ROUNDING, Floats, benjamini_hochberg, known, welch

MOST_BARS = 24
"""Groups that a figure shows: those that changed most."""

# ------------------------------------------------------------------------------------------------------------ impact


def group_accuracies(right: NDArray[np.bool_], groups: NDArray[np.integer], count: int) -> Floats:
    """Return the share that each member gets right in each group, [M, count], of what it gets right, [M, N].

    ``groups`` [N] are whole numbers in [−1, count); −1 is in no group. NaN for a group without examples.
    """
    inside = groups >= 0
    groups, members = groups[inside], len(right)
    cells = np.arange(members)[:, None] * count + groups
    total = np.bincount(cells.ravel(), weights=right[:, inside].ravel(), minlength=members * count)
    examples = np.bincount(groups, minlength=count)
    share = np.full((members, count), np.nan)
    np.divide(total.reshape(members, count), examples, out=share, where=examples > 0)
    return share


@dataclass(frozen=True, eq=False)
class Accuracies:
    """How often the members of a population are right."""

    overall: Floats
    """[M] in [0, 1]: on all examples."""
    groups: Floats
    """[M, G] in [0, 1]: on those of each group; NaN for a group without examples."""


@dataclass(frozen=True)
class Words:
    """What the groups and their numbers are called."""

    what: str
    """What is tested: ``recall``."""
    one: str
    """``class``."""
    many: str
    """``classes``."""


@dataclass(frozen=True, eq=False)
class Impact:
    """What one population lost against another, by group; NaN where a number does not exist.

    Two tests of each group, Welch's t-test between the members. Hooker et al. reduce a member's accuracy in the group
    by the mean accuracy of its population, as if that were known exactly. It is not: where members differ overall, a
    group in which they hardly can (all near 100 %) seems to change although nothing does. The second test reduces it by
    the member's own accuracy, which varies with the members. What is called changed must be so in both.
    """

    words: Words
    names: tuple[str, ...]
    """[G]."""
    members: int
    """Of the smaller population."""
    overall: float
    """Change of the mean accuracy on all examples, in [−1, 1]."""
    change: Floats
    """[G]: change of the mean accuracy within the group, in [−1, 1]."""
    p: Floats
    """[G]: as Hooker et al."""
    adjusted: Floats
    """[G]: p adjusted for being one of many groups."""
    own: Floats
    """[G]: adjusted p of the test with members' own accuracies."""

    @classmethod
    def between(cls, words: Words, names: Sequence[str], reference: Accuracies, pruned: Accuracies) -> Impact:
        """Test every group."""
        before, after = reference.overall.mean(), pruned.overall.mean()
        p = welch(reference.groups - before, pruned.groups - after)
        own = welch(reference.groups - reference.overall[:, None], pruned.groups - pruned.overall[:, None])
        return cls(
            words=words,
            names=tuple(names),
            members=min(len(reference.overall), len(pruned.overall)),
            overall=float(after - before),
            change=pruned.groups.mean(axis=0) - reference.groups.mean(axis=0),
            p=p,
            adjusted=benjamini_hochberg(p),
            own=benjamini_hochberg(own),
        )

    @property
    def beyond(self) -> Floats:
        """[G]: change within the group less that on all examples."""
        return self.change - self.overall

    @property
    def judged(self) -> Floats:
        """[G]: the larger adjusted p of both tests, or that of the only one there is."""
        larger: Floats = np.fmax(self.adjusted, self.own)
        return larger

    @property
    def significant(self) -> NDArray[np.bool_]:
        """[G]: whether it changed otherwise than the rest, beyond what seed noise explains."""
        found: NDArray[np.bool_] = np.nan_to_num(self.judged, nan=1.0) <= LEVEL
        return found

    @property
    def losing(self) -> NDArray[np.bool_]:
        """[G]: whether its accuracy fell, and further than overall."""
        return (self.change < -ROUNDING) & (self.beyond < -ROUNDING)

    @property
    def lost(self) -> NDArray[np.intp]:
        """Positions of the significant groups that lost, the one that fell furthest beyond the rest first."""
        found = np.flatnonzero(self.significant & self.losing)
        return found[np.argsort(self.beyond[found], kind="stable")]

    def entry(self, i: int) -> dict[str, Any]:
        """Return the tests of a group as JSON; changes are shares, in [−1, 1]."""
        return {
            "beyond_overall": known(self.beyond[i]),
            "p": known(self.p[i]),
            "adjusted_p": known(self.adjusted[i]),
            "own_adjusted_p": known(self.own[i]),
        }

    def totals(self) -> dict[str, Any]:
        """Return as JSON who lost most, how many lost, and how many changed in either direction."""
        most = self.names[self.lost[0]] if len(self.lost) else None
        return {"most": most, "lost": len(self.lost), "significant": int(self.significant.sum())}

    def cells(self, i: int) -> tuple[Number | float | None, ...]:
        """Return the cells of a group below :func:`columns`."""
        beyond = Number(points(self.beyond[i]), p=known(self.judged[i]))
        return beyond, known(self.p[i]), known(self.adjusted[i]), known(self.own[i])


def points(share: float) -> float | None:
    """Return a share in percentage points, or None where it does not exist."""
    return known(100 * share)


# ------------------------------------------------------------------------------------------------------------- words


def columns(population: str) -> tuple[Column, ...]:
    """Return the columns of :meth:`Impact.cells`, below the name of the population."""
    return (
        Column("Beyond overall, points", "+z.1f", population),
        Column("p", ".2g", population),
        Column("Adjusted p", ".2g", population),
        Column("Own p", ".2g", population),
    )


def note(impact: Impact) -> str:
    """Say what the columns are, and why there may be no test."""
    words = impact.words
    text = (
        f"Beyond overall: change of {words.what} less that of the accuracy on all examples, {_points(impact.overall)}; "
        f"marked where both adjusted p ≤ {LEVEL:g}. p: Welch's t-test over members, each one's {words.what} less its "
        f"population's mean accuracy; adjusted: for all {words.many} tested (Benjamini–Hochberg); own: adjusted as "
        "well, with the member's own accuracy in place of the mean, whose spread the first test leaves out. "
    )
    if impact.members < 2:
        return text + "One member has no spread: there is no test."
    return text + "No p where members do not differ in either population."


def _untested(impact: Impact) -> str:
    """Say which group fell furthest, of one member."""
    words = impact.words
    beyond = np.where(impact.losing, impact.beyond, np.nan)
    nothing = f"with one member nothing tells what it does to {words.many} from what another seed does"
    if np.isnan(beyond).all():
        return nothing
    worst = int(np.nanargmin(beyond))
    return (
        f"{words.one} {impact.names[worst]} fell furthest ({words.what} {_points(impact.change[worst])}, "
        f"accuracy overall {_points(impact.overall)}), but {nothing}"
    )


def whom(impact: Impact) -> str:
    """Return the clause on whom it cost more than others."""
    words, lost, p = impact.words, impact.lost, impact.judged
    if impact.members < 2:
        return _untested(impact)
    if np.isnan(p).all():
        return f"no {words.one} could be tested, as members do not differ"
    if len(lost):
        worst, more = lost[0], len(lost) - 1
        others = f" and {more} more {words.many if more > 1 else words.one}" if more else ""
        return (
            f"it fell on {words.one} {impact.names[worst]} ({words.what} {_points(impact.change[worst])}, "
            f"accuracy overall {_points(impact.overall)}, adjusted p = {p[worst]:.2g}){others}"
        )
    losing = p[impact.losing & ~np.isnan(p)]
    said = [f"smallest adjusted p = {losing.min():.2g}"] if len(losing) else []
    if untested := int(np.sum(np.isnan(p) & np.isfinite(impact.change))):
        said.append(f"{untested} not tested, as members do not differ there")
    bracket = f" ({'; '.join(said)})" if said else ""
    return f"no {words.one} is known to have lost more than the examples as a whole{bracket}"


def reading(words: Words, comparisons: Sequence[Comparison]) -> str:
    """Say which test it is, and on which side it errs."""
    text = (
        f"{words.what} by {words.one}: Welch's t-test between the members of two populations, each member's "
        f"{words.what} less its population's mean accuracy (Hooker et al. 2019) and, as that mean is no exact number, "
        f"less its own accuracy; {words.many} count as changed where both p are at most {LEVEL:g}, adjusted over the "
        f"{words.many} of one comparison (Benjamini and Hochberg 1995), not over comparisons"
    )
    if any(each.paired for each in comparisons):
        text += "; that members are paired plays no part, which as a rule makes it miss changes, not invent them"
    return text


def bars(impact: Impact, comparison: Comparison, name: str) -> Bars:
    """Draw the change beyond the overall one, by group, the significant ones in the strong colour."""
    words, there = impact.words, np.flatnonzero(np.isfinite(impact.beyond))
    largest = there[np.argsort(-np.abs(impact.beyond[there]), kind="stable")[:MOST_BARS]]
    chosen = np.sort(largest)
    beyond, strong = 100 * impact.beyond[chosen], impact.significant[chosen]
    where = comparison.name
    return Bars(
        name=f"{name.replace('_', '-')}.{comparison.slug}",
        title=f"Change of {words.what} beyond the overall change, by {words.one}: {where}",
        caption=_caption(impact, where, there, shown=len(chosen)),
        comparison=comparison,
        categories=tuple(impact.names[i] for i in chosen),
        value_name=f"{words.what}, points",
        panels=(
            BarPanel(
                title=where,
                bars=(
                    Bar("more than seed noise", np.where(strong, beyond, 0.0), stack="change"),
                    Bar("not told from seed noise", np.where(strong, 0.0, beyond), stack="change", light=True),
                ),
            ),
        ),
    )


def _caption(impact: Impact, where: str, there: NDArray[np.intp], *, shown: int) -> str:
    words = impact.words
    text = f"{where}: change of {words.what} by {words.one}, less the overall change of {_points(impact.overall)}. "
    if not len(there):
        return text + f"There are no {words.many}."
    if shown < len(there):
        text += f"The {shown} of {len(there)} {words.many} that changed most. "
    low, high = there[np.argmin(impact.beyond[there])], there[np.argmax(impact.beyond[there])]
    text += f"From {impact.names[low]}, {_points(impact.beyond[low])}, to {impact.names[high]}, "
    text += f"{_points(impact.beyond[high])}. "
    if impact.members < 2:
        return text + "With one member there is no test."
    return text + f"Strong colour: {int(impact.significant.sum())} of {len(there)}, both adjusted p ≤ {LEVEL:g}."


def _points(share: float) -> str:
    return f"{100 * share:+z.1f} points".replace("-", "−")
