"""How long an export takes to answer: one process, so many threads on as many cores, the ways in turns.

    python benchmarks/serving_once.py EXPORT --threads 1 [--seconds 20]

Prints JSON: by way and candidates the milliseconds of each request, by the clock and of the processor.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported

from serving_requests import Columns, predict_request, rank_request

from funnel.model._keras import tf
from funnel.training.process import peak_memory

# Of one round, by way and candidates: how many requests, so that a slow way does not take all of the time.
TIMES = {("rank", 1): 16, ("rank", 100): 16, ("rank", 1000): 16, ("predict", 1): 8, ("predict", 100): 2, ("predict", 1000): 1}
DIFFERENT = {"rank": 16, "predict": 4}  # requests, of each number of candidates; those that repeat lists are large
WARM = 4


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description="How long an export takes to answer.")
    parser.add_argument("export")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--seconds", type=float, default=20)
    flags = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: flags.threads])
    tf.config.threading.set_intra_op_parallelism_threads(flags.threads)
    tf.config.threading.set_inter_op_parallelism_threads(flags.threads)
    print(json.dumps(measured(flags.export, flags.seconds)))


def measured(export: str, seconds: float) -> dict[str, Any]:
    """The seconds it takes to load, the peak of memory, and by way and candidates milliseconds of each request."""
    begun = time.perf_counter()
    signatures = tf.saved_model.load(export).signatures
    loading = time.perf_counter() - begun
    asked = {(way, count): [_tensors(way, count, seed) for seed in range(DIFFERENT[way])] for way, count in TIMES}
    for (way, _), requests in asked.items():
        for request in requests[:WARM]:
            signatures[way](**request)
    clock: dict[tuple[str, int], list[float]] = {key: [] for key in asked}
    processor: dict[tuple[str, int], list[float]] = {key: [] for key in asked}
    begun = time.perf_counter()
    while time.perf_counter() - begun < seconds:
        for key, times in TIMES.items():
            for _ in range(times):
                request = asked[key][len(clock[key]) % len(asked[key])]
                at, used = time.perf_counter(), time.process_time()
                signatures[key[0]](**request)
                clock[key].append((time.perf_counter() - at) * 1e3)
                processor[key].append((time.process_time() - used) * 1e3)
    runs = [{"way": way, "candidates": n, "clock": clock[way, n], "processor": processor[way, n]} for way, n in asked]
    return {"loading": loading, "peak": peak_memory(), "runs": runs}


def _tensors(way: str, count: int, seed: int) -> dict[str, Any]:
    request: Columns = rank_request(count, seed)
    return {name: tf.constant(column) for name, column in (request if way == "rank" else predict_request(request)).items()}


if __name__ == "__main__":
    main()
