"""What --dry-run says of memory: counted on tensors without data, against tensors with data and sums by hand."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import torch
from helpers_training import Encoder, new_network, stage
from torch import Tensor, nn

from prunekit import memory
from prunekit.images import Batch, DataSummary, ImageShape
from prunekit.network import Network
from prunekit.protocols import Augmentation, Objective
from prunekit.stages import PruneStage, TrainStage

SUMMARY = DataSummary(ImageShape(1, 16, 16), ("a", "b", "c"), train=10_000, validation=100, test=100)
WEIGHTS = (9 * 6 + 6) + (6 + 6) + (9 * 36 + 6) + (6 * 3 + 3)
BUFFERS = 4 * (6 + 6) + 8


def held(options: TrainStage, summary: DataSummary = SUMMARY) -> int:
    return memory._held_by_step(new_network(), options, summary)


def test_bytes_are_counted_while_a_tensor_lives() -> None:
    with memory._Count() as count:
        one = torch.zeros(1000)
        view = one.view(10, 100)
        two = one + 1
        assert count.now == 8000
        del one
        assert count.now == 8000, "the view still holds it"
        del view
        assert count.now == 4000
        del two
        torch.zeros(500)
    assert (count.now, count.most) == (0, 8000)


def test_a_step_without_data_holds_what_one_with_data_does() -> None:
    def step(network: Network) -> int:
        images, labels = torch.rand(32, 1, 16, 16), torch.zeros(32, dtype=torch.int64)
        with memory._Count() as count:
            torch.autograd.backward(nn.functional.cross_entropy(network(images), labels))
        return count.most

    with memory._without_data(new_network()) as twin:
        assert step(twin) == pytest.approx(step(new_network()), rel=0.01)


def test_the_network_is_left_as_it_was() -> None:
    network = new_network()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()
    memory.Estimates(network, SUMMARY).of(stage(objective="supcon"))
    assert network.projector is None
    assert all(type(p) is nn.Parameter and p.grad is None and p.requires_grad for p in network.parameters())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_activations_grow_with_the_batch() -> None:
    image = 4 * (1 + 6 + 6 + 6) * 16 * 16 + 4 * 3 * 6 * 8 * 8  # what a pass keeps of one image, at the least
    small, large = held(stage(batch_size=64)), held(stage(batch_size=128))
    assert 64 * image <= large - small <= 2 * 64 * image


def test_a_batch_is_never_larger_than_the_data() -> None:
    few = DataSummary(SUMMARY.shape, SUMMARY.classes, train=64, validation=0, test=10)
    assert held(stage(batch_size=512), few) == held(stage(batch_size=64), few)


def test_the_similarities_of_contrastive_batches_grow_with_their_square() -> None:
    tiny = DataSummary(ImageShape(1, 4, 4), SUMMARY.classes, 10_000, 0, 10)
    sizes = [held(stage(objective="supcon", batch_size=size), tiny) for size in (256, 512, 1024)]
    curvature = (sizes[2] - sizes[1]) / 2 - (sizes[1] - sizes[0])
    similarities = 4 * (2 * 256) ** 2
    assert curvature > 2 * similarities, "similarities and log-probabilities at the least"


def test_optimisers_hold_what_they_remember() -> None:
    plain = held(stage(batch_size=1, optimizer={"name": "sgd", "momentum": 0.0}))
    momentum = held(stage(batch_size=1, optimizer={"name": "sgd"}))
    adamw = held(stage(batch_size=1, optimizer={"name": "adamw"}))
    assert momentum - plain == pytest.approx(4 * WEIGHTS, rel=0.2)
    assert adamw - plain >= 2 * 4 * WEIGHTS


def test_bf16_takes_less() -> None:
    assert held(stage(batch_size=256, precision="bf16")) < 0.8 * held(stage(batch_size=256))


def test_the_head_alone_keeps_no_activations_but_all_features() -> None:
    whole, head = held(stage(batch_size=4096)), held(stage(batch_size=4096, only="head"))
    assert 4 * 6 * SUMMARY.train < head < whole / 2


def test_stages_that_differ_in_nothing_that_matters_are_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    counted = memory._held_by_step
    monkeypatch.setattr(memory, "_held_by_step", lambda *given: calls.append(given) or counted(*given))
    estimates = memory.Estimates(new_network(), SUMMARY)
    assert estimates.of(stage(epochs=1)) == estimates.of(stage(epochs=9))
    assert estimates.of(stage(batch_size=64)) > estimates.of(stage())  # type: ignore[operator]
    assert len(calls) == 2


def test_a_worker_takes_what_its_largest_stage_does() -> None:
    estimates = memory.Estimates(new_network(), SUMMARY)
    stages = [stage(batch_size=2000), stage(batch_size=4000), PruneStage.model_validate({"schedule": ONE_SHOT})]
    assert estimates.most(stages) == estimates.of(stages[1])
    assert estimates.most([]) == estimates.observing
    assert estimates.observing is not None
    assert estimates.observing > memory.PROCESS + SUMMARY.train * 256


def test_pruning_takes_memory_for_a_moment() -> None:
    class Wide(Encoder):
        def __init__(self) -> None:
            super().__init__()
            self.spare = nn.Linear(1000, 1000)

    network = Network(Wide(), nn.Linear(6, 3))
    estimates = memory.Estimates(network, SUMMARY)
    without, with_pruning = estimates.of(stage(batch_size=1)), estimates.of(stage(batch_size=1, prune=HALF))
    assert without is not None
    assert with_pruning is not None
    assert with_pruning > without


ONE_SHOT = {"name": "one_shot", "sparsity": 0.5}
HALF = {"schedule": ONE_SHOT}


class LooksAtValues(Augmentation):
    name: ClassVar[str] = "looks_at_values"

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return images * float(images.max())


class Fails(Objective):
    name: ClassVar[str] = "fails"

    def loss(self, network: Any, batch: Batch) -> Tensor:
        raise ZeroDivisionError


@pytest.mark.parametrize("options", [{"augment": LooksAtValues()}, {"objective": Fails()}])
def test_what_cannot_be_told_is_none(options: dict[str, Any]) -> None:
    estimates = memory.Estimates(new_network(), SUMMARY)
    odd = stage().model_copy(update=options)
    assert estimates.of(odd) is None
    assert estimates.most([stage(), odd]) is None, "what is not known may be the most"


def test_a_gpu_holds_less_beside_the_tensors() -> None:
    sizes = [memory.Estimates(new_network(), SUMMARY, device).of(stage()) for device in ("cpu", "cuda:0")]
    assert sizes[1] < sizes[0]  # type: ignore[operator]


def test_a_criterion_that_looks_at_data_holds_a_backward_pass() -> None:
    def of(criterion: str) -> int:
        stage = PruneStage.model_validate({"schedule": {"name": "one_shot", "sparsity": 0.5}, "criterion": criterion})
        found = memory.Estimates(new_network(), SUMMARY).of(stage)
        assert found is not None
        return found

    diagonal = 1.6 * (3 << 28)  # what it takes, and what the C library holds besides
    assert of("qm") - of("lm") == pytest.approx(diagonal, abs=1)
    assert of("snip") > of("magnitude") == of("random")
