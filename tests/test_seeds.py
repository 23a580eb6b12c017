"""All randomness comes from numbers."""

import itertools

import numpy as np
import pytest
import torch

from prunekit.seeds import STREAMS, derive, generator


def test_a_seed_is_numpys_seed_sequence_of_the_four_numbers() -> None:
    words = np.random.SeedSequence([3, 1, 4, STREAMS.index("augment")]).generate_state(2)  # little-endian halves
    assert derive(3, 1, 4, "augment") == (int(words[1]) << 32 | int(words[0])) >> 1


def test_seeds_differ_in_every_coordinate_and_fit_a_generator() -> None:
    seeds = [derive(*place) for place in itertools.product(range(4), range(3), range(5), STREAMS)]
    assert len(set(seeds)) == 4 * 3 * 5 * len(STREAMS)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_streams_keep_their_numbers_so_that_stored_results_stay_valid() -> None:
    assert STREAMS == ("initialise", "order", "augment", "network", "criterion")


def test_generators_of_the_same_place_draw_the_same_and_leave_the_global_one_alone() -> None:
    before = torch.get_rng_state()
    first, second = (torch.rand(5, generator=generator(1, 2, 3, "order")) for _ in range(2))
    other = torch.rand(5, generator=generator(1, 2, 4, "order"))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="non-negative"):
        derive(-1, 0, 0, "order")
