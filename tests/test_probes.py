"""Probe points: which ones there are, and that what is taken from them is what passes there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from prunekit import InputError, probes
from prunekit.data import DeviceData
from prunekit.images import DataSummary, ImageData, ImageShape, Split
from prunekit.network import Network, ObservedNetwork, build_network
from prunekit.observed import Representation
from prunekit.plugins.backbones.timm import Timm
from prunekit.plugins.backbones.wide_resnet import WideResNet
from prunekit.protocols import Backbone

CLASSES = ("a", "b", "c")


def made_up(examples: int, seed: int, size: int = 8) -> Split:
    images = np.random.default_rng(seed).integers(0, 256, (examples, 3, size, size), dtype=np.uint8)
    return Split(images, np.arange(examples) % 3, tuple(map(str, range(examples))))


def data(size: int = 8, bank: int = 7) -> DeviceData:
    return DeviceData(ImageData(CLASSES, made_up(bank, 0, size), made_up(0, 1, size), made_up(5, 2, size)))


def network_of(backbone: Backbone, size: int = 8) -> Network:
    network = build_network(backbone, DataSummary(ImageShape(3, size, size), CLASSES, 1, 0, 1), seed=0).eval()
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):  # so that no BatchNorm is the identity
                module.running_mean.uniform_(-0.1, 0.1)
                module.bias.uniform_(-0.1, 0.1)
    return network


def of(encoder: nn.Module, width: int) -> Network:
    return Network(encoder, nn.Linear(width, 3)).eval()


def taken(network: Network, which: str | list[str], *, pool: bool = True, size: int = 8) -> dict[str, Representation]:
    return {each.probe: each for each in ObservedNetwork(network, data(size)).representations(which, pool=pool)}


def images(part: str = "test") -> Tensor:
    return torch.cat([batch.images[0] for batch in data().batches(part)])  # type: ignore[arg-type]


# ----------------------------------------------------------------------------------------------------------- paper


def by_hand(network: Network, maps: Tensor) -> dict[str, Tensor]:
    """Return what the 16 points of Corti et al. hold, from the layers of a WRN-16-2 alone."""
    encoder, held = network.encoder, {}
    maps = held["stem"] = encoder.stem(maps)  # type: ignore[operator]
    for g in range(3):
        for b in range(2):
            block = encoder.groups[g][b]  # type: ignore[index]
            name = f"groups.{g}.{b}"
            active = F.relu(block.norm1(maps))
            inner = held[f"{name}.conv2:input"] = F.relu(block.norm2(block.conv1(active)))
            outer = held[f"{name}.conv2"] = block.conv2(inner)
            if b == 0:
                maps = outer + block.shortcut(active)
            else:
                maps = held[name] = outer + maps
    return held


@pytest.mark.parametrize("pool", [True, False])
def test_the_papers_points_of_wrn_16_2_are_sixteen_and_hold_what_passes_there(pool: bool) -> None:
    network = network_of(WideResNet(depth=16, width=2))
    found = taken(network, "paper", pool=pool)
    with torch.no_grad():
        bank, queries = by_hand(network, images("train")), by_hand(network, images())
    assert list(found) == list(bank)
    assert len(found) == 16
    for name, each in found.items():
        for held, expected in ((each.bank, bank[name]), (each.queries, queries[name])):
            rows = expected.mean(dim=(2, 3)) if pool else expected.flatten(1)
            assert held.dtype == np.float32
            np.testing.assert_allclose(held, rows, rtol=1e-4, atol=1e-5)


def test_every_block_with_an_identity_shortcut_is_a_point_of_the_paper() -> None:
    names = list(taken(network_of(WideResNet(depth=16, width=1)), "paper"))  # its first block widens nothing
    assert [name for name in names if name.count(".") == 2] == ["groups.0.0", "groups.0.1", "groups.1.1", "groups.2.1"]


def test_a_backbone_of_which_no_paper_says_where_to_look_is_probed_after_its_blocks() -> None:
    network = network_of(Timm(architecture="resnet10t"), 32)
    assert list(taken(network, "paper", size=32)) == list(taken(network, "blocks", size=32))


# ------------------------------------------------------------------------------------------------------ sets, patterns


def test_blocks_go_from_the_images_to_the_class_probabilities() -> None:
    network = network_of(WideResNet(depth=16, width=1))
    found = taken(network, "blocks", pool=False)
    blocks = [f"groups.{g}.{b}" for g in range(3) for b in range(2)]
    assert list(found) == ["input", *blocks, "softmax"]
    np.testing.assert_array_equal(found["input"].queries, images().flatten(1))
    with torch.no_grad():
        probabilities = network(images()).softmax(dim=1)
    np.testing.assert_allclose(found["softmax"].queries, probabilities, rtol=1e-4)


def test_convolutions_are_what_every_convolution_returns_in_the_order_of_execution() -> None:
    network = network_of(WideResNet(depth=10, width=1))
    assert list(taken(network, "convolutions")) == [
        *("stem", "groups.0.0.conv1", "groups.0.0.conv2"),
        *("groups.1.0.conv1", "groups.1.0.conv2", "groups.1.0.shortcut"),
        *("groups.2.0.conv1", "groups.2.0.conv2", "groups.2.0.shortcut"),
    ]


def test_patterns_name_points_and_match_inputs_only_where_they_say_so() -> None:
    network = network_of(WideResNet(depth=10, width=1))
    assert list(taken(network, ["groups.*.conv2", "stem"])) == ["stem", *(f"groups.{g}.0.conv2" for g in range(3))]
    assert list(taken(network, ["groups.*.conv2:input"])) == [f"groups.{g}.0.conv2:input" for g in range(3)]
    assert list(taken(network, ["softmax", "input"])) == ["input", "softmax"]


@pytest.mark.parametrize(
    ("which", "message"),
    [
        (["stem", "groups.*.conv3"], "probes: nothing in the model matches 'groups.*.conv3' (did you mean 'groups."),
        (["conv9"], "probes: nothing in the model matches 'conv9' (known: "),
        ("block", "probes: the model has no set 'block' (did you mean 'blocks'?): take another, or a list of patterns"),
    ],
)
def test_what_matches_nothing_is_refused_in_one_line(which: str | list[str], message: str) -> None:
    with pytest.raises(InputError) as error:
        taken(network_of(WideResNet(depth=10, width=1)), which)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_a_network_without_convolutions_says_so() -> None:
    network = of(nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Linear(4, 4)), 4)
    with pytest.raises(
        InputError, match=r"^probes: the model has no convolutions: take 'blocks', or a list of patterns"
    ):
        taken(network, "convolutions")
    assert list(taken(network, "blocks")) == ["input", "1", "2", "softmax"]


# ------------------------------------------------------------------------------------------------------------- blocks

BLOCKS = {
    "resnet18": (8, "layer1.0", "layer4.1"),
    "vit_tiny_patch16_224": (12, "blocks.0", "blocks.11"),
    "convnext_atto": (12, "stages.0.blocks.0", "stages.3.blocks.1"),
    "mobilenetv3_small_050": (11, "blocks.0.0", "blocks.4.2"),
    "swin_tiny_patch4_window7_224": (12, "layers.0.blocks.0", "layers.3.blocks.1"),
    "mixer_s32_224": (8, "blocks.0", "blocks.7"),
    "regnetx_002": (13, "s1.b1", "s4.b7"),
    "densenet121": (58, "features.denseblock1.denselayer1", "features.denseblock4.denselayer16"),
    "xception41": (39, "blocks.0.stack.conv1", "blocks.12.stack.conv3"),
    "dla34": (4, "level2", "level5"),
    "vgg11": (10, "features.0", "pre_logits.fc2"),
}
"""Number of blocks, the first and the last one; VGG has none, so that its layers count."""


@pytest.mark.parametrize("architecture", BLOCKS)
def test_blocks_are_found_in_any_family(architecture: str) -> None:
    with torch.device("meta"):  # without weights
        found = probes.blocks(timm.create_model(architecture, num_classes=0))
    assert (len(found), found[0], found[-1]) == BLOCKS[architecture]


def test_branches_that_run_side_by_side_are_no_blocks() -> None:
    class Branched(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch1, self.branch2 = (nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)) for _ in range(2))

    class Kinds(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branch1, self.branch2 = nn.Conv2d(3, 3, 1), nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))

    for branched in (Branched, Kinds):
        parts = {"stem": nn.Conv2d(3, 3, 1), "first": branched(), "second": branched()}
        assert probes.blocks(nn.ModuleDict({"stage": nn.Sequential(branched(), branched())})) == ["stage.0", "stage.1"]
        encoder = nn.Module()
        for name, part in parts.items():
            encoder.add_module(name, part)
        assert probes.blocks(encoder) == ["first", "second"]


def test_blocks_are_found_within_a_single_part() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.wide, self.narrow = nn.Linear(3, 9), nn.Linear(9, 3)

    body = nn.ModuleDict({"layers": nn.Sequential(Block(), Block()), "norm": nn.LayerNorm(3)})
    encoder = nn.Module()
    encoder.stem, encoder.body, encoder.last = nn.Conv2d(3, 3, 1), nn.Module(), nn.Linear(3, 3)
    encoder.body.add_module("inner", nn.Module())
    encoder.body.inner.parts = body
    assert probes.blocks(encoder) == ["body.inner.parts.layers.0", "body.inner.parts.layers.1"]


def test_where_what_a_block_repeats_runs_on_patches_the_block_is_taken() -> None:
    network = network_of(Timm(architecture="mobilevit_xxs"), 64)
    found = list(taken(network, "blocks", size=64))
    assert found == ["input", *(f"stages.{s}.{b}" for s, b in MOBILE_VIT), "softmax"]


MOBILE_VIT = [(0, 0), (1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (3, 0), (3, 1), (4, 0), (4, 1)]


@pytest.mark.parametrize("architecture", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_blocks_of_timms_networks_are_taken(architecture: str) -> None:
    size = 160 if "vit" in architecture else 32
    network = network_of(Timm(architecture=architecture), size)
    found = taken(network, "blocks", size=size)
    assert list(found) == ["input", *probes.blocks(network.encoder), "softmax"]
    assert all(each.bank.shape[0] == 7 and np.isfinite(each.queries).all() for each in found.values())


# ---------------------------------------------------------------------------------------------------- what is taken


class Odd(nn.Module):
    """Does what modules may do: returns a tuple, runs twice, never runs, changes its input, folds images into one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.both = Both()
        self.again = nn.ReLU(inplace=True)
        self.never = nn.Conv2d(3, 4, 1)
        self.folded = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        maps, _ = self.both(self.conv(images))
        maps = self.again(self.again(maps) - 1)
        self.folded(maps.flatten(0, 1))
        return maps.mean(dim=(2, 3))


class Both(nn.Module):
    def forward(self, maps: Tensor) -> tuple[Tensor, int]:
        return 2 * maps, 0


def test_of_several_outputs_the_first_tensor_is_taken_and_before_a_relu_overwrites_it() -> None:
    network = of(Odd(), 4)
    found = taken(network, ["*"], pool=False)
    with torch.no_grad():
        expected = 2 * network.encoder.conv(images())  # type: ignore[operator]
    np.testing.assert_allclose(found["both"].queries, expected.flatten(1), rtol=1e-5, atol=1e-6)
    assert expected.min() < 0


def test_of_a_module_that_runs_twice_the_last_time_counts() -> None:
    network = of(Odd(), 4)
    with torch.no_grad():
        first = F.relu(2 * network.encoder.conv(images()))  # type: ignore[operator]
    np.testing.assert_allclose(
        taken(network, ["again"], pool=False)["again"].queries, F.relu(first - 1).flatten(1), rtol=1e-5, atol=1e-6
    )


def test_what_does_not_run_or_holds_no_row_per_image_is_no_point() -> None:
    assert list(taken(of(Odd(), 4), ["*"])) == ["input", "conv", "both", "again", "softmax"]
    with pytest.raises(InputError, match=r"^probes: nothing in the model matches 'never'"):
        taken(of(Odd(), 4), ["never"])


class Moved(nn.Module):
    """Moves channels last, as some transformers do; or keeps one token per position."""

    def __init__(self, tokens: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 1)
        self.last = nn.Identity()
        self.tokens = tokens

    def forward(self, images: Tensor) -> Tensor:
        maps = self.conv(images).permute(0, 2, 3, 1)
        maps = self.last(maps.flatten(1, 2) if self.tokens else maps)
        return maps.flatten(1, -2).mean(dim=1)


@pytest.mark.parametrize("tokens", [False, True])
def test_positions_and_tokens_are_averaged_wherever_the_channels_stand(tokens: bool) -> None:
    found = taken(of(Moved(tokens), 5), ["conv", "last"])
    assert found["last"].queries.shape == (5, 5)
    np.testing.assert_allclose(found["last"].queries, found["conv"].queries, rtol=1e-5, atol=1e-6)


def test_where_the_training_images_are_observed_bank_and_queries_are_one_array() -> None:
    observed = ObservedNetwork(network_of(WideResNet(depth=10, width=1)), data(), "train")
    for each in observed.representations("paper", pool=True):
        assert each.bank is each.queries
        assert len(each.bank) == 7


def hooks(network: nn.Module) -> int:
    return sum(len(each._forward_hooks) + len(each._forward_pre_hooks) for each in network.modules())


def test_no_hook_stays_behind_not_even_where_a_forward_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(WideResNet(depth=10, width=1))
    taken(network, "blocks")
    assert hooks(network) == 0
    observed = ObservedNetwork(network, data()).representations("blocks", pool=True)

    def fail(images: Tensor) -> Tensor:
        assert hooks(network) == 5
        raise MemoryError

    monkeypatch.setattr(network, "logits", fail)
    with pytest.raises(MemoryError):
        next(observed)
    assert hooks(network) == 0


def test_nothing_is_trained_and_no_gradient_is_kept() -> None:
    network = network_of(WideResNet(depth=10, width=1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    taken(network.train(), "paper")
    assert not network.training
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


# ---------------------------------------------------------------------------------------------------------- streaming


def counting(network: Network, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by a number with every forward: how many images it had."""
    seen: list[int] = []
    logits: Callable[[Tensor], Tensor] = network.logits
    monkeypatch.setattr(network, "logits", lambda images: (seen.append(len(images)), logits(images))[1])
    return seen


@pytest.mark.parametrize(
    ("held", "passes"),
    [(4 * 12 * (16 + 16), 8), (4 * 12 * 1000, 1), (1, 9)],
    ids=["two of the smallest", "all", "not even one"],
)
def test_no_more_is_held_than_is_allowed_except_a_single_one_that_is_larger(
    held: int, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = network_of(WideResNet(depth=10, width=1))
    expected = taken(network, "convolutions")
    monkeypatch.setattr(probes, "AT_ONCE", held)
    seen = counting(network, monkeypatch)
    found = {}
    for each in ObservedNetwork(network, data()).representations("convolutions", pool=True):
        found[each.probe] = each
    widths = [16, 16, 16, 32, 32, 32, 64, 64, 64]
    assert [each.bank.shape[1] for each in found.values()] == widths
    assert seen == [3] + passes * [7, 5]
    for name, each in expected.items():
        np.testing.assert_array_equal(found[name].bank, each.bank)
        np.testing.assert_array_equal(found[name].queries, each.queries)


def test_a_pass_is_made_when_its_first_representation_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(WideResNet(depth=10, width=1))
    monkeypatch.setattr(probes, "AT_ONCE", 1)
    seen = counting(network, monkeypatch)
    stream = ObservedNetwork(network, data()).representations("paper", pool=True)
    assert seen == [3]
    next(stream)
    assert seen == [3, 7, 5]
    next(stream)
    assert seen == [3, 7, 5, 7, 5]


def test_many_images_go_through_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    network = network_of(WideResNet(depth=10, width=1))
    many = data(bank=probes.BATCH + 3)
    seen = counting(network, monkeypatch)
    (found,) = ObservedNetwork(network, many).representations(["stem"], pool=True)
    assert seen == [3, probes.BATCH, 3, 5]
    every = torch.cat([batch.images[0] for batch in many.batches("train")])
    with torch.no_grad():
        expected = network.encoder.stem(every).mean(dim=(2, 3))  # type: ignore[operator]
    np.testing.assert_allclose(found.bank, expected, rtol=1e-4, atol=1e-5)
