"""How fast star batches come out of a store, as `tf.data` gives them to training: nothing is trained.

    python benchmarks/feeding.py SCHEMA STORE [--batch-size 4096] [--seconds 6]

Prints JSON: by way of shuffling, facts a second, and how many facts of a batch share a row of the first dimension. The first
pass, in which checksums are compared and files are mapped, is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import funnel

WAYS = {"group": "{kind: group}", "window of 32,768": "{kind: window, rows: 32768}", "row": "{kind: row}"}


def main() -> None:
    """Measure each way."""
    parser = argparse.ArgumentParser(description="How fast star batches come out of a store.")
    parser.add_argument("schema", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each measurement")
    flags = parser.parse_args()
    found = {}
    for way, shuffle in WAYS.items():
        overrides = [f"train.shuffle={shuffle}", f"train.batch_size={flags.batch_size}"]
        schema = funnel.load_schema(flags.schema, overrides)
        data = funnel.dataset(schema, flags.store, first_epoch=1)
        if not found:
            rate(data, schema, flags.seconds)
        found[way] = rate(data, schema, flags.seconds)
    print(json.dumps(found))


def rate(data: Any, schema: Any, seconds: float) -> dict[str, float]:
    """Facts a second, over whole passes or so many seconds."""
    first = schema.data.dimensions[0].name
    facts, used = 0, 0
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        for batch, labels in data:
            facts += int(labels.shape[0])
            used += int(batch[f"index/{first}"].numpy().max()) + 1
            if time.perf_counter() - begun > seconds:
                break
    return {"rate": facts / (time.perf_counter() - begun), "shared": facts / used}


if __name__ == "__main__":
    main()
