"""What a study comes to in three sentences, which say no more than the numbers: what pruning cost, whom, how sure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from prunekit.comparison import Comparison
from prunekit.observed import PopulationColumns
from prunekit.report.build import MOST_IN_FULL, Report
from prunekit.report.cells import exists, is_marked, shown
from prunekit.report.page.asked import ends, shares
from prunekit.report.page.parts import judged
from prunekit.tables import LEVEL, Column, Headline, Number

NOBODY = "No measure of this study says whom it cost."


@dataclass(frozen=True)
class KeyNumber:
    """A headline number of a comparison."""

    name: str
    value: str
    note: str
    """What it takes to judge it."""
    marked: bool


@dataclass(frozen=True)
class Answer:
    """Three sentences and the numbers that they begin with."""

    about: str
    """The comparison, or how many there are."""
    cost: str
    whom: str
    certainty: str
    numbers: tuple[KeyNumber, ...] = ()


Populations = Mapping[str, PopulationColumns]


def answers(report: Report, comparisons: Sequence[Comparison], populations: Populations) -> list[Answer]:
    """Return the answer of every comparison, in their order; what no measure says is said to be unsaid."""
    found = []
    for i, (comparison, sentence) in enumerate(zip(comparisons, report.sentences, strict=True)):
        members = " + ".join(str(len(populations[name].seeds)) for name in (comparison.reference, comparison.pruned))
        tests = [(headline.name, headline.comparisons[i]) for headline in report.headlines if headline.comparisons]
        certainty = [_reached(members, name, number) for name, number in tests if number.p is not None]
        certainty = certainty or [f"{members} members, and no test of what they show."]
        certainty += [sentence.certainty] if sentence.certainty else []
        numbers = tuple(_key_numbers(report, i, comparison))
        whom = sentence.whom or NOBODY
        found.append(Answer(sentence.comparison, sentence.text, whom, " ".join(certainty), numbers))
    return found


def _reached(members: str, name: str, number: Number) -> str:
    """Say what a test gave, and what it could have given at best."""
    best = number.smallest_p
    if best is not None and best > LEVEL:
        few = f"{members} members are too few to tell {name} from seed noise"
        return f"{few}: the smallest p that they can reach is {best:.2g}."
    reach = f", and the smallest that so few can reach is {best:.2g}" if best is not None else ""
    return f"{members} members: p of {name} is {number.p:.2g}{reach}."


def answer_of_all(report: Report, comparisons: Sequence[Comparison], populations: Populations) -> Answer:
    """Return what all comparisons, at least one, come to: ranges of the headline numbers and where they end."""
    tested = [headline for headline in report.headlines if headline.comparisons]
    cost = [text for headline in report.headlines if (text := _range(headline, report, comparisons))]
    pruned = shares([populations[each.pruned].sparsity for each in comparisons])
    certainty = [text for headline in tested if (text := _marks(headline))]
    return Answer(
        f"All {len(comparisons)} comparisons",
        f"{pruned} of the weights pruned: {'; '.join(cost) or 'no measure has a headline number'}.",
        _worst(tested, report),
        f"{_members(comparisons, populations)}; {'; '.join(certainty) or 'no measure tests its headline number'}.",
    )


def _range(headline: Headline, report: Report, comparisons: Sequence[Comparison]) -> str:
    """Say from where to where a headline number goes, of comparisons or of pruned populations beside the references."""
    if headline.comparisons:
        named = [(each.comparison, number) for each, number in zip(report.sentences, headline.comparisons, strict=True)]
        return _ends(headline, named)
    pruned = [
        (name, headline.populations[name]) for name in _once(comparisons, "pruned") if name in headline.populations
    ]
    before = [(x, headline.populations[x]) for x in _once(comparisons, "reference") if x in headline.populations]
    text = _ends(headline, pruned)
    return f"{text}, against {_listed(headline, before)}" if text and before else text


def _once(comparisons: Sequence[Comparison], role: str) -> list[str]:
    return list(dict.fromkeys(getattr(each, role) for each in comparisons))


def _ends(headline: Headline, named: Sequence[tuple[str, Number]]) -> str:
    found = sorted((each for each in named if exists(each[1])), key=lambda each: each[1].value or 0)
    if not found:
        return ""
    if found[0][1].value == found[-1][1].value:
        return f"{headline.name}: {_text(headline, found[0][1])} in all"
    both = (f"{_text(headline, number)} ({name})" for name, number in (found[0], found[-1]))
    return f"{headline.name}: from {' to '.join(both)}"


def _listed(headline: Headline, named: Sequence[tuple[str, Number]]) -> str:
    return " and ".join(f"{_text(headline, number)} ({name})" for name, number in named[:MOST_IN_FULL])


def _text(headline: Headline, number: Number) -> str:
    return shown(replace(number, p=None), Column(headline.name, headline.format))


def _worst(tested: Sequence[Headline], report: Report) -> str:
    """Say whom it cost where the first headline number of comparisons is largest."""
    for headline in tested:
        found = [i for i, number in enumerate(headline.comparisons) if exists(number)]
        if found and any(sentence.whom for sentence in report.sentences):
            most = report.sentences[max(found, key=lambda i: headline.comparisons[i].value or 0)]
            return f"{headline.name} is largest in {most.comparison}: {_begun(most.whom or NOBODY)}"
    return NOBODY


def _begun(sentence: str) -> str:
    """Return a sentence as what follows a colon."""
    return sentence[:1].lower() + sentence[1:]


def _marks(headline: Headline) -> str:
    """Say how many numbers are more than chance explains, and how many would be marked where there is nothing."""
    numbers = [number for number in headline.comparisons if number.p is not None]
    if not numbers:
        return ""
    best = min((number.smallest_p for number in numbers if number.smallest_p is not None), default=0.0)
    if best > LEVEL:
        return (
            f"for a test of {headline.name} that is too few: the smallest p that they can reach is {best:.2g}, "
            "whatever they show"
        )
    return (
        f"{headline.name} is told from seed noise in {sum(map(is_marked, numbers))} of {len(numbers)} "
        f"comparisons (p ≤ {LEVEL:g}, each on its own: chance alone gives up to {LEVEL * len(numbers):.2g} of them)"
        + (f"; the smallest p that they can reach is {best:.2g}" if best else "")
    )


def _members(comparisons: Sequence[Comparison], populations: Populations) -> str:
    sizes = [len(populations[name].seeds) for each in comparisons for name in (each.reference, each.pruned)]
    return f"{ends(sizes)} members per population"


def _key_numbers(report: Report, i: int, comparison: Comparison) -> Iterator[KeyNumber]:
    """Yield the headline numbers of comparison ``i``; those of populations from the reference to the pruned one."""
    for headline in report.headlines:
        column = Column(headline.name, headline.format)
        if headline.comparisons:
            number = headline.comparisons[i]
            note = " · ".join(judged(number, column))
            yield KeyNumber(headline.name, shown(number, column), note, is_marked(number))
        elif {comparison.reference, comparison.pruned} <= headline.populations.keys():
            before, after = (headline.populations[name] for name in (comparison.reference, comparison.pruned))
            spreads = [f"± {shown(each.spread, column)}" for each in (before, after) if exists(each.spread)]
            value = f"{shown(before.value, column)} → {shown(after.value, column)}"
            yield KeyNumber(headline.name, value, " → ".join(spreads), False)
        elif comparison.pruned in headline.populations:  # the reference has no such number
            number = headline.populations[comparison.pruned]
            spread = f"± {shown(number.spread, column)}" if exists(number.spread) else ""
            yield KeyNumber(headline.name, shown(number.value, column), spread, False)
