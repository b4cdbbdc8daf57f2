"""Rows of tables that hash: the same in files as in graphs."""

from __future__ import annotations

import numpy as np
import polars as pl
from numpy.typing import NDArray

from funnel.schema.learnt import FIRST, MISSING


def hashed(ids: pl.Series, buckets: int) -> NDArray[np.int32]:
    """Rows by FarmHash64 of the text, as TensorFlow has it in graphs: MISSING for null.

    Args:
        ids: Text, or whole numbers: [n].
        buckets: How many there are.

    Returns:
        int32 [n].
    """
    import tensorflow as tf  # noqa: PLC0415  # takes seconds; only hashing needs it

    distinct = ids.drop_nulls().unique()
    if not len(distinct):
        return np.full(len(ids), MISSING, np.int32)
    strings = tf.constant(distinct.cast(pl.String).to_numpy().astype(object), tf.string)
    rows = tf.strings.to_hash_bucket_fast(strings, buckets).numpy() + FIRST
    known = pl.DataFrame({"id": distinct, "row": rows.astype(np.int32)})
    found = ids.rename("id").to_frame().join(known, on="id", how="left", maintain_order="left")["row"]
    return found.fill_null(MISSING).to_numpy(writable=True)
