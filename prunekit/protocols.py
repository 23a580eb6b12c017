"""What a plugin implements: one small class per kind, its fields its options. Imports nothing heavy."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Protocol

from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError, ValidationError

from prunekit.comparison import Comparison
from prunekit.errors import did_you_mean
from prunekit.images import Batch, DataSummary, ImageData, ImageShape
from prunekit.observed import ObservedMember, StudyColumns
from prunekit.ranks import Ranks
from prunekit.tables import Summary
from prunekit.times import Progress

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Sparsity = Annotated[float, Field(ge=0.0, lt=1.0, allow_inf_nan=False)]
"""Share of the target weights that are zero, in [0, 1): 0 is a legal control, 1 would leave nothing."""


class Options(BaseModel):
    """A validated, immutable set of options. The text below a field is its documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True)

    @property
    def reading(self) -> str | None:
        """Which reading of the method these options are, where papers and their code differ: a report prints it."""
        return None

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        known = {field.alias or name for name, field in cls.model_fields.items()}
        for key in values if isinstance(values, dict) else ():
            if key not in known:
                message = f"unknown key{did_you_mean(str(key), known)}"
                error = InitErrorDetails(
                    type=PydanticCustomError("unknown_key", "{text}", {"text": message}), loc=(key,), input=key
                )
                raise ValidationError.from_exception_data(cls.__name__, [error])
        return values


class Plugin(Options, ABC):
    """A named set of options that can be swapped for another of its kind."""

    kind: ClassVar[str]
    name: ClassVar[str]
    """The registered name, or the pattern of names such as ``wrn{depth}_{width}``. Set by ``register``; the name of the
    class until then."""
    version: ClassVar[int]
    """Part of the key of every result: raise it when a default or the computation changes. Set by ``register``."""
    source: ClassVar[str]
    """The paper and equation, or "". Set by ``register``."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "name" not in vars(cls):
            cls.name = cls.__name__

    @property
    def foreign_code(self) -> str | None:
        """Digest of code that is not the plugin's own and that it runs: part of the key of every result."""
        return None


# ---------------------------------------------------------------------------------------------------------- pruning


class Schedule(Plugin):
    """How much to prune, when."""

    kind = "schedule"
    needs_training: ClassVar[bool] = False
    """Whether the schedule makes sense only while a stage trains."""

    sparsity: Sparsity
    """Share of the target weights that are zero at the end, in [0, 1)."""

    @property
    def steps(self) -> int:
        """Updates of a stage that prunes without training."""
        return 1

    @abstractmethod
    def target(self, now: Progress) -> float | None:
        """Return the cumulative sparsity wanted now, or None to leave the masks alone. Pure."""

    def check(self, stage: Progress) -> None:
        """Raise ValueError where the options make no sense in a stage of this length."""


class TargetSelection(Options):
    """Which parameters are pruned."""

    modules: list[Literal["conv", "linear"]] = ["conv", "linear"]
    """Types of the modules: convolutions (any dimension, transposed ones too) and linear layers."""
    parameters: list[Literal["weight", "bias"]] = ["weight"]
    """Which of their parameters. The code of Corti et al. also prunes the biases of linear layers."""
    include: list[str] = ["*"]
    """Globs on full parameter names (``encoder.groups.0.*``); a parameter must match one of them."""
    exclude: list[str] = ["projector.*"]
    """Globs on full parameter names; a parameter must match none of them."""

    @property
    def reading(self) -> str | None:
        """Say whether biases are pruned."""
        return "weights and biases are pruned" if "bias" in self.parameters else "weights are pruned, biases are not"


Within = Literal["network", "layer", "row"]
"""What weights are ranked against: all targets, those of the same layer, or those of the same output of a layer."""


@dataclass(eq=False)
class Target:
    """A parameter that is pruned: where it is, and what of it is left."""

    name: str
    """Its name in the model, such as ``encoder.stem.weight``; tied parameters keep their first name."""
    module: nn.Module
    parameter: nn.Parameter
    mask: Tensor
    """bool, of the parameter's shape: True where the weight is kept."""


@dataclass
class PruningContext:
    """What a criterion may look at. It leaves parameters, gradients, BatchNorm statistics and mode as they were.

    Where several processes train the model (DistributedDataParallel), each scores on batches of its own: what it says
    of them becomes what all say by ``ranks.mean``, before squares or absolute values are taken. A criterion that does
    not do so is asked in every process, and the masks of the first hold for all.
    """

    model: nn.Module
    """Without the wrappers of DistributedDataParallel and torch.compile."""
    targets: Sequence[Target]
    generator: torch.Generator
    """The only source of randomness, on the CPU."""
    loss: Callable[[nn.Module, Any], Tensor] | None = None
    """(model, batch) → scalar; None where the caller has none."""
    batches: Callable[[], Iterator[Any]] | None = None
    """Fresh iterator over batches of un-augmented training data; None where the caller has none. A stage shuffles them,
    the same way each time, so that the first batches stand for all classes."""
    ranks: Ranks = Ranks()  # noqa: RUF009  (immutable)
    """The processes that train the model."""


class Criterion(Plugin):
    """Which weights go first."""

    kind = "criterion"
    needs_data: ClassVar[bool] = False
    """Whether it looks at batches of training data and their loss."""
    working_memory: ClassVar[int] = 0
    """Bytes that it may take beside those of a backward pass over a batch."""

    def check(self, targets: Sequence[Target]) -> None:
        """Raise InputError where it has no score for one of ``targets``; asked before anything is trained."""

    @abstractmethod
    def scores(self, context: PruningContext) -> Mapping[str, Tensor]:
        """Return a score per weight for every target, by target name: higher = keep, any sign, no NaN.

        What is pruned already is zero in the model, and stays pruned whatever its score.
        """


# --------------------------------------------------------------------------------------------------------- training


class TrainableNetwork(Protocol):
    """What an objective sees of a network."""

    def logits(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, classes]."""

    def features(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, D]."""

    def projections(self, images: Tensor) -> Tensor:
        """[B, C, H, W] → [B, P], of length 1."""


class Objective(Plugin):
    """What a training stage minimises."""

    kind = "objective"
    views: ClassVar[int] = 1
    """Independently augmented copies of each image that the loss wants."""
    trains: ClassVar[tuple[str, ...]] = ("encoder", "head")
    """The parts of the network it trains, of encoder, head and projector."""

    @property
    def projector(self) -> int | None:
        """Output dimension of the projector that it trains with, None where it needs none."""
        return None

    @abstractmethod
    def loss(self, network: TrainableNetwork, batch: Batch) -> Tensor:
        """Return the scalar to minimise."""


class Augmentation(Plugin):
    """Random change of a batch of images, its parameters drawn for each sample on its own."""

    kind = "augmentation"
    random: ClassVar[bool] = True
    """False where every call returns the same images, so that frozen features may be computed once."""

    @abstractmethod
    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Return augmented images: float [B, C, H, W] in [0, 1] → the same shape, range and device.

        Random numbers come from ``generator``, which lives on the device of ``images``.
        """


class Optimizer(Plugin):
    """An optimiser of torch.optim and its options."""

    kind = "optimizer"

    lr: float = Field(ge=0.0, allow_inf_nan=False)
    """Peak learning rate; the stage's lr_schedule multiplies it."""

    @abstractmethod
    def build(self, parameters: Sequence[nn.Parameter]) -> torch.optim.Optimizer:
        """Return the optimiser over ``parameters``."""


class LrSchedule(Plugin):
    """What the learning rate is multiplied by."""

    kind = "lr_schedule"

    @abstractmethod
    def factor(self, now: Progress) -> float:
        """Return the factor of the optimiser step that comes next; ``now.iteration`` is 0…total − 1. Pure."""


class Backbone(Plugin):
    """An encoder: images to features."""

    kind = "backbone"
    whole: ClassVar[bool] = False
    """Whether :meth:`classifier` makes everything, the head included."""

    @abstractmethod
    def build(self, images: ImageShape) -> nn.Module:
        """Return a freshly initialised module that maps float [B, C, H, W] to features [B, D].

        Random numbers come from torch's global generator, which the caller has seeded. Nothing is downloaded.
        """

    def head(self, features: int, classes: int) -> nn.Linear:
        """Return a freshly initialised linear head: features [B, ``features``] to logits [B, ``classes``].

        Random numbers come from torch's global generator, after those of ``build``. By default torch initialises it.
        """
        from torch import nn

        return nn.Linear(features, classes)

    def classifier(self, images: ImageShape, classes: int) -> nn.Module | None:
        """Return the whole classifier, images to logits, under the names that its authors give its parameters.

        Checkpoints that were made elsewhere are read through it; its last linear layer is the head. None, by default,
        where they can only have the names ``encoder.…`` and ``head.…``.
        """
        return None

    @property
    def normalisation(self) -> tuple[Sequence[float], Sequence[float]] | None:
        """Mean and standard deviation, per channel, of the images in [0, 1] that the network is made for.

        None, by default, for those of the training images.
        """
        return None

    def load_weights(self, encoder: nn.Module, images: ImageShape) -> None:
        """Load weights made elsewhere into a freshly built encoder; by default there are none.

        Called only where a member begins, not where the plan is made or weights of a stored stage follow. May download.
        """

    def probes(self, encoder: nn.Module) -> Mapping[str, Sequence[str]]:
        """Return sets of probe points of such an encoder, by name; ``paper`` are those that a paper took.

        Each is a list of names of points or patterns of them, see :mod:`prunekit.probes`. By default there are none.
        """
        return {}


# ------------------------------------------------------------------------------------------------------------- data


class Dataset(Plugin):
    """Labelled images in three parts. The test part is looked at by observation alone."""

    kind = "dataset"

    @abstractmethod
    def describe(self) -> DataSummary:
        """Return shape, classes and sizes without decoding or downloading anything."""

    @abstractmethod
    def fingerprint(self) -> str | None:
        """Return a digest of the images, labels and ids that ``load`` would return; None where only decoding tells."""

    @abstractmethod
    def load(self) -> ImageData:
        """Decode the images."""


# --------------------------------------------------------------------------------------------------------- measures


class Measure(Plugin):
    """What is lost, in numbers. Its module imports no torch, so that a report starts at once."""

    kind = "measure"
    columns: ClassVar[tuple[str, ...]] = ()
    """Names of what it observes of every member beyond prediction, confidence and loss."""
    published_keys: ClassVar[tuple[str, ...]] = ()
    """Keys of the columns of its tables in which the numbers stand that a recipe says were published."""
    notes: ClassVar[bool] = False
    """Whether it notes something of a member as a whole."""
    needs: ClassVar[tuple[str, ...]] = ("label", "confidence", "loss")
    """What :meth:`summarise` goes by beside the predictions. Members that were made elsewhere may be known by their
    predictions alone: the measure is then left out, and a report says so."""
    summary_options: ClassVar[frozenset[str]] = frozenset()
    """The options that :meth:`observe` and :meth:`note` do not look at: changing them observes nothing anew."""

    @property
    def most_members(self) -> int | None:
        """Of how many members of each population it observes something, the first ones by seed; None: of all."""
        return None

    @property
    def needs_networks(self) -> bool:
        """Whether it has nothing to say of members known by their predictions: by default if it observes anything."""
        return bool(self.columns) or self.notes

    def check(self) -> None:
        """Raise InputError where the options cannot work, before anything is trained."""

    def observe(self, member: ObservedMember) -> dict[str, NDArray[Any]]:
        """Return ``columns`` by name, each [N] of numbers or bools; none by default."""
        return {}

    def note(self, member: ObservedMember) -> dict[str, Any]:
        """Return what there is to say of the member as a whole, in JSON's types; asked only where ``notes`` is True."""
        return {}

    @abstractmethod
    def summarise(self, study: StudyColumns, comparisons: Sequence[Comparison]) -> Summary:
        """Turn the columns of a study into tables and figures."""
