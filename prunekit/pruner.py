"""Pruning in anybody's training loop: schedule × criterion × within."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar, get_args

import torch
from pydantic import ValidationError
from torch import Tensor, nn

from prunekit import masks as masking
from prunekit import pruner_state
from prunekit.errors import InputError, describe_problem, did_you_mean, short, warn_caller
from prunekit.protocols import Criterion, Plugin, PruningContext, Schedule, Target, TargetSelection, Within
from prunekit.ranks import Ranks
from prunekit.registry import registry
from prunekit.seeds import derive
from prunekit.stages import plugin
from prunekit.state import undisturbed
from prunekit.tables import Column, Table
from prunekit.times import Progress
from prunekit.updates import Update
from prunekit.wrappers import eagerly, group_of, plain_name, unwrapped

FALLS_SHORT = 0.01
"""Sparsity that rounding, layer by layer, may leave unreached."""


class Pruner:
    """Prunes ``model`` as it trains. Knows nothing of the loop but when an optimiser step has been done.

    >>> pruner = Pruner(model, "gmp", sparsity=0.9, begin="2ep", end="50ep", iterations_per_epoch=len(loader))
    >>> for batch in loader:
    ...     ...
    ...     optimizer.step()
    ...     pruner.step()
    >>> masks = pruner.finalize()

    The update due before the first step is made at once: ``Pruner(model, sparsity=0.9)`` prunes, and is done.

    ``model`` may be wrapped in DistributedDataParallel or torch.compile: names are those without. Where several
    processes train it, make a pruner in each, with the same arguments but the data: all have the same masks. Once
    torch.distributed is initialised, the processes are those of the wrapper, of a bare model all. Weights that
    torch.nn.utils.prune masks are plain parameters afterwards, and stay pruned.

    ``schedule``, ``criterion``: a registered name, a mapping with a name and options, or an instance.
    ``within``: what weights are ranked against, ``network``, ``layer`` or ``row``.
    ``targets``: which parameters; ``parts``: only those whose name begins with one of these components.
    ``iterations_per_epoch``, ``iterations``: needed by times in epochs, and by shares of the training.
    ``optimizer``: where given, its steps are followed by themselves and ``step`` is not called; those that a GradScaler
    skips are not counted.
    ``data``, ``loss``: for criteria that need them: batches (an iterable that can be gone through again, or a function
    that returns a new iterator) and (model, batch) → scalar; without a loss, cross-entropy of batches (inputs, labels).
    ``seed``: of criteria that draw random numbers, from their generator or torch's global ones; together with the
    iteration it fixes every draw.
    ``masks``, ``iteration``: where training goes on: bool masks by parameter name, and the optimiser steps done. The
    update due at that iteration has been made before.
    ``schedule_options``: the options of a schedule that is given by name.

    Raises InputError where a name, an option, or a time does not fit, or nothing would be pruned.
    """

    def __init__(
        self,
        model: nn.Module,
        schedule: str | Mapping[str, Any] | Schedule = "one_shot",
        *,
        criterion: str | Mapping[str, Any] | Criterion = "magnitude",
        within: Within = "network",
        targets: TargetSelection | Mapping[str, Any] | None = None,
        parts: Collection[str] | None = None,
        iterations_per_epoch: int | None = None,
        iterations: int | None = None,
        optimizer: torch.optim.Optimizer | None = None,
        data: Iterable[Any] | Callable[[], Iterator[Any]] | None = None,
        loss: Callable[[nn.Module, Any], Tensor] | None = None,
        seed: int = 0,
        masks: Mapping[str, Tensor] | None = None,
        iteration: int = 0,
        **schedule_options: Any,
    ) -> None:
        self._model, self._group = unwrapped(model), group_of(model)
        if optimizer is not None and not isinstance(optimizer, torch.optim.Optimizer):
            raise InputError(f"the optimizer is {short(optimizer)}: expected a torch.optim.Optimizer")
        if within not in get_args(Within):
            raise InputError(f"there is no within {within!r}" + did_you_mean(str(within), get_args(Within)))
        for name, value, least in (
            ("iterations_per_epoch", iterations_per_epoch, 1),
            ("iterations", iterations, 0),
            ("iteration", iteration, 0),
            ("seed", seed, 0),
        ):
            if value is not None and not (isinstance(value, int) and value >= least):
                whole = "" if isinstance(value, int) else "a whole number, "
                raise InputError(f"{name} is {short(value)}: expected {whole}at least {least}")
        self.schedule = _plugin(Schedule, schedule, schedule_options)  # type: ignore[type-abstract]
        self.criterion = _plugin(Criterion, criterion, {})  # type: ignore[type-abstract]
        self.within = within
        self.iteration = iteration
        """Optimiser steps done."""
        self.updates: list[Update] = []
        """The updates made, in order."""
        if self.criterion.needs_data and data is None:
            raise InputError(
                f"the criterion {self.criterion.name} looks at training data: pass data= "
                "(and loss=, where it is not cross-entropy)"
            )
        self._length = iterations, iterations_per_epoch
        self._loss, self._seed = loss, seed
        self._batches = None if data is None else _repeatable(data)
        self._finalised = False
        with _one_line("targets"):
            selection = TargetSelection.model_validate(targets or {})
        self.targets = masking.find_targets(self._model, selection, masks, parts)
        """The parameters that are pruned, in the model's order."""
        held = {id(p) for group in optimizer.param_groups for p in group["params"]} if optimizer is not None else None
        if held is not None and not any(id(target.parameter) in held for target in self.targets):
            raise InputError("the optimizer holds none of the parameters that are pruned: is it another model's?")
        with self._naming(self.schedule, ValueError):
            self.schedule.check(Progress(0, *self._length))
        with self._naming(self.criterion, InputError):
            self.criterion.check(self.targets)
        masking.take_over(self._model, self.targets)
        masking.apply(self.targets)
        if iteration == 0:
            self.update()
        self._hook = optimizer.register_step_post_hook(self._follow) if optimizer is not None else None

    def step(self) -> None:
        """Count an optimiser step: pruned weights are zero again, and more are pruned where the schedule says so."""
        if self._hook is not None:
            raise InputError("step() follows the optimizer by itself: do not call it, or do not pass optimizer=")
        self._advance()

    def mask_gradients(self) -> None:
        """Set the gradients of pruned weights to zero; call it before gradients are clipped by their norm."""
        masking.mask_gradients(self.targets)

    def apply_to(self, model: nn.Module) -> None:
        """Set what is pruned to zero in another model with the same parameters, such as an average or a copy.

        Weights that were pruned not long ago are not zero in an average of the past: call it before such a model is
        looked at or kept, as often as you like. Raises InputError where a parameter is missing or of another shape.
        """
        others = dict(unwrapped(model).named_parameters(remove_duplicate=False))
        found = {plain_name(name): parameter for name, parameter in others.items()}
        for target in self.targets:
            shape, other = list(target.mask.shape), found.get(target.name)
            if other is None:
                raise InputError(f"the other model has no parameter {target.name}" + did_you_mean(target.name, found))
            if list(other.shape) != shape:
                raise InputError(f"{target.name} of the other model is {list(other.shape)}: expected {shape}")
        masking.apply([replace(target, parameter=found[target.name]) for target in self.targets])

    def table(self) -> Table:
        """Return what is pruned where: a row per parameter (name, shape, weights, zeros, sparsity), then their total.

        Zeros are counted in the weights. ``print(pruner.table())`` shows it; ``rows`` are the data.
        """
        counts = [(t, *masking.count_zeros([t])) for t in self.targets]
        rows = [
            (t.name, "×".join(map(str, t.mask.shape)), weights, zeros, zeros / weights) for t, zeros, weights in counts
        ]
        zeros, weights = masking.count_zeros(self.targets)
        names = ("parameter", ""), ("shape", ""), ("weights", ","), ("zeros", ","), ("sparsity", ".2%")
        return Table(
            "", tuple(Column(*each) for each in names), [*rows, ("total", "", weights, zeros, zeros / weights)]
        )

    def state_dict(self) -> dict[str, Any]:
        """Return what it takes to go on later: numbers, text and tensors, which ``torch.load`` reads safely."""
        return pruner_state.pack(self.iteration, self._settings, self.updates, self.targets)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from ``state``, of a pruner made with the same arguments, as if nothing had come between.

        Load the model's weights before, and both after the pruner has been made. Raises InputError, and changes
        nothing, where the state is of another schedule, criterion, ``within``, seed or length of an epoch, or of other
        parameters.
        """
        self._refuse_finalised()
        iteration, updates, masks = pruner_state.unpack(state, self._settings, self.targets)
        if lost := pruner_state.unloaded(self.targets, masks) if self.updates else 0:
            raise InputError(
                f"{lost:,} weights that the state keeps were set to zero by this pruner: once it is made, load the "
                "model's weights, then its state"
            )
        self.iteration, self.updates = iteration, updates
        for target in self.targets:
            target.mask.copy_(masks[target.name])
        masking.apply(self.targets)

    @property
    def _settings(self) -> dict[str, Any]:
        """What has to be the same to go on from a state."""
        iterations, per_epoch = self._length
        names = {"schedule": self.schedule, "criterion": self.criterion, "within": self.within, "seed": self._seed}
        return {**names, "iterations": iterations, "iterations_per_epoch": per_epoch}

    def finalize(self, *, torch_masks: bool = False) -> dict[str, Tensor]:
        """Stop pruning, with the pruned weights zero; return the masks: bool, by parameter name.

        ``torch_masks``: leave the masks to torch.nn.utils.prune, which keeps weights pruned as they are trained on:
        each pruned parameter is ``weight_orig`` then, beside a ``weight_mask``.

        Warns where the loop ended before the schedule did.
        """
        if self.sparsity < self.schedule.sparsity - FALLS_SHORT:
            reached = f"{self.sparsity:.4g} of the weights are pruned where {self.schedule.sparsity:.4g} were asked for"
            warn_caller(f"{reached}: the loop ended after {self.iteration} steps")
        masking.apply(self.targets)
        if torch_masks:
            masking.give_back(self._model, self.targets)
        if self._hook is not None:
            self._hook.remove()
            self._hook = None
        self._finalised = True
        return {name: mask.clone() for name, mask in self.masks.items()}

    @property
    def masks(self) -> dict[str, Tensor]:
        """The masks as they are now: bool, by parameter name, True where a weight is kept."""
        return {target.name: target.mask for target in self.targets}

    @property
    def sparsity(self) -> float:
        """Share of the target weights that are zero, counted."""
        return masking.sparsity(self.targets)

    def _follow(self, optimizer: torch.optim.Optimizer, *_: object) -> None:
        """Count a step of the optimizer, unless it was one that a GradScaler had it skip."""
        overflow = getattr(optimizer, "found_inf", None)  # fused optimizers are called all the same
        if overflow is None or not bool(overflow):
            self._advance()

    def _refuse_finalised(self) -> None:
        if self._finalised:
            raise InputError("this pruner was finalised: make another one to prune further")

    def _advance(self) -> None:
        self._refuse_finalised()
        self.iteration += 1
        masking.apply(self.targets)
        self.update()

    def update(self) -> None:
        """Make the update that the schedule wants now, if any. The constructor and ``step`` do it by themselves."""
        now = Progress(self.iteration, *self._length)
        with self._naming(self.schedule, ValueError):
            wanted = self.schedule.target(now)
        if wanted is None:
            return
        seed = derive(self._seed, 0, self.iteration, "criterion")
        draws = torch.Generator().manual_seed(seed)
        ranks = Ranks.here(self._group)
        context = PruningContext(self._model, self.targets, draws, self._loss, self._batches, ranks)
        kept = {name for name, mask in self.masks.items() if mask.any()}
        with self._naming(self.criterion, InputError):
            with undisturbed(self._model), _seeded(self._model, seed), eagerly(), _unchanged(self.targets):
                scores: object = self.criterion.scores(context)
            if not isinstance(scores, Mapping):
                raise InputError(f"gave {type(scores).__name__}: expected a mapping of target names to tensors")
            change = masking.grow(self.targets, scores, wanted, self.within, ranks)
        epoch = now.epoch if now.iterations_per_epoch is not None else None
        self.updates.append(Update(self.iteration, epoch, self.sparsity, change))
        if emptied := [name for name, mask in self.masks.items() if name in kept and not mask.any()]:
            warn_caller(f"nothing is left of {', '.join(emptied)}")

    @contextmanager
    def _naming(self, plugin: Plugin, kind: type[Exception]) -> Iterator[None]:
        """Say of an error of that kind which plugin it is about."""
        try:
            yield
        except kind as error:
            raise InputError(f"{plugin.kind} {plugin.name}: {error}") from error


@contextmanager
def _unchanged(targets: Sequence[Target]) -> Iterator[None]:
    """Raise InputError where the weights of targets are others afterwards. Their sums tell."""
    before = _sums(targets)
    yield
    if others := [target.name for target, old, new in zip(targets, before, _sums(targets), strict=True) if old != new]:
        raise InputError(f"changed the weights of {others[0]}: it has to work on a copy, or put them back")


def _sums(targets: Sequence[Target]) -> list[str]:
    """Return a number for the weights of each target, as text: of what is no number, too."""
    return [str(target.parameter.detach().sum().item()) for target in targets]


@contextmanager
def _seeded(model: nn.Module, seed: int) -> Iterator[None]:
    """Seed torch's global generators, of the CPU and of the model's GPUs, and put them back afterwards."""
    devices = {parameter.device for parameter in model.parameters() if parameter.device.type == "cuda"}
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed all GPUs, other people's too
        for device in devices:
            torch.cuda.default_generators[device.index].manual_seed(seed)
        yield


def prune(
    model: nn.Module,
    schedule: str | Mapping[str, Any] | Schedule = "one_shot",
    *,
    on_round: Callable[[Pruner], None] = lambda pruner: None,
    **options: Any,
) -> dict[str, Tensor]:
    """Prune ``model`` in place in all rounds of ``schedule``, without training between; return the masks by name.

    >>> masks = prunekit.prune(model, "exponential", sparsity=0.98, rounds=100, criterion="synflow", data=loader)

    The criterion scores the weights that are left anew in every round. ``options`` are those of :class:`Pruner`, and of
    the schedule where it is given by name. ``on_round`` is called with the pruner after each round.
    """
    own = {name: value for name, value in options.items() if name in _ARGUMENTS}
    chosen = _plugin(Schedule, schedule, {k: v for k, v in options.items() if k not in own})  # type: ignore[type-abstract]
    if chosen.needs_training:
        raise InputError(f"schedule {chosen.name}: prunes while a loop trains: use Pruner")
    own = {"iterations_per_epoch": 1, **own, "iterations": chosen.steps - 1}
    pruner = Pruner(model, chosen, **own)
    on_round(pruner)
    for _ in range(chosen.steps - 1):
        pruner.step()
        on_round(pruner)
    return pruner.finalize()


_ARGUMENTS = inspect.signature(Pruner.__init__).parameters.keys() - {"self", "model", "schedule", "schedule_options"}

PluginType = TypeVar("PluginType", bound=Plugin)


def _plugin(
    kind: type[PluginType], value: str | Mapping[str, Any] | PluginType, options: Mapping[str, Any]
) -> PluginType:
    """Return the plugin that ``value`` names or is."""
    if isinstance(value, kind):
        if options:
            raise InputError(f"unexpected option {next(iter(options))!r}: the {kind.kind} is an instance already")
        return value
    block = {"name": value} if isinstance(value, str) else value
    if not isinstance(block, Mapping) or not isinstance(block.get("name"), str):
        raise InputError(f"the {kind.kind} is {value!r}: expected a name, a mapping with a name, or a {kind.__name__}")
    with _one_line(f"{kind.kind} {block['name']}"):
        found = plugin(kind.kind, {**block, **options}, registry)
    assert isinstance(found, kind)
    return found


@contextmanager
def _one_line(where: str) -> Iterator[None]:
    """Raise the first thing that pydantic finds wrong as InputError."""
    try:
        yield
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(str(piece) for piece in first["loc"])
        raise InputError(f"{where}: {key + ': ' if key else ''}{describe_problem(first)}") from None


def _repeatable(data: Iterable[Any] | Callable[[], Iterator[Any]]) -> Callable[[], Iterator[Any]]:
    """Return a function that begins ``data`` anew."""
    if not isinstance(data, Iterable):
        return data
    if iter(data) is data:
        raise InputError("data can be gone through only once: pass a DataLoader, a list, or a function that returns it")
    return lambda: iter(data)
