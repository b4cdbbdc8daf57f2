"""The program of the fresh process: sends raw rows through every signature of a SavedModel, with TensorFlow and NumPy alone.

Started as `python -I sender.py PLAN`. It answers in JSON, a line each: first with what it is, then, for each line that names a
file of rows and one for the answers, when the answers are written. It imports nothing of funnel, nor of what funnel is made of.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from typing import Any

ABSENT = ("funnel", "keras", "tensorflow_recommenders", "tf_keras")  # what a server does not have
ROWS, ENTRIES = 1024, 2_000_000  # of a request, at most; of the latter a row may have more


# Imports of these fail from here on, as if they were not installed.
sys.modules |= dict.fromkeys(ABSENT)  # type: ignore[arg-type]
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


class Rows:
    """The raw rows of a file, joined as far as they are asked for.

    Args:
        path: The file.
        fields: The inputs: `name`, `feature`, `role`, `source`, `once`.
    """

    def __init__(self, path: str, fields: list[dict[str, Any]]) -> None:
        with np.load(path, allow_pickle=False) as file:
            self.arrays = dict(file)
        self.fields = fields
        self.facts = self.arrays["facts to send"]
        self.texts: dict[str, list[bytes]] = {}
        for field in fields:
            if field["role"] in ("id", "ids"):
                text, ends = self.arrays[f"text {field['name']}"].tobytes(), self.arrays[f"ends {field['name']}"]
                self.texts[field["name"]] = [text[a:b] for a, b in zip([0, *ends[:-1]], ends, strict=True)]
        self.tensors = {name: tf.constant(texts, tf.string) for name, texts in self.texts.items()}
        self.written: dict[tuple[str, int], bytes] = {}
        self.sources = dict.fromkeys(field["source"] for field in fields)

    @property
    def at_once(self) -> int:
        """Rows of a request, so that its padded lists fit in memory."""
        lists = [self.arrays[f"{f['feature']}/offsets"] for f in self.fields if f["role"] == "ids"]
        widest = sum(int(np.diff(offsets).max(initial=0)) for offsets in lists)
        return int(np.clip(ENTRIES // max(1, widest), 1, ROWS))

    def inputs(self, facts: Any, once: Any = None) -> dict[str, Any]:
        """A request of some facts; of one for what is given once, where that is said."""
        once = facts if once is None else once
        return {field["name"]: self._tensor(field, once if field["once"] else facts) for field in self.fields}

    def examples(self, facts: Any) -> Any:
        """A serialised `tf.Example` of each fact, without what is missing."""
        serialised = []
        for fact in facts.tolist():
            # A message's map is its entries one after the other: those of a dimension row are written once.
            features = b"".join(self._written(source, self._row(source, fact)) for source in self.sources)
            serialised.append(b"\n" + _varint(len(features)) + features)
        return tf.constant(serialised, tf.string, shape=[len(serialised)])

    def _row(self, source: str, facts: Any) -> Any:
        return self.arrays[f"index {source}"][facts] if f"index {source}" in self.arrays else facts

    def _tensor(self, field: dict[str, Any], facts: Any) -> Any:
        rows, column = self._row(field["source"], facts), self.arrays[field["feature"]]
        if field["role"] == "number":
            return tf.constant(column[rows])
        if field["role"] == "id":
            return tf.gather(self.tensors[field["name"]], column[rows])
        place, there = self._places(field, rows)
        entries = self.arrays[f"{field['feature']}/weights"] if field["role"] == "weights" else column
        padded = np.where(there, entries[place], entries.dtype.type(0))  # the first text is the empty one
        return tf.constant(padded) if field["role"] == "weights" else tf.gather(self.tensors[field["name"]], padded)

    def _places(self, field: dict[str, Any], rows: Any) -> tuple[Any, Any]:
        """Where the entries of lists stand, and which are there: [rows, longest]."""
        offsets = self.arrays[f"{field['feature']}/offsets"]
        begins, lengths = offsets[rows, None], (offsets[rows + 1] - offsets[rows])[:, None]
        number = np.arange(int(lengths.max(initial=0)))
        there = number < lengths
        return np.where(there, begins + number, 0), there

    def _written(self, source: str, row: int) -> bytes:
        if (found := self.written.get((source, int(row)))) is not None:
            return found
        features = {}
        for field in self.fields:
            if field["source"] == source and (feature := self._feature(field, row)) is not None:
                features[field["name"]] = feature
        made = tf.train.Features(feature=features).SerializeToString()
        if f"index {source}" in self.arrays:
            self.written[source, int(row)] = made
        return made

    def _feature(self, field: dict[str, Any], row: int) -> Any:
        column, texts = self.arrays[field["feature"]], self.texts.get(field["name"], [])
        if field["role"] == "number":
            return None if np.isnan(column[row]) else _floats(column[row : row + 1])
        if field["role"] == "id":
            text = texts[column[row]]
            return _bytes([text]) if text else None
        begin, end = self.arrays[f"{field['feature']}/offsets"][row : row + 2]
        if field["role"] == "weights":
            weights = self.arrays[f"{field['feature']}/weights"][begin:end]
            return _floats(weights)
        ids = [texts[place] for place in column[begin:end].tolist()]
        return _bytes(ids)


def _bytes(values: list[bytes]) -> Any:
    return tf.train.Feature(bytes_list=tf.train.BytesList(value=values))


def _floats(values: Any) -> Any:
    return tf.train.Feature(float_list=tf.train.FloatList(value=values.tolist()))


def _varint(number: int) -> bytes:
    """A length, as protocol buffers write it."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def answers(signatures: Any, rows: Rows) -> dict[str, Any]:
    """By signature and output: the values of all rows; of `rank` those of its requests, in their order."""
    found: dict[str, list[Any]] = {}

    def send(name: str, inputs: dict[str, Any]) -> None:
        for output, values in signatures[name](**inputs).items():
            found.setdefault(f"{name}/{output}", []).append(values.numpy())

    for begin in range(0, len(rows.facts), rows.at_once):
        facts = rows.facts[begin : begin + rows.at_once]
        inputs = rows.inputs(facts)
        for name in signatures:
            if name not in ("rank", "examples"):
                send(name, inputs)
        send("examples", {"examples": rows.examples(facts)})
    if "rank" in signatures:
        bounds = rows.arrays["rank bounds"]
        for begin, end in pairwise(bounds):
            facts = rows.arrays["rank rows"][begin:end]
            send("rank", rows.inputs(facts, facts[:1]))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def main(plan: str) -> None:
    """Load the SavedModel, and answer as long as there are questions."""
    with open(plan, encoding="utf-8") as file:  # noqa: PTH123  # no more imports than needed
        told = json.load(file)
    tf.config.threading.set_inter_op_parallelism_threads(1)  # operations of small requests are shorter than handing them over
    loaded = tf.saved_model.load(told["export"])  # held: its variables go with it
    signatures = loaded.signatures
    say({"tensorflow": tf.__version__, "signatures": sorted(signatures)})
    for line in sys.stdin:
        question = json.loads(line)
        np.savez(question["answers"], **answers(signatures, Rows(question["rows"], told["fields"])))
        present = [name for name in ABSENT if sys.modules.get(name) is not None]
        if present:
            raise ImportError(f"{present[0]} was imported, expected TensorFlow to do without")
        say({})


def say(answer: dict[str, Any]) -> None:
    """A line for the process that asks."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except Exception as error:  # whatever it is, it is told
        say({"error": f"{type(error).__name__}: {error}"})
