"""Turns what is wrong with a stack's configuration into one line a mistake, each with its key."""

from __future__ import annotations

import difflib
import typing

from pydantic import BaseModel, ValidationError

if typing.TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic_core import ErrorDetails

Location = tuple[int | str, ...]
LONGEST_VALUE = 80  # characters shown of a refused one


def key_of(namespace: str, location: Iterable[int | str]) -> str:
    """Spell a location as `pulumi config set --path` does: `compute-node:processors[0].cpu`."""
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return f"{namespace}:{path.removeprefix('.')}"


def lines(namespace: str, model: type[BaseModel], error: ValidationError) -> list[str]:
    """One line for each mistake that the model found, in the order of its fields."""
    return [f"{key_of(namespace, _place(item))}: {_text(model, item)}" for item in error.errors(include_url=False)]


def _place(item: ErrorDetails) -> Location:
    # A dict's bad key is reported below the marker "[key]", which no operator ever wrote.
    return tuple(part for part in item["loc"] if part != "[key]")


def _text(model: type[BaseModel], item: ErrorDetails) -> str:
    if item["type"] == "extra_forbidden":
        return _unknown_key(_model_at(model, item["loc"][:-1]), str(item["loc"][-1]))
    if item["type"] == "missing":
        return "is required"
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    message = item["msg"][:1].lower() + item["msg"][1:]
    return f"{_shown(item['input'])} is refused: {message}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[:LONGEST_VALUE]}..."


def _unknown_key(model: type[BaseModel], key: str) -> str:
    allowed = sorted(field.alias or name for name, field in model.model_fields.items() if not field.exclude)
    if near := difflib.get_close_matches(key, allowed, n=1):
        return f"unknown key, did you mean {near[0]}?"
    return f"unknown key, allowed are {', '.join(allowed)}"


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel]:
    """The model whose field or item lies at `location`."""
    for part in location:
        if isinstance(part, int):
            continue  # the annotation of a list already led to the model of its items
        by_alias = {field.alias or name: field for name, field in model.model_fields.items()}
        if part in by_alias:
            model = next(_models_in(by_alias[part].annotation), model)
    return model


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in typing.get_args(annotation):
        yield from _models_in(argument)
