"""What a search may try: recipe fields with ranges or choices, written as on the command line."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import optuna
import yaml
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from core.errors import RecipeError

_HOW = "write field=log:1e-4:1e-2, field=float:0:0.3, field=int:2:8 or field=choice:a,b,c"


@dataclass(frozen=True)
class Space:
    """Recipe fields to search, by the name that `--set` gives them, each with what it may be."""

    fields: Mapping[str, BaseDistribution]

    def suggest(self, trial: optuna.Trial) -> list[str]:
        """The trial's values as settings (`optimizer.adapter_lr=0.0005`)."""
        return [f"{name}={_suggested(trial, name, how)}" for name, how in self.fields.items()]


def read_space(texts: Sequence[str]) -> Space:
    """["optimizer.adapter_lr=log:1e-4:1e-3", "adapter.r=choice:4,8"] -> a space.

    Raises:
        RecipeError: one is not written like that, or none is given.
    """
    if not texts:
        raise RecipeError(f"A search needs at least one field to vary: {_HOW}.")
    return Space(dict(map(_read, texts)))


def _read(text: str) -> tuple[str, BaseDistribution]:
    name, equals, how = text.partition("=")
    kind, colon, rest = how.partition(":")
    try:
        if not (name and equals and colon):
            raise ValueError(text)
        return name, _distribution(kind, rest)
    except (ValueError, KeyError) as error:
        raise RecipeError(f"--space {text}: {_HOW}.") from error


def _distribution(kind: str, rest: str) -> BaseDistribution:
    if kind == "choice":
        choices = [yaml.safe_load(part) for part in rest.split(",") if part]
        return CategoricalDistribution(choices)
    low, high = rest.split(":")
    if kind == "int":
        return IntDistribution(int(low), int(high))
    return FloatDistribution(float(low), float(high), log={"log": True, "float": False}[kind])


def _suggested(trial: optuna.Trial, name: str, how: BaseDistribution) -> Any:
    if isinstance(how, CategoricalDistribution):
        return trial.suggest_categorical(name, how.choices)
    if isinstance(how, IntDistribution):
        return trial.suggest_int(name, how.low, how.high)
    assert isinstance(how, FloatDistribution)
    return trial.suggest_float(name, how.low, how.high, log=how.log)
