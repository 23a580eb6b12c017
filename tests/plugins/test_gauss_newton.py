"""The Gauss–Newton diagonal against explicit Jacobians, and BackPACK's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from prunekit import InputError
from prunekit.plugins.criteria import _gauss_newton, _layer_squares
from prunekit.plugins.criteria._gauss_newton import covariance_factor, gauss_newton_diagonal
from prunekit.plugins.criteria._layer_calls import hooked_layers


def explicit(model: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """Mean over examples of the diagonal of Jᵀ (diag(p) − p pᵀ) J, every matrix written out."""
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    totals = {name: torch.zeros_like(p) for name, p in parameters.items()}
    for example in inputs.split(1):
        p = model(example)[0].detach().softmax(0)
        hessian = torch.diag(p) - torch.outer(p, p)
        jacobians = jacrev(lambda some, x=example: functional_call(model, some, (x,))[0])(parameters)
        for name, jacobian in jacobians.items():
            totals[name] += torch.einsum("a...,ab,b...->...", jacobian, hessian, jacobian)
    return {name: total / len(inputs) for name, total in totals.items()}


def padded(mode: str, kernel: int = 3, padding: int | str = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(2, 3, kernel, padding=padding, padding_mode=mode), nn.Tanh(), nn.Flatten(), nn.LazyLinear(3)
    )


class Residual(nn.Module):
    """BatchNorm, ReLU in place, a strided shortcut, a sum in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Conv2d(4, 6, 1, stride=2)
        self.head = nn.Linear(6, 4)
        with torch.no_grad():
            self.norm.running_mean.uniform_(-1, 1)
            self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.stem(x)))
        y = self.conv(x)
        y += self.shortcut(x)
        return self.head(self.relu(y).mean((2, 3)))


class Transformer(nn.Module):
    """A block of attention over patches; ``whole``: by torch's own module, whose output weight no hook sees."""

    def __init__(self, whole: bool, first: bool = False) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 2, stride=2)
        self.first, self.whole = first, whole
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True) if whole else nn.Linear(8, 24)
        self.projection = nn.Linear(8, 8, bias=False)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        if self.whole:
            attended = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        else:
            query, key, value = self.attention(tokens).chunk(3, -1)
            attended = (query @ key.mT).softmax(-1) @ value
        if self.first:  # tokens, examples, width
            tokens = tokens + self.projection(attended.transpose(0, 1)).transpose(0, 1)
        else:
            tokens = tokens + self.projection(attended)
        return self.head(F.gelu(self.norm(tokens)).mean(1))


class Applied(nn.Module):
    """A layer used in some unusual way, before a linear head."""

    def __init__(self, layer: nn.Module, use: Callable[[nn.Module, Tensor], Tensor], features: int) -> None:
        super().__init__()
        self.layer, self.use, self.head = layer, use, nn.Linear(features, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.use(self.layer, x).flatten(1))


class Standardised(nn.Conv2d):
    """A convolution whose kernel is standardised first, as timm has."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight / self.weight.flatten(1).std(1)[:, None, None, None]
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


def in_windows(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.tanh(layer(x.reshape(-1, 6)).view(len(x), -1))


def layer_again(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.tanh(F.linear(x, layer.weight, layer.bias))


def changed_afterwards(layer: nn.Module, x: Tensor) -> Tensor:
    x = x.clone()
    y = layer(x)
    x.mul_(3)
    return torch.tanh(y) + x.sum(1, keepdim=True)


def not_changed(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.tanh(layer(x)) + (3 * x).sum(1, keepdim=True)


def checkpointed(layer: nn.Module, x: Tensor) -> Tensor:
    return torch.tanh(checkpoint(layer, x, use_reentrant=False)) + (3 * x).sum(1, keepdim=True)


def twice_but_once_for_nothing(layer: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        layer(x)
    return layer_again(layer, x)


Case = tuple[Callable[[], nn.Module], tuple[int, ...], set[str]]
CASES: dict[str, Case] = {
    "tanh": (lambda: nn.Sequential(nn.Linear(7, 5), nn.Tanh(), nn.Linear(5, 4)), (7,), set()),
    "max-pooling": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3, padding=1),
            nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5, 6),
        ),
        (3, 4, 4), set(),
    ),
    "groups, dilation, stride": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 6, (3, 2), (2, 1), (2, 1), (2, 1), groups=2), nn.Tanh(), nn.Conv2d(6, 6, 3, groups=6),
            nn.Tanh(), nn.Flatten(), nn.LazyLinear(3),
        ),
        (4, 9, 5), set(),
    ),
    "circular": (lambda: padded("circular"), (2, 4, 4), set()),
    "reflect": (lambda: padded("reflect"), (2, 4, 3), set()),
    "replicate": (lambda: padded("replicate"), (2, 3, 3), set()),
    "same, even kernel": (lambda: padded("zeros", 4, "same"), (2, 4, 5), set()),
    "valid": (lambda: padded("zeros", 2, "valid"), (2, 4, 3), set()),
    "one dimension": (
        lambda: nn.Sequential(nn.Conv1d(2, 4, 3, 2, 1), nn.Tanh(), nn.Flatten(), nn.LazyLinear(3)), (2, 11), set(),
    ),
    "three dimensions": (
        lambda: nn.Sequential(nn.Conv3d(2, 3, 2, padding=(1, 0, 1)), nn.Tanh(), nn.Flatten(), nn.LazyLinear(3)),
        (2, 3, 3, 2), set(),
    ),
    "residual": (Residual, (3, 4, 4), set()),
    "tokens": (lambda: Transformer(False), (3, 6, 4), set()),
    "tokens first": (lambda: Transformer(False, first=True), (3, 6, 4), set()),
    "attention": (lambda: Transformer(True), (3, 6, 4), {"attention.out_proj.weight", "attention.out_proj.bias"}),
    "called twice": (
        lambda: Applied(nn.Linear(6, 6), lambda layer, x: torch.tanh(layer(torch.tanh(layer(x)))), 6), (6,),
        {"layer.weight", "layer.bias"},
    ),
    "transposed": (
        lambda: Applied(nn.ConvTranspose2d(2, 3, 2, 2), lambda layer, x: torch.tanh(layer(x)), 48), (2, 2, 2),
        {"layer.weight", "layer.bias"},
    ),
    "forward of its own": (
        lambda: Applied(Standardised(2, 3, 3), lambda layer, x: torch.tanh(layer(x)), 12), (2, 4, 4),
        {"layer.weight", "layer.bias"},
    ),
    "windows": (lambda: Applied(nn.Linear(6, 4), in_windows, 8), (12,), {"layer.weight", "layer.bias"}),
    "used without a call": (
        lambda: Applied(nn.Linear(6, 4), twice_but_once_for_nothing, 4), (6,), {"layer.weight", "layer.bias"},
    ),
    "used beside the call": (
        lambda: Applied(nn.Linear(6, 4), lambda layer, x: layer(x).tanh() + F.linear(x, layer.weight).sin(), 4), (6,),
        {"layer.weight"},
    ),
    "called, and only used beside it": (
        lambda: Applied(nn.Linear(6, 4), lambda layer, x: layer(x).detach() * layer_again(layer, x), 4),
        (6,), {"layer.weight", "layer.bias"},
    ),
}  # fmt: skip
"""How a model is built, the shape of an example, and the parameters of layers that need a pass per example."""


def built(case: str, examples: int = 3) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(len(case))
    build, shape, _ = CASES[case]
    model = build()
    model.eval()(torch.randn(examples, *shape))  # lazy layers get their size
    return model.double(), torch.randn(examples, *shape, dtype=torch.float64)


def layer_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)
    layers = {name for name, module in model.named_modules() if isinstance(module, kinds)}
    return {name: p for name, p in model.named_parameters() if name.rpartition(".")[0] in layers}


def assert_equal(got: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-10) -> None:
    for name, diagonal in got.items():
        scale = expected[name].abs().max()
        assert scale > 0, name
        assert torch.allclose(diagonal.to(scale.dtype), expected[name], rtol=tolerance, atol=tolerance * scale), name


@pytest.mark.parametrize("case", CASES)
def test_the_diagonal_is_that_of_the_jacobians_written_out(case: str) -> None:
    model, inputs = built(case)
    parameters = layer_parameters(model)
    expected = explicit(model, inputs)
    assert_equal(gauss_newton_diagonal(model, parameters, [inputs]), expected)


@pytest.mark.parametrize("case", CASES)
def test_hooks_see_all_layers_but_those_that_are_known_not_to_be(case: str) -> None:
    model, inputs = built(case)
    parameters = layer_parameters(model)
    layers = hooked_layers(model, parameters, inputs, lambda model, x: model(x))
    assert set(parameters) - {name for layer in layers for name in layer.names.values()} == CASES[case][2]


@pytest.mark.parametrize("use", [changed_afterwards, checkpointed])
def test_an_input_changed_in_place_or_computed_again_is_taken_as_it_was(use: Callable[..., Tensor]) -> None:
    torch.manual_seed(0)
    model, inputs = Applied(nn.Linear(6, 4), not_changed, 4).double(), torch.randn(3, 6).double()
    expected = explicit(model, inputs)
    model.use = use
    parameters = layer_parameters(model)
    layers = hooked_layers(model, parameters, inputs, lambda model, x: model(x))
    assert [layer.copies for layer in layers] == [use is changed_afterwards, False]
    assert_equal(gauss_newton_diagonal(model, parameters, [inputs]), expected)


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("case", ["tanh", "max-pooling", "groups, dilation, stride", "circular", "residual", "tokens"])
def test_both_ways_of_summing_give_the_same(case: str, pairs: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def choose(layer: nn.Module, taps: Tensor, columns: int) -> object:
        return _layer_squares._pairs(taps) if pairs else None

    monkeypatch.setattr(_layer_squares, "_cheaper_pairs", choose)
    model, inputs = built(case)
    assert_equal(gauss_newton_diagonal(model, layer_parameters(model), [inputs]), explicit(model, inputs))


def test_few_positions_are_summed_as_pairs_and_many_are_multiplied_out() -> None:
    layer = nn.Conv2d(512, 512, 3, padding=1)
    chosen = {}
    for size in (1, 2, 4, 8):
        taps = _layer_squares._taps(layer, torch.empty(1, 512, size, size))
        chosen[size] = _layer_squares._cheaper_pairs(layer, taps, columns=9) is not None
    assert chosen == {1: True, 2: True, 4: True, 8: False}


@pytest.mark.parametrize("memory", [1, 20_000, 1 << 30])
@pytest.mark.parametrize("case", ["max-pooling", "residual", "attention"])
def test_chunks_change_nothing(case: str, memory: int) -> None:
    model, inputs = built(case, examples=5)
    whole = gauss_newton_diagonal(model, layer_parameters(model), [inputs])
    parts = gauss_newton_diagonal(model, layer_parameters(model), [inputs[:2], inputs[2:2], inputs[2:]], memory=memory)
    assert_equal(parts, whole, 1e-13)


def test_less_memory_means_fewer_examples_then_fewer_columns() -> None:
    model, inputs = built("max-pooling")
    sizes = []
    for memory in (1 << 30, 200_000, 1):
        plan = _gauss_newton._Plan(model, layer_parameters(model), inputs, memory)
        sizes.append((plan.examples, plan.columns))
    assert sizes[0] == (128, 5)
    assert 1 < sizes[1][0] < 128
    assert sizes[2] == (1, 1)


def test_shapes_may_differ_between_batches() -> None:
    model = nn.Sequential(nn.Conv2d(2, 3, 3), nn.Tanh(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3))
    model.double()
    small, large = torch.randn(2, 2, 4, 4).double(), torch.randn(2, 2, 6, 5).double()
    got = gauss_newton_diagonal(model, layer_parameters(model), [small, large, small])
    apart = explicit(model, small), explicit(model, large)
    assert_equal(got, {name: (2 * apart[0][name] + apart[1][name]) / 3 for name in got})


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_float32_is_as_good_as_float32_is(memory_format: torch.memory_format) -> None:
    model, inputs = built("residual", examples=8)
    expected = explicit(model, inputs)
    model = model.float().to(memory_format=memory_format)
    images = inputs.float().to(memory_format=memory_format)
    got = gauss_newton_diagonal(model, layer_parameters(model), [images])
    assert {each.dtype for each in got.values()} == {torch.float32}
    assert_equal(got, expected, 1e-5)


def test_bfloat16_is_summed_in_float32() -> None:
    model, inputs = built("tanh", examples=8)
    expected = explicit(model, inputs)
    model = model.bfloat16()
    got = gauss_newton_diagonal(model, layer_parameters(model), [inputs.bfloat16()])
    assert {each.dtype for each in got.values()} == {torch.float32}
    assert_equal(got, expected, 0.05)


def test_everything_is_left_as_it_was() -> None:
    model, inputs = built("residual")
    model.train()
    model.conv.requires_grad_(False)
    model.head.weight.grad = marker = torch.ones_like(model.head.weight)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        got = gauss_newton_diagonal(model, layer_parameters(model), [inputs])
    assert got["conv.weight"].count_nonzero() > 0
    assert not any(each.requires_grad for each in got.values())
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert [p.requires_grad for p in model.parameters()] == [p is not model.conv.weight for p in model.parameters()]
    assert model.head.weight.grad is marker
    assert [p.grad for p in model.parameters() if p is not model.head.weight] == [None] * (len(state) - 4)
    assert all(module.training and not module._forward_hooks for module in model.modules())


@pytest.mark.parametrize("classes", [2, 3, 10])
def test_the_factor_is_that_of_the_covariance(classes: int) -> None:
    torch.manual_seed(classes)
    logits = torch.randn(6, classes, dtype=torch.float64) * torch.tensor([0.0, 1, 3, 10, 30, 100])[:, None]
    p = logits.softmax(1)
    factor = covariance_factor(logits)
    assert factor.shape == (classes - 1, 6, classes)
    covariance = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    assert torch.allclose(torch.einsum("cbi,cbj->bij", factor, factor), covariance, atol=1e-15)


@pytest.mark.parametrize("winner", [0, 1, 2])
def test_a_saturated_softmax_has_no_curvature_and_no_nan(winner: int) -> None:
    certain = torch.full((1, 3), -1e4)
    certain[0, winner] = 1e4
    assert covariance_factor(certain).abs().max() == 0
    nearly = torch.zeros(1, 3)
    nearly[0, winner] = 40.0  # 1 − p is 8.5e-18, below what float32 tells from 0
    factor = covariance_factor(nearly).double()
    covariance = torch.einsum("cbi,cbj->bij", factor, factor)[0]
    tiny = torch.exp(torch.tensor(-40.0, dtype=torch.float64))
    expected = tiny.expand(3).clone()
    expected[winner] = 2 * tiny
    assert torch.allclose(covariance.diagonal(), expected, rtol=1e-5)


def test_two_classes_by_hand() -> None:
    """One example x, logits (w·x, 0): d = p (1 − p) x², p = σ(w·x)."""
    model = nn.Linear(2, 2, bias=False).double()
    model.weight.data = torch.tensor([[0.5, -1.0], [0.0, 0.0]]).double()
    x = torch.tensor([[2.0, 3.0]]).double()
    p = torch.sigmoid(torch.tensor(-2.0)).double()
    got = gauss_newton_diagonal(model, {"w": model.weight}, [x])["w"]
    expected = p * (1 - p) * torch.tensor([[4.0, 9.0], [4.0, 9.0]]).double()
    assert torch.allclose(got, expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (nn.Linear(4, 1), r"at least 2 classes\] of 3 examples, and the model returned \[3, 1\]"),
        (nn.Unflatten(1, (2, 2)), r"returned \[3, 2, 2\]"),
        (nn.Sequential(nn.Linear(4, 2), nn.Flatten(0)), r"returned \[\d+\]"),
        (nn.LSTM(4, 4), "returned tuple"),
    ],
)
def test_what_is_no_logits_is_refused(model: nn.Module, message: str) -> None:
    parameters = dict(nn.Linear(4, 1).named_parameters())
    with pytest.raises(InputError, match=message.replace("of 3", r"of \d").replace("[3,", r"[\d,")):
        gauss_newton_diagonal(model, parameters, [torch.randn(3, 4)])


def test_no_examples_are_refused() -> None:
    model = nn.Linear(4, 2)
    with pytest.raises(InputError, match="there are none"):
        gauss_newton_diagonal(model, dict(model.named_parameters()), [torch.empty(0, 4)])


def test_backpack_finds_the_same() -> None:
    backpack = pytest.importorskip("backpack")
    extensions = pytest.importorskip("backpack.extensions")
    torch.manual_seed(0)
    layers = [
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 12, 3, stride=2, groups=2), nn.ReLU(),
        nn.Flatten(), nn.Linear(108, 16), nn.ReLU(), nn.Linear(16, 10),
    ]  # fmt: skip
    model = nn.Sequential(*layers)
    images, labels = torch.randn(20, 3, 16, 16), torch.randint(0, 10, (20,))
    ours = gauss_newton_diagonal(model, dict(model.named_parameters()), [images])
    extended, loss = backpack.extend(model), backpack.extend(nn.CrossEntropyLoss())
    with backpack.backpack(extensions.DiagGGNExact()):
        loss(extended(images), labels).backward()
    for name, parameter in model.named_parameters():
        theirs = parameter.diag_ggn_exact
        assert torch.linalg.norm(ours[name] - theirs) <= 1e-5 * torch.linalg.norm(theirs), name
        assert torch.allclose(ours[name], theirs, rtol=1e-5, atol=1e-6 * theirs.max()), name
