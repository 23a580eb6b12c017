"""A classifier of one's own."""

from __future__ import annotations

import hashlib
import importlib
import re
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator
from torch import nn

from prunekit import ImageShape, InputError, did_you_mean, register, split_classifier

from ._normalisation import Normalised


@register("import")
class Imported(Normalised):
    """A function of yours that returns a classifier, images to logits; its last linear layer is the head.

    In a recipe ``{import: my_package.models:build, num_classes: 10}``, without a name: what is no option below is an
    argument of the function. The module is looked for where Python looks, and in the working folder.
    """

    whole: ClassVar[bool] = True

    target: str = Field(alias="import")
    """``module:function``; a class is one, too."""
    arguments: dict[str, Any] = {}
    """What the function is called with."""

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, values: Any) -> Any:
        """Refuse none: every other key is an argument."""
        if not isinstance(values, dict):
            return values
        own = {field.alias or name for name, field in cls.model_fields.items()}
        given = {key: value for key, value in values.items() if key not in own}
        rest = {key: value for key, value in values.items() if key in own}
        return {**rest, "arguments": {**rest.get("arguments", {}), **given}} if given else rest

    @field_validator("target")
    @classmethod
    def _found(cls, value: str) -> str:
        if not re.fullmatch(r"[\w.]+:\w+", value):
            raise ValueError(f"expected module:function, such as my_package.models:build, not {value!r}")
        _find(value)
        return value

    @property
    def foreign_code(self) -> str | None:
        """Digest of the module's file and of those that it imports; of what is installed none counts."""
        _find(self.target)
        files = sorted(_own_files(sys.modules[self.target.partition(":")[0]]))
        digests = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
        return hashlib.sha256("".join(digests).encode()).hexdigest() if digests else None

    def build(self, images: ImageShape) -> nn.Module:
        """Return what comes before the classifier's last linear layer."""
        return split_classifier(self.classifier(images, 0), images)[0]

    def classifier(self, images: ImageShape, classes: int) -> nn.Module:
        """Return what the function makes. Raises InputError where it fails, or makes no torch.nn.Module."""
        try:
            made = _find(self.target)(**self.arguments)
        except Exception as error:
            raise InputError(f"{self.target} fails: {type(error).__name__}: {error}") from error
        if not isinstance(made, nn.Module):
            raise InputError(f"{self.target} returns a {type(made).__name__}: expected a torch.nn.Module")
        return made


def _own_files(module: ModuleType) -> set[Path]:
    """Return the files of a module and of whatever it has in it, and so on, that are not installed."""
    python = Path(sysconfig.get_path("stdlib"))
    found: set[Path] = set()
    waiting, seen = [module], {module.__name__}
    while waiting:
        here = waiting.pop()
        file = Path(getattr(here, "__file__", None) or "")
        if file.suffix != ".py" or file.is_relative_to(python) or {"site-packages", "dist-packages"} & {*file.parts}:
            continue
        found.add(file)
        held = vars(here).values()
        names = {x.__name__ if isinstance(x, ModuleType) else getattr(x, "__module__", None) for x in held}
        new = [name for name in names if isinstance(name, str) and name in sys.modules and name not in seen]
        seen.update(new)
        waiting += [sys.modules[name] for name in new]
    return found


def _find(target: str) -> Any:
    """Return the function that ``module:function`` names. Raises ValueError in one line."""
    module, _, name = target.partition(":")
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)  # last, so that nothing there stands in for a library
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        where = f"there is no module {error.name!r} (looked for where Python looks, and in the working folder)"
        raise ValueError(where) from None
    except Exception as error:
        raise ValueError(f"{module} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(getattr(found, name, None)):
        known = [each for each in dir(found) if callable(getattr(found, each)) and not each.startswith("_")]
        raise ValueError(f"{module} has no function {name!r}{did_you_mean(name, known)}")
    return getattr(found, name)
