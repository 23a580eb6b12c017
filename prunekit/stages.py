"""The kinds of stage, with their options: one trains, one prunes, one goes back, one stands for weights given."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, GetCoreSchemaHandler, GetJsonSchemaHandler, TypeAdapter, ValidationInfo, field_validator
from pydantic_core import CoreSchema, InitErrorDetails, PydanticCustomError, ValidationError, core_schema

from prunekit import protocols
from prunekit.errors import InputError
from prunekit.observed import StageKind
from prunekit.protocols import Options, Plugin, TargetSelection, Within
from prunekit.registry import Registry, registry
from prunekit.times import Time


def registry_of(info: ValidationInfo) -> Registry:
    """Return the registry that names are looked up in while a recipe is validated."""
    context = info.context or {}
    found = context.get("registry", registry)
    assert isinstance(found, Registry)
    return found


def as_recipe(options: Options) -> Any:
    """Return the shortest recipe text of ``options``, as data: what differs from the defaults.

    A plugin is its name, or a mapping with a name. Adding a field with a default therefore changes no key of a result.
    """
    short = {}
    for name, field in type(options).model_fields.items():
        value = _plain(getattr(options, name))
        if field.is_required() or value != _plain(field.get_default(call_default_factory=True)):
            short[field.alias or name] = value
    if not isinstance(options, Plugin):
        return short
    name = options.name.format(**dict(options)) if "{" in options.name else options.name
    short = {key: value for key, value in short.items() if f"{{{key}}}" not in options.name}
    return {"name": name, **short} if short else name


def options_in(value: object) -> Iterator[Options]:
    """Yield every Options in ``value``: itself, and those in its fields or in a collection."""
    if isinstance(value, Options):
        yield value
        value = dict(value)
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from options_in(each)


def plugins_in(value: object) -> Iterator[Plugin]:
    """Yield every plugin in ``value``, an Options or a collection of them."""
    return (each for each in options_in(value) if isinstance(each, Plugin))


def _plain(value: Any) -> Any:
    if isinstance(value, Options):
        return as_recipe(value)
    if isinstance(value, Time):
        return str(value)
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    return value


PLUGIN_MARK = "x-prunekit-plugin"
"""Stands in a field's JSON Schema for all plugins of a kind."""


class OfKind:
    """Marks a field that holds a plugin: in a recipe its name, or a mapping with a name and options."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self._validate, serialization=core_schema.plain_serializer_function_ser_schema(as_recipe)
        )

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {PLUGIN_MARK: self.kind}

    def _validate(self, value: object, info: ValidationInfo) -> Plugin:
        if isinstance(value, Plugin):
            if value.kind != self.kind:
                raise PydanticCustomError("plugin", f"expected a {self.kind}, not a {value.kind}")
            return value
        block = {"name": value} if isinstance(value, str) else value
        if isinstance(block, dict) and "import" in block:
            block = {"name": "import", **block}
        if not isinstance(block, dict) or not isinstance(block.get("name"), str):
            raise PydanticCustomError("plugin", f"expected the name of a {self.kind}, or a mapping with a name")
        try:
            entry, named = registry_of(info).find(self.kind, block["name"])
        except InputError as error:
            raise _at(value, _error(str(error))) from None
        options = {k: v for k, v in block.items() if k != "name"}
        for key in options.keys() & named.keys():
            raise _at({key}, PydanticCustomError("plugin", f"{key!r} stands in the name {block['name']!r} already"))
        return entry.plugin.model_validate({**options, **named}, context=info.context)


def plugin(kind: str, block: object, known: Registry) -> Any:
    """Return the plugin that a recipe names with ``block``. Raises pydantic's ValidationError."""
    adapter: TypeAdapter[Any] = TypeAdapter(Annotated[Any, OfKind(kind)])
    return adapter.validate_python(block, context={"registry": known})


def _error(text: str) -> PydanticCustomError:
    return PydanticCustomError("plugin", "{text}", {"text": text})


def _at(value: object, error: PydanticCustomError) -> ValidationError:
    """Place ``error`` at the key that it is about."""
    where = ("name",) if isinstance(value, dict) else tuple(value) if isinstance(value, set) else ()
    return ValidationError.from_exception_data("plugin", [InitErrorDetails(type=error, loc=where, input=value)])


class Prune(Options):
    """What is pruned, how much, when and which weights first."""

    schedule: Annotated[protocols.Schedule, OfKind("schedule")]
    """How much to prune, when."""
    criterion: Annotated[protocols.Criterion, OfKind("criterion")] = Field(default="magnitude", validate_default=True)
    """Which weights go first."""
    within: Within = "network"
    """What weights are ranked against: all targets (``network``), those of the same layer (``layer``), or those of the
    same output of a layer, a row of its matrix or a filter (``row``, as in Wanda)."""
    targets: TargetSelection = TargetSelection()
    """Which parameters are pruned."""


class PruneStage(Prune):
    """A stage that prunes without training."""

    round: int | None = Field(default=None, gt=0)
    """The one of the schedule's rounds that this stage makes, from 1; without, it makes all. ``repeat`` sets it."""


class TrainStage(Options):
    """A stage that trains."""

    objective: Annotated[protocols.Objective, OfKind("objective")]
    """What is minimised."""
    epochs: int = Field(gt=0)
    """Passes over the training images."""
    batch_size: int = Field(default=128, gt=0)
    """Images per step; the last batch of an epoch may be smaller."""
    only: Literal["head"] | None = None
    """``head`` trains the head alone, on the frozen encoder in eval mode."""
    optimizer: Annotated[protocols.Optimizer, OfKind("optimizer")] = Field(default="sgd", validate_default=True)
    """The optimiser and its peak learning rate."""
    lr_schedule: Annotated[protocols.LrSchedule, OfKind("lr_schedule")] = Field(
        default="constant", validate_default=True
    )
    """What the learning rate is multiplied by, step by step."""
    augment: Annotated[protocols.Augmentation, OfKind("augmentation")] = Field(default="none", validate_default=True)
    """How the training images are changed at random."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """bf16 trains under autocast; weights and optimiser stay in fp32."""
    prune: Prune | None = None
    """Pruning while the stage trains: of the parameters that it trains."""
    select: Literal["last", "best_validation"] = "last"
    """Which weights the stage ends with: those of its last epoch, or of the first one of highest validation accuracy
    (of those after the last pruning update, where it prunes). The test part is never looked at."""
    keep: list[Time] = []
    """Times at which the weights are kept for a later stage to ``rewind`` to."""

    @property
    def reading(self) -> str | None:
        """Say which epoch a stage ends with, where it is not the last one."""
        best = "training ends with the first epoch of highest validation accuracy"
        return best if self.select == "best_validation" else None


class RewindStage(Options):
    """A stage that sets the weights and statistics back to an earlier point; what was pruned stays pruned."""

    rewind: str
    """``start`` for the weights that the member began with, or the name of an earlier stage for those of its end, or
    ``stage@time`` for those that it kept then (``keep: [2ep]`` there, ``rewind: train@2ep`` here)."""

    @property
    def reading(self) -> str:
        """Say what goes back, and where to."""
        return f"weights and statistics go back to {self.rewind}, and what was pruned stays pruned"

    @property
    def point(self) -> tuple[str | None, str | None]:
        """Name of the stage, None for the start; the time in it, None for its end."""
        if self.rewind == START:
            return None, None
        stage, _, time = self.rewind.partition("@")
        return stage, str(Time.parse(time)) if time else None

    @field_validator("rewind")
    @classmethod
    def _readable(cls, value: str) -> str:
        stage, at, time = value.partition("@")
        if at and stage == START:
            raise ValueError(f"{START} is before the first stage, and has no times: name a stage, or leave out @{time}")
        if at:
            Time.parse(time)
        return value


class GivenStage(Options):
    """Where the members of a population begin that was made elsewhere. No recipe writes it: it stands for the files."""

    checkpoints: list[str]
    """Globs of the files."""


START = "start"
"""The point before a member's first stage."""
WrittenStage = TrainStage | PruneStage | RewindStage
"""What a recipe may say under ``stages``."""
Stage = WrittenStage | GivenStage


KIND_NAMES: dict[type[Stage], StageKind] = {
    TrainStage: "train",
    PruneStage: "prune",
    RewindStage: "rewind",
    GivenStage: "given",
}


def stage_kind(options: Mapping[str, Any]) -> type[Stage] | None:
    """Return which kind of stage these options are of, by the key that only it has; None where that is not one."""
    kinds: dict[str, type[Stage]] = {
        "objective": TrainStage,
        "schedule": PruneStage,
        "rewind": RewindStage,
        "checkpoints": GivenStage,
    }
    found = [kind for key, kind in kinds.items() if key in options]
    return found[0] if len(found) == 1 else None


def pruning_of(stage: Stage) -> Prune | None:
    """Return what a stage prunes, as its own or as it trains; None where it does not."""
    if isinstance(stage, TrainStage):
        return stage.prune
    return stage if isinstance(stage, PruneStage) else None


def parts_trained(stage: TrainStage) -> tuple[str, ...]:
    """Return the parts of the network that ``stage`` trains; raise InputError where ``only`` leaves none."""
    if stage.only is None:
        return stage.objective.trains
    if stage.only not in stage.objective.trains:
        raise InputError(f"only: {stage.only}: the objective {stage.objective.name!r} does not train the {stage.only}")
    return (stage.only,)
