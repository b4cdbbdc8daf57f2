"""What weights cost beside the objective: squares of the embeddings that are looked up, and of kernels.

Shapes: E entries of lookups, Q unique rows, D numbers per row.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain

from funnel.model._keras import tf
from funnel.model.network import Network
from funnel.schema.data import FACTS
from funnel.schema.layout import SIZES, Width
from funnel.schema.training import L2


def penalty(declared: L2, network: Network, batch: Mapping[str, tf.Tensor], facts: tf.Tensor, total: tf.Tensor) -> tf.Tensor:
    """This replica's share of what weights cost: float32 []; the shares of all replicas add up to what one would have.

    An embedding costs as often as facts look it up, each time a share of 1 / total, as the facts' own losses do (Rendle, 2012,
    libFM): the balance of the two is that of any other batch size. No row is read that the step does not read anyway.

    Args:
        declared: The factors.
        network: Called with the batch, this one last.
        batch: Packed.
        facts: How many it has: int32 [].
        total: How many all replicas have in this step: int32 [].
    """
    found = tf.constant(0.0)
    if declared.embedding:
        for width in network.widths:
            uses_Q = tf.stop_gradient(_uses(width, batch))
            for bottom in network.bottoms:
                rows_QD = bottom.embeddings.last_read[width.dim]
                squares = tf.reduce_sum(uses_Q * tf.reduce_sum(rows_QD * rows_QD, axis=1))
                found += declared.embedding * tf.math.divide_no_nan(squares, tf.cast(total, tf.float32))
    if declared.dense:
        kernels = [v for _, layer, _ in network.layers() for v in layer.trainable_variables if len(v.shape) > 1]
        squares = tf.add_n([tf.reduce_sum(tf.square(tf.convert_to_tensor(kernel))) for kernel in kernels])
        found += declared.dense * squares * tf.math.divide_no_nan(tf.cast(facts, tf.float32), tf.cast(total, tf.float32))
    return found


def _uses(width: Width, batch: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """How often facts look up each unique row, an entry of a list as much as it counts in it: float32 [Q]."""
    unique = tf.shape(batch[width.unique_key])[0]
    sources = {lookup.key.partition("/")[0] for lookup in [*chain(*width.lookups.values()), *width.ordered]}
    facts = {
        source: tf.ones([batch[SIZES][place]]) if source == FACTS else _counted(batch[f"index/{source}"], batch[SIZES][place])
        for place, source in enumerate(width.lookups)
        if source in sources
    }
    uses_Q = tf.zeros([unique])
    if any(width.lookups.values()):
        each = [tf.repeat(facts[source], len(lookups)) for source, lookups in width.lookups.items() if lookups]
        entries_E2, weights_E = batch[width.entries_key], batch[width.weights_key]
        uses_E = tf.gather(tf.concat(each, axis=0), entries_E2[:, 0]) * tf.abs(weights_E)
        uses_Q += tf.math.unsorted_segment_sum(uses_E, entries_E2[:, 1], unique)
    if width.ordered:
        # As if all entries of a sequence counted alike: what attention makes of them is not known here.
        each = []
        for lookup in width.ordered:
            offsets = batch[f"{lookup.key}/offsets"]
            lengths_N = offsets[1:] - offsets[:-1]
            share_N = tf.math.divide_no_nan(facts[lookup.key.partition("/")[0]], tf.cast(lengths_N, tf.float32))
            each.append(tf.repeat(share_N, lengths_N))
        uses_Q += tf.math.unsorted_segment_sum(tf.concat(each, axis=0), batch[width.places_key], unique)
    return uses_Q


def _counted(index_B: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    return tf.math.unsorted_segment_sum(tf.ones_like(index_B, tf.float32), index_B, rows)
