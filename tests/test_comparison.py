"""What a comparison is called."""

from __future__ import annotations

from prunekit.comparison import Comparison


def between(reference: str, pruned: str) -> Comparison:
    return Comparison(reference, pruned, control=None, paired=True)


def test_a_comparison_is_called_by_its_populations() -> None:
    assert (between("dense", "sup_0.9").name, between("dense", "sup_0.9").slug) == ("dense → sup_0.9", "dense-sup_0.9")


def test_no_two_comparisons_share_a_slug() -> None:
    names = ("a", "a-", "a-b", "a--b", "b", "b-")
    slugs = [between(one, other).slug for one in names for other in names]
    assert len(set(slugs)) == len(slugs)
