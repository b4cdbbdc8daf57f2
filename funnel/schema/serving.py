"""What a service knows when it asks: which inputs a request gives once, for all of its candidates."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from pydantic import Field

from funnel.errors import have
from funnel.schema._base import Declared, Name, problem


class Serving(Declared):
    """The exported model."""

    once: tuple[Name, ...] | None = Field(default=None, examples=[["user", "hour"]])
    """Features that a request of `rank` gives once, for all candidates: those of the user, and of the moment. A dimension's
    name stands for all of its features. Default: the dimension that has the feature `evaluate.group_by`, or is found by it;
    that feature alone where there is none; without `group_by`, the first dimension. An empty list: no signature `rank`."""


def given_once(
    names: tuple[str, ...] | None, sources: Mapping[str, str], dimensions: Collection[str], default: tuple[str, ...]
) -> tuple[str, ...]:
    """The features that a request gives once, in the order of the schema.

    Args:
        names: Features and dimensions, as declared; None takes the default.
        sources: By feature that is an input, in the order of the schema: its source.
        dimensions: The dimensions.
        default: Features and dimensions.

    Raises:
        PydanticCustomError: One is neither, is both, or nothing is left for the candidates.
    """
    found: set[str] = set()
    for place, name in enumerate(default if names is None else names):
        path = ("serving", "once", place)
        if name in dimensions:
            if names is not None and sources.get(name, name) != name:
                message = f"{name!r} is a dimension and a feature of another source, expected one of them. Rename one."
                raise problem(path, message)
            found.update(feature for feature, source in sources.items() if source == name)
        elif name in sources:
            found.add(name)
        else:
            message = f"{name!r} is neither a feature (no cross) nor a dimension {have(name, [*dimensions, *sources])}"
            raise problem(path, message)
    if len(found) == len(sources):
        if names is None:
            return ()
        message = "got all features, expected some to be left that tell the candidates apart. Remove those of the item."
        raise problem(("serving", "once"), message)
    return tuple(name for name in sources if name in found)
