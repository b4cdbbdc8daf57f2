"""Towers: a stage's own layers, what other towers tell them, and the stage's logit.

Shapes: B facts.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from funnel.model._keras import keras, tf
from funnel.model.domain import DomainGate, InDomain
from funnel.model.layers import Inputs, Stack, StarDense, joined
from funnel.model.transfer import Transfer
from funnel.schema.domain import Domain
from funnel.schema.model import Tower
from funnel.schema.transfer import Aitm


class ConditionalTower(keras.layers.Layer):
    """A stage's own layers, and the logit of the stage given its parent.

    Args:
        declared: Its layers.
        prior: The expected conditional rate, in (0, 1): the logit starts there, so that rare stages do not collapse to 0.
        seed: Of the first weights.
        domain: What its layers adapt to; None where they do not.
        transfer: How it is told by towers before it; None where it is not.
        before: The stages of these.
    """

    def __init__(
        self,
        declared: Tower,
        prior: float,
        seed: int,
        *,
        domain: Domain | None = None,
        transfer: Aitm | None = None,
        before: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._units = list(declared.units)
        self.stack = Stack(declared.units, declared.activation, declared.dropout, seed, declared.norm)
        self.gate = DomainGate(domain.units, sum(declared.units), seed) if domain is not None and declared.units else None
        self.transfer = Transfer(transfer, declared, before, seed) if transfer is not None and before else None
        bias = keras.initializers.Constant(math.log(prior) - math.log1p(-prior))
        self.logit = StarDense(1, keras.initializers.GlorotUniform(seed=seed * 1009 + 997), bias)

    def layers(self) -> Iterator[tuple[str, Any, bool]]:
        """Its layers with weights, by name; whether what enters the tower enters them."""
        for place, (name, layer) in enumerate(self.stack.layers()):
            yield name, layer, place == 0
        if self.transfer is not None:
            yield from ((f"transfer_{name}", layer, False) for name, layer in self.transfer.layers())
        yield "logit", self.logit, not self._units and self.transfer is None

    def call(
        self,
        parts: Sequence[tf.Tensor],
        index: Sequence[tf.Tensor | None] = (None,),
        training: bool = False,
        within: InDomain | None = None,
        before: Sequence[tf.Tensor] = (),
    ) -> tuple[tf.Tensor, Inputs]:
        """What `StarDense` takes -> the logit, float32 [B], and what it is made of.

        Args:
            parts: For each source float32 [N, its numbers].
            index: For each source the row of each fact, int32 [B]; None where its rows are the facts.
            training: Whether weights are learnt from it.
            within: What gates are made of, where it has some.
            before: What the towers before it made their logits of, where it is told: float32 [B, their width].
        """
        gates = tf.split(self.gate(within), self._units, axis=1) if self.gate is not None else None
        output: Inputs = self.stack(parts, index, training=training, gates=gates)
        if self.transfer is not None:
            output = (self.transfer(joined(*output), before, training=training),), (None,)
        return self.logit(*output)[:, 0], output
