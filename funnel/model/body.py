"""A body: its parts, one after another, between the embeddings and the towers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from funnel.model._keras import keras
from funnel.model.custom import CustomPart
from funnel.model.experts import MixtureOfExperts, ProgressiveExperts
from funnel.model.interactions import CrossNetwork, DotProducts, FactorizationMachine, Fields
from funnel.model.layers import Inputs, Stack
from funnel.schema.model import Custom, Dcn, Dot, Fm, Mmoe, Model, Ple, SharedBottom
from funnel.schema.model import Part as Declared

PAIRS, NUMBERS = "pairs of all", "numbers"  # not names of features: with a space, and beside a star


class Body(keras.layers.Layer):
    """The parts of a body.

    Args:
        model: The declaration.
        widths: Of the embeddings.
        numbers: How many enter that are not embedded.
        towers: How many stand on it.
        seed: Of the first weights and of dropout.
    """

    def __init__(self, model: Model, widths: Sequence[int], numbers: int, towers: int, seed: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        # As wide as the embeddings where these are alike.
        dim = widths[0] if len(widths) == 1 else model.embedding_dim

        def made(part: Declared, seed: int) -> Any:  # noqa: PLR0911  # one for each kind
            match part:
                case SharedBottom():
                    return Stack(part.units, part.activation, part.dropout, seed)
                case Dcn():
                    return CrossNetwork(part.layers, part.rank, seed)
                case Fm():
                    return FactorizationMachine(widths, dim, numbers, seed)
                case Dot():
                    return DotProducts(widths, dim, seed)
                case Mmoe():
                    return MixtureOfExperts(part, towers, seed)
                case Ple():
                    return ProgressiveExperts(part, towers, seed)
                case Custom():
                    return CustomPart(part, seed)

        # Numbers alone are one vector, and have no other to be multiplied with.
        there = [part for part in model.parts if widths or not isinstance(part, Dot)]
        self.parts = [made(part, seed * 101 + 13 * place) for place, part in enumerate(there)]

    @property
    def passes(self) -> bool:
        """Whether each input has its place in what comes out, which products of them may follow."""
        return all(_keeps_places(part) for part in self.parts)

    def added(self, embedded: Sequence[str], *, plain: bool) -> dict[str, int]:
        """What the first part puts after the inputs: by name, how many numbers; in their order.

        Args:
            embedded: The embedded features, in the order in which they enter.
            plain: Whether any number enters as one.
        """
        match self.parts[:1]:
            case [FactorizationMachine() as part]:
                return {PAIRS: part.dim}
            case [DotProducts()]:
                names = [*embedded, *([NUMBERS] if plain else [])]
                pairs = ((names[row], names[column]) for row in range(len(names)) for column in range(row))
                # Whichever comes first, the product is the same.
                return {" * ".join(sorted(pair)): 1 for pair in pairs}
        return {}

    def layers(self) -> Iterator[tuple[str, Any, bool]]:
        """The layers with weights: name, layer, and whether an axis of its kernel is the inputs."""
        entered = True
        for place, part in enumerate(self.parts):
            prefix = f"{place}/" if len(self.parts) > 1 else ""
            match part:
                case FactorizationMachine() | DotProducts():
                    yield f"{prefix}vectors", part, False
                    continue
                case CustomPart():
                    yield f"{prefix}custom", part, entered
                    entered = False
                    continue
                case Stack():
                    found: Any = ((name, layer, at == 0) for at, (name, layer) in enumerate(part.layers()))
                case _:
                    found = part.layers()
            for name, layer, first in found:
                yield f"{prefix}{name}", layer, first and entered
            entered = entered and _keeps_places(part)

    def call(self, inputs: Inputs, fields: Sequence[Fields], training: bool = False) -> list[Inputs]:
        """What `StarDense` takes -> the same for all towers, or for each.

        Args:
            inputs: All that enters.
            fields: The same, source by source.
            training: Whether weights are learnt from it.
        """
        for part in self.parts:
            match part:
                case FactorizationMachine() | DotProducts():
                    inputs = (*inputs[0], part(fields)), (*inputs[1], None)
                case MixtureOfExperts() | ProgressiveExperts():
                    return part(*inputs, training=training)
                case CrossNetwork():
                    inputs = part(*inputs)
                case _:
                    inputs = part(*inputs, training=training)
        return [inputs]


def _keeps_places(part: Any) -> bool:
    empty = isinstance(part, Stack) and not part.dense
    return empty or isinstance(part, CrossNetwork | FactorizationMachine | DotProducts)
