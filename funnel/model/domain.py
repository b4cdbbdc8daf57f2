"""What adapts a network to the domain of each row: gates on what enters it, and on its towers (Chang et al., 2023: PEPNet).

Shapes: B facts, N rows of a source, U units that are gated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from funnel.model._keras import keras, tf
from funnel.model.layers import Inputs, StarDense, take
from funnel.schema.data import FACTS
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import FIRST


class InDomain(NamedTuple):
    """What gates are made of.

    Attributes:
        inputs: All that enters the body; no gradient goes through it.
        domain: The domain's embedding, and the row of each fact: what `StarDense` takes.
        known: Whether the domain has a row of its own: bool [B].
    """

    inputs: Inputs
    domain: Inputs
    known: tf.Tensor


class DomainGate(keras.layers.Layer):
    """`2 sigmoid(W' relu(W [d, x] + b) + b')` (GateNU, equation 3), and 1 where the domain is not known.

    A dimension's share of the hidden layer is computed once for each of its rows.

    Args:
        units: Of the hidden layer.
        gated: How many numbers are gated.
        seed: Of the first weights.
        inputs: Whether these are all that enters the body, one by one.
    """

    def __init__(self, units: int, gated: int, seed: int, *, inputs: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        draws = [keras.initializers.GlorotUniform(seed=seed * 1009 + 701 + place) for place in range(3)]
        # Apart, so that the kernel of the inputs has a row for each of them and no more, as all first layers have.
        self.hidden, self.domain = StarDense(units, draws[0]), StarDense(units, draws[1], use_bias=False)
        self.gates, self._inputs = StarDense(gated, draws[2]), inputs
        self.gates.of_inputs = (1,)

    def layers(self) -> list[tuple[str, Any, bool]]:
        """Its layers, by name; whether an axis of its kernel is the inputs."""
        return [("hidden", self.hidden, True), ("domain", self.domain, False), ("gates", self.gates, self._inputs)]

    def call(self, within: InDomain) -> tf.Tensor:
        """float32 [B, U], between 0 and 2."""
        hidden = tf.nn.relu(self.hidden(*within.inputs) + self.domain(*within.domain))
        gates_BU = 2.0 * tf.math.sigmoid(self.gates([hidden]))
        return tf.where(within.known[:, tf.newaxis], gates_BU, tf.ones_like(gates_BU))


def rows_of_domain(schema: FunnelSchema, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """The row of each fact's domain in its table: int32 [B]."""
    assert schema.model.domain is not None  # noqa: S101  # for the type checker
    name = schema.model.domain.feature
    source = schema.source_of(schema.feature(name))
    rows_N = batch[f"{source}/{name}"]
    return rows_N if source == FACTS else tf.gather(rows_N, batch[f"index/{source}"])


def in_domain(schema: FunnelSchema, batch: Mapping[str, tf.Tensor], inputs: Inputs, domain_ND: tf.Tensor) -> InDomain:
    """What gates are made of, for a batch.

    Args:
        schema: With a domain.
        batch: The batch.
        inputs: All that enters the body.
        domain_ND: The embedding of the domain, for each row of its source.
    """
    assert schema.model.domain is not None  # noqa: S101  # for the type checker
    source = schema.source_of(schema.feature(schema.model.domain.feature))
    index = None if source == FACTS else batch[f"index/{source}"]
    parts, of_fact = inputs
    return InDomain(
        ([tf.stop_gradient(part) for part in parts], of_fact),
        ((domain_ND,), (index,)),
        rows_of_domain(schema, batch) >= FIRST,
    )


def gated(inputs: Inputs, gates_BK: tf.Tensor) -> list[tf.Tensor]:
    """Each source's part of the inputs, times its gates: float32 [B, its numbers], a row for each fact."""
    parts, index = inputs
    sizes = [part.shape[1] for part in parts]
    wide = [part if of_fact is None else take(part, of_fact) for part, of_fact in zip(parts, index, strict=True)]
    return [part * gates for part, gates in zip(wide, tf.split(gates_BK, sizes, axis=1), strict=True)]


def split_like(gated_BK: tf.Tensor, pieces: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Columns cut into pieces as wide as these."""
    return tf.split(gated_BK, [piece.shape[1] for piece in pieces], axis=1)
