"""The network: a star batch in, the logit of every tower out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import accumulate
from typing import Any, NamedTuple

from funnel.model._keras import keras, tf
from funnel.model.bottom import Bottom, numbers_of
from funnel.model.layers import Inputs, joined
from funnel.model.packing import packed
from funnel.model.sampling import sampled_logits
from funnel.model.stored import Tables
from funnel.model.tower import ConditionalTower
from funnel.schema.data import FACTS
from funnel.schema.features import Bag, Numeric
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.layout import layout
from funnel.schema.learnt import MISSING, Learnt, cumulative_rates
from funnel.schema.objective import Dcmt, Division
from funnel.schema.ordered import ordered
from funnel.schema.topology import with_towers
from funnel.schema.transfer import Aitm, towers_before

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
        self._declared, self._learnt = schema, learnt
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
        model, schema = self._declared.model, self._declared
        before = [schema.stage_names[k] for k in self._before(place)]
        return ConditionalTower(
            model.tower_of(name.removesuffix(TWIN)),
            prior,
            schema.train.seed * 101 + place + 1,
            domain=model.domain if model.domain is not None and model.domain.towers else None,
            transfer=model.transfer if isinstance(model.transfer, Aitm) else None,
            before=before,
            name=name,
        )

    def _before(self, place: int) -> tuple[int, ...]:
        """The stages whose towers that at a place hears of; a twin, whose place comes after those of all stages, of none."""
        told = isinstance(self._declared.model.transfer, Aitm) and place < len(self._declared.stages)
        return towers_before(self._declared.topology, place) if told else ()

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
        """By feature: its first row in the kernel of a first layer, and how many it has; in the order of `call`.

        Products of inputs that a body puts after them follow, by names that no feature has.
        """
        sizes: dict[str, int] = {}
        embedded: list[str] = []
        numbers = numbers_of(self._declared, self._learnt)
        for source in self._declared.sources:
            own, here = [one for one in numbers if one.source == source], dict[str, int]()
            vectors = {name: size for one in ordered(self._declared) if one.owner == source for name, size in one.gives.items()}
            for dim in self.bottoms[0].dims:
                here |= {lookup.name: dim for width in self.widths if width.dim == dim for lookup in width.lookups[source]}
                here |= {one.feature.name: dim for one in own if one.embedded and one.size == dim}
                here |= {name: dim for name, size in vectors.items() if size == dim}
            embedded += here
            sizes |= here | {one.feature.name: one.size for one in own if not one.embedded}
        sizes |= self.bottoms[0].body.added(embedded, plain=len(embedded) < len(sizes))
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
        """The layers above the embeddings: name, layer, and whether an axis of its kernel is the inputs."""
        for name, bottom in zip(self.bottom_names(), self.bottoms, strict=True):
            yield from ((f"{name}/{inner}", layer, first) for inner, layer, first in bottom.layers())
        first = self.bottoms[0].body.passes
        for tower in [*self.towers, *self.twins]:
            for name, layer, enters in tower.layers():
                yield f"{tower.name}/{name}", layer, first and enters
            if tower.gate is not None:
                yield from ((f"{tower.name}/gate_{name}", layer, enters) for name, layer, enters in tower.gate.layers())

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
        made = [bottom(batch, training=training, tables=own) for bottom, own in zip(self.bottoms, read, strict=True)]
        outputs = [(output, one.within) for one in made for output in one.outputs]
        # One for all, or each tower's own.
        below = {tower.name: outputs[place if len(outputs) > 1 else 0] for place, tower in enumerate(self.towers)}
        found, said = list[tf.Tensor](), dict[int, Inputs]()
        for k, tower in zip(with_towers(self._declared.topology), self.towers, strict=True):
            entered, within = below[tower.name]
            before = [self._heard(k, said[other]) for other in self._before(k)]
            logit_B, said[k] = tower(*entered, training=training, within=within, before=before)
            found.append(logit_B)
        second = {}
        for twin in self.twins if twins else ():
            stage = twin.name.removesuffix(TWIN)
            entered, within = below[stage]
            second[stage], _ = twin(*entered, training=training, within=within)
        return Logits(tuple(found), second)

    def _heard(self, stage: int, said: Inputs) -> tf.Tensor:
        """What the tower of a stage hears of one before it; no gradient goes back where it is declared to end."""
        wide = joined(*said)
        return tf.stop_gradient(wide) if stage in self._declared.stopped else wide


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
