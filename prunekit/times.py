"""Points in time and lengths of time of a stage: ``30ep``, ``500it``, ``2ep100it``, ``5%``; and how far a stage is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

_PATTERN = r"(?:(?P<epochs>\d+)ep)?(?:(?P<iterations>\d+)it)?|(?P<percent>\d+(?:\.\d+)?)%"
_EXPECTED = "expected a time such as 30ep, 500it, 2ep100it or 5%"


@dataclass(frozen=True)
class Time:
    """A time in epochs and iterations, or as a share of its stage. Write it as text: ``Time.parse("2ep100it")``."""

    epochs: int = 0
    iterations: int = 0
    percent: float | None = None

    @classmethod
    def parse(cls, text: str) -> Time:
        """Read ``30ep``, ``500it``, ``2ep100it`` or ``5%``; raise ValueError on anything else."""
        match = re.fullmatch(_PATTERN, text.strip())
        if not text.strip() or match is None:
            raise ValueError(f"{text!r} is no time: {_EXPECTED}")
        if match["percent"] is not None:
            percent = float(match["percent"])
            if percent > 100:
                raise ValueError(f"{text!r} lies outside the stage: expected 0% to 100%")
            return cls(percent=percent)
        return cls(int(match["epochs"] or 0), int(match["iterations"] or 0))

    def __str__(self) -> str:
        if self.percent is not None:
            return f"{Decimal(str(self.percent)):f}".removesuffix(".0") + "%"  # every digit, never an exponent
        epochs = f"{self.epochs}ep" if self.epochs else ""
        return epochs + (f"{self.iterations}it" if self.iterations or not self.epochs else "")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^((\d+ep)?(\d+it)?|\d+(\.\d+)?%)$", "examples": ["30ep", "500it", "5%"]}

    @classmethod
    def _validate(cls, value: object) -> Time:
        if isinstance(value, Time):
            return value
        if not isinstance(value, str):
            raise ValueError(f"{value!r} has no unit: {_EXPECTED}")
        return cls.parse(value)


@dataclass(frozen=True)
class Progress:
    """How far a stage is.

    ``iteration`` is the number of optimiser steps done, 0…``total``: 0 is before the first step, ``total`` after the
    last one. A stage that prunes without training counts the schedule's rounds instead: 0 is the first, ``total`` the
    last one. ``total`` or ``iterations_per_epoch`` is None in a loop of somebody's own that did not say how long it or
    its epochs are; then a share of the stage, or a time in epochs, is refused.
    """

    iteration: int
    total: int | None
    iterations_per_epoch: int | None

    @property
    def epoch(self) -> float:
        """Epochs done, with their fraction."""
        return self.iteration / self._epoch_length("now.epoch")

    def at(self, time: Time) -> int:
        """Return the iteration that ``time`` names in this stage; a share is rounded to the nearest iteration."""
        if time.percent is not None:
            if self.total is None:
                raise ValueError(f"{time} is a share of a stage of unknown length: say how long it is (iterations=)")
            return round(self.total * time.percent / 100)
        epochs = time.epochs * self._epoch_length(str(time)) if time.epochs else 0
        return epochs + time.iterations

    def _epoch_length(self, asked_by: str) -> int:
        if self.iterations_per_epoch is None:
            raise ValueError(f"{asked_by} counts epochs of unknown length: say how long one is (iterations_per_epoch=)")
        return self.iterations_per_epoch
