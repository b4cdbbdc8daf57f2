"""Exports as large as one of the real Ali-CCP data, without a fit.

python benchmarks/serving_made.py FOLDER float32 int8
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import polars as pl
from serving_requests import IDS, SCHEMA

from funnel.data.vocabulary import Vocabulary
from funnel.model.funnel_model import build_model
from funnel.model.network import blank_batch
from funnel.run import Run
from funnel.schema.learnt import FIRST, Learnt
from funnel.schema.reader import load_schema


def main() -> None:
    """Make them. Weights are the first ones, which cost as much as learnt ones."""
    folder, *kinds = sys.argv[1:]
    schema = load_schema(SCHEMA)
    terms = {name: pl.Series(name, np.arange(1, count + 1)).cast(pl.String) for name, count in IDS.items()}
    learnt = Learnt(rows={name: FIRST + count for name, count in IDS.items()}, scales={}, priors=(0.04, 0.005))
    model = build_model(schema, learnt)
    model.network(blank_batch(schema))
    run = Run(schema, learnt, Vocabulary(terms), model, [], {}, {})
    for kind in kinds:
        run.export(Path(folder) / kind, tables=kind)


if __name__ == "__main__":
    main()
