"""The network: a star batch in, the logit of every tower out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from funnel.model._keras import keras, tf
from funnel.model.bottom import Bottom
from funnel.model.layers import ConditionalTower
from funnel.model.numbers import columns_of
from funnel.model.packing import packed
from funnel.model.sampling import sampled_logits
from funnel.model.stored import Tables
from funnel.schema.features import Bag, Numeric
from funnel.schema.funnel_schema import FACTS, FunnelSchema
from funnel.schema.layout import layout
from funnel.schema.learnt import MISSING, Learnt, cumulative_rates, table_of
from funnel.schema.objective import Dcmt, Division
from funnel.schema.ordered import ordered
from funnel.schema.topology import with_towers

TWIN = ".twin"  # after a stage's name: no stage can be called so


class Logits(NamedTuple):
    """What the towers say, each float32 [B].

    Attributes:
        towers: Of each stage that is no join, in their order.
        twins: By stage: of its second tower, where the objective has some and they were asked for.
    """

    towers: tuple[tf.Tensor, ...]
    twins: dict[str, tf.Tensor]


class Network(keras.layers.Layer):
    """Embeddings and body, shared or not, and a tower per stage that is no join.

    Args:
        schema: The declaration.
        learnt: Sizes, scales and priors.
    """

    def __init__(self, schema: FunnelSchema, learnt: Learnt, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._declared = schema
        self.widths = layout(schema, learnt)
        seed, firsts = schema.train.seed, first_rates(schema, learnt)
        stages = [(k, schema.stage_names[k]) for k in with_towers(schema.topology)]
        shared = schema.model.share_embeddings
        # The first has the seed itself, so that a tower starts the same with others as alone.
        self.bottoms = [
            Bottom(schema, learnt, self.widths, len(stages) if shared else 1, seed + 7919 * place)
            for place in range(1 if shared else len(stages))
        ]
        self.towers = [self._tower(name, firsts[k], k) for k, name in stages]
        # What a twin of DCMT learns is the mirrored label.
        mirrored = isinstance(schema.objective, Dcmt)
        self.twins = [
            self._tower(f"{name}{TWIN}", 1 - firsts[k] if mirrored else firsts[k], len(schema.stages) + k)
            for k, name in stages
            if schema.objective.twins and schema.topology[k].is_partial
        ]

    def _tower(self, name: str, prior: float, place: int) -> ConditionalTower:
        declared = self._declared.model.tower_of(name.removesuffix(TWIN))
        return ConditionalTower(declared, prior, self._declared.train.seed * 101 + place + 1, name=name)

    @property
    def tables(self) -> list[Any]:
        """All embedding variables."""
        return [variable for bottom in self.bottoms for variable in bottom.embeddings.trainable_variables]

    @property
    def gathered(self) -> Mapping[Any, tf.Tensor]:
        """By reference of a table: its rows as the last call read them, float32 [Q, D]; for the optimiser of the same step."""
        return {table: rows for bottom in self.bottoms for table, rows in bottom.embeddings.gathered.items()}

    @property
    def inputs(self) -> dict[str, tuple[int, int]]:
        """By feature: its first row in the kernel of a first layer, and how many it has; in the order of `call`."""
        sizes: dict[str, int] = {}
        for source in self._declared.sources:
            for width in self.widths:
                sizes |= {lookup.name: width.dim for lookup in width.lookups[source]}
            for together in ordered(self._declared):
                sizes |= together.gives if together.owner == source else {}
            for feature in self._declared.features:
                if isinstance(feature, Numeric) and table_of(feature) is None and self._declared.source_of(feature) == source:
                    sizes[feature.name] = columns_of(feature)
        begins = accumulate(sizes.values(), initial=0)
        return {name: (begin, size) for (name, size), begin in zip(sizes.items(), begins, strict=False)}

    def bottom_names(self) -> tuple[str, ...]:
        """What each bottom's layers are called: `body` where it is shared, else `click/body`."""
        return (
            ("body",)
            if len(self.bottoms) < len(self.towers) or len(self.towers) == 1
            else tuple(f"{tower.name}/body" for tower in self.towers)
        )

    def layers(self) -> Iterator[tuple[str, Any, bool]]:
        """The layers above the embeddings: name, layer, and whether it is a first one, which the inputs enter."""
        for name, bottom in zip(self.bottom_names(), self.bottoms, strict=True):
            yield from ((f"{name}/{inner}", layer, first) for inner, layer, first in bottom.layers())
        first = self.bottoms[0].body.passes
        for tower in [*self.towers, *self.twins]:
            for place, (name, layer) in enumerate([*tower.stack.layers(), ("logit", tower.logit)]):
                yield f"{tower.name}/{name}", layer, first and place == 0

    def call(
        self, batch: Mapping[str, tf.Tensor], training: bool = False, twins: bool = False, tables: Tables | None = None
    ) -> Logits:
        """The towers' logits for a star batch, packed or not; those of twins where they are asked for.

        Args:
            batch: The batch; packed, if so, for the tables.
            training: Whether weights are learnt from it.
            twins: Whether they are asked for.
            tables: What is read in the place of its own tables.
        """
        batch = packed(self._declared, self.widths if tables is None else tables.widths, batch)
        read = [None] * len(self.bottoms) if tables is None else tables.by_bottom
        outputs = [
            output
            for bottom, own in zip(self.bottoms, read, strict=True)
            for output in bottom(batch, training=training, tables=own)
        ]
        # One for all, or each tower's own.
        below = {tower.name: outputs[place if len(outputs) > 1 else 0] for place, tower in enumerate(self.towers)}
        found = tuple(tower(*below[tower.name], training=training) for tower in self.towers)
        second = {}
        for twin in self.twins if twins else ():
            stage = twin.name.removesuffix(TWIN)
            second[stage] = twin(*below[stage], training=training)
        return Logits(found, second)


def first_rates(schema: FunnelSchema, learnt: Learnt) -> tuple[float, ...]:
    """By stage: the rate at which its tower starts, among the rows that it learns from."""
    rates = list(learnt.priors)
    if schema.sampling is not None and schema.sampling.correction == "inverse":
        towers = with_towers(schema.topology)
        kept = sampled_logits(schema, [math.log(rates[k]) - math.log1p(-rates[k]) for k in towers])
        for k, logit in zip(towers, kept, strict=True):
            rates[k] = 1 / (1 + math.exp(-logit))
    return cumulative_rates(rates, schema.topology) if isinstance(schema.objective, Division) else tuple(rates)


def blank_batch(schema: FunnelSchema) -> dict[str, tf.Tensor]:
    """A star batch of one row with nothing in it: enough to create all variables."""
    batch: dict[str, tf.Tensor] = {f"index/{source}": tf.constant([0]) for source in schema.sources if source != FACTS}
    for feature in schema.features:
        key = f"{schema.source_of(feature)}/{feature.name}"
        match feature:
            case Numeric():
                batch[key] = tf.constant([float("nan")])
            case Bag():
                batch |= {key: tf.zeros([0], tf.int32), f"{key}/offsets": tf.constant([0, 0])}
                batch |= {f"{key}/weights": tf.zeros([0])} if feature.numbered else {}
            case _:
                batch[key] = tf.constant([MISSING])
    return batch
