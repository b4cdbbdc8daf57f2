"""Verification: an export's answers to raw rows, in a process with TensorFlow alone, against the run's own predictions."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from funnel.data.origin import origin_of
from funnel.data.progress import Progress, Watch
from funnel.data.raw_rows import RawRows, raw_rows
from funnel.errors import DataError, RunError, have, listed
from funnel.locations.location import location
from funnel.locations.transfer import fetched_folder
from funnel.run import Run
from funnel.schema.features import Categorical, Numeric
from funnel.schema.funnel_schema import FunnelSchema
from funnel.serving.inputs import Field, fields_of
from funnel.serving.module import EXAMPLES, RANK
from funnel.serving.saved import Saved, model_folder, saved_signatures, smaller_tables
from funnel.verification.predictions import Predictions, predictions
from funnel.verification.process import Fresh
from funnel.verification.requests import fields_to_send, rank_requests, write_rows
from funnel.verification.verification import Difference, Verification

ROWS, TOLERANCE = 100_000, 1e-6
ROWS_FILE = "rows.npz"
ANOTHER = "Is it of another run? Export this one again."


def verify(
    export: str | Path,
    run: str | Path | Run,
    data: Any = None,
    split: Literal["train", "test"] = "test",
    *,
    rows: int = ROWS,
    tolerance: float = TOLERANCE,
    watch: Watch | None = None,
) -> Verification:
    """Send raw rows through every signature of an export, and compare with the run's predictions.

    Args:
        export: A version that `funnel export` wrote, or the folder of versions, of which the greatest is taken.
        run: The run that it is of, or its folder.
        data: A folder, or frames; None for the schema's own.
        split: Which rows of the folder.
        rows: How many, at most: whole shards of a store, and a part of the last one. All signatures get all of them but `rank`,
            which gets about 5,000 requests: the users with the most rows.
        tolerance: How large a difference of a probability may be; that of a score is divided by how much the score moves with
            its probabilities, and by its size, where these are beyond 1.
        watch: Called with each Progress.

    Raises:
        FunnelError: There is no such export or run, the export is of another schema or not whole, or the data are not right.
    """
    if rows < 1 or not (math.isfinite(tolerance) and tolerance >= 0):
        raise RunError(f"verify: got rows={rows}, tolerance={tolerance}, expected 1 or more, and 0 or more. Correct them.")
    place, tell = model_folder(location(export)), watch or (lambda _: None)
    loaded = run if isinstance(run, Run) else Run.load(run)
    with fetched_folder(place) as folder:
        return _verified(str(place), folder, loaded, data, split, rows=rows, tolerance=tolerance, watch=tell)


def _verified(
    export: str,
    folder: Path,
    loaded: Run,
    data: Any,
    split: Literal["train", "test"],
    *,
    rows: int,
    tolerance: float,
    watch: Watch,
) -> Verification:
    saved = saved_signatures(folder)
    fields = fields_of(loaded.schema, loaded.learnt, dict.fromkeys(loaded.vocabulary.terms, ()))
    _require_signatures(folder, saved, loaded.schema, fields)
    origin = origin_of(loaded.schema, data)
    of = str(loaded.path) if loaded.path is not None else "the run given"
    found = Verification(export, of, str(origin), split, tolerance)
    store = loaded.store(origin, split, labels=False)
    about = store.manifest["splits"][split]
    if bad := about["read"] - about.get("apart", 0) - store.shards(split).rows:
        found.left_out["they cannot be used (data.bad_rows)"] = bad
    found.smaller = smaller_tables(folder)
    own = predictions(loaded, store.shards(split), rows)
    with tempfile.TemporaryDirectory(prefix="funnel-") as work, closing(raw_rows(loaded.schema, origin, split)) as pieces:
        process = Fresh(folder, fields_to_send(loaded.schema, fields), Path(work))
        _Comparison(loaded.schema, own, found, Path(work)).run(process, pieces, watch)
    return found


@dataclass
class _Comparison:
    """The work itself: piece by piece, so that memory holds one.

    Attributes:
        schema: The declaration.
        own: What the run says.
        found: Takes what comes out.
        work: A folder for the files that are exchanged.
    """

    schema: FunnelSchema
    own: Predictions
    found: Verification
    work: Path

    def run(self, fresh: Fresh, pieces: Iterable[RawRows], watch: Watch) -> None:
        """Compare all rows that have predictions."""
        total, seen = len(self.own.position), 0
        with fresh:
            self.found.tensorflow = fresh.about["tensorflow"]
            pairs = [(name, output) for name in fresh.about["signatures"] for output in self.own.columns]
            each = {pair: Difference(*pair) for pair in pairs}
            for raw in pieces:
                facts, place = self.own.find(raw.position)
                seen += len(facts)
                sent = self._sendable(raw, facts)
                if sent.any():
                    self._send(fresh, raw, facts[sent], place[sent], each)
                watch(Progress("comparing", seen, total, "rows"))
                if seen == total:
                    break
        if not self.found.rows:
            where, reasons = f"{self.found.data} ({self.found.split} rows)", "; ".join(self.found.left_out)
            raise DataError(f"{where}: got none that can be sent, expected some: {reasons}. Take other rows.")
        self.found.differences = list(each.values())

    def _sendable(self, raw: RawRows, facts: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which facts the export takes as the run read them: it puts `serving_default` where a value is missing; bool [n]."""
        sent = np.ones(len(facts), bool)
        for feature in self.schema.inputs:
            if isinstance(feature, Categorical | Numeric) and feature.serving_default is not None:
                lacking = raw.lacks(feature)[facts] & sent
                if lacking.any():
                    reason = f"they lack {feature.name}, for which the export takes its serving_default"
                    self.found.left_out[reason] = self.found.left_out.get(reason, 0) + int(lacking.sum())
                sent &= ~lacking
        return sent

    def _send(
        self,
        fresh: Fresh,
        raw: RawRows,
        facts: NDArray[np.int64],
        place: NDArray[np.int64],
        each: dict[tuple[str, str], Difference],
    ) -> None:
        requests = rank_requests(self.schema, raw, facts, len(facts) / len(self.own.position))
        write_rows(self.work / ROWS_FILE, raw, facts, requests)
        answers = fresh.answers(self.work / ROWS_FILE)
        place_of = np.zeros(len(raw.position), np.int64)
        place_of[facts] = place
        for (signature, output), difference in each.items():
            asked = place_of[np.concatenate(requests)] if signature == RANK else place
            scale = self.own.scales.get(output)
            difference.add(
                answers[f"{signature}/{output}"],
                self.own.columns[output][asked],
                None if scale is None else scale[asked],
                self.own.position[asked],
            )
        self.found.rows += len(facts)
        self.found.rank_requests += len(requests)


def _require_signatures(folder: Path, saved: Mapping[str, Saved], schema: FunnelSchema, fields: Sequence[Field]) -> None:
    """Refuse an export that does not take what the run's schema declares, or does not give what it predicts."""
    expected = ["serving_default", "predict", EXAMPLES, *([RANK] if schema.given_once else [])]
    inputs = {field.name: field.dtype for field in fields}
    outputs = dict.fromkeys([*schema.probability_names, *schema.scores], "float32")
    for name in expected:
        if name not in saved:
            raise RunError(f"{folder}: has no signature {name!r} {have(name, saved)} Export the run again.")
        _require_same(folder, name, "input", saved[name].inputs, {EXAMPLES: "string"} if name == EXAMPLES else inputs)
        _require_same(folder, name, "output", saved[name].outputs, outputs)
    if more := [name for name in saved if name not in expected]:
        raise RunError(f"{folder}: has the signature {more[0]!r}, expected {listed(expected)} only. {ANOTHER}")


def _require_same(folder: Path, signature: str, what: str, there: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    where = f"{folder}: signature {signature!r}"
    if lacking := [name for name in wanted if name not in there]:
        raise RunError(f"{where} has no {what} {lacking[0]!r} of the run's schema {have(lacking[0], there)} {ANOTHER}")
    if more := [name for name in there if name not in wanted]:
        raise RunError(f"{where} has the {what} {more[0]!r}, which the run's schema has not {have(more[0], wanted)} {ANOTHER}")
    for name, dtype in wanted.items():
        if there[name] != dtype:
            raise RunError(f"{where} has the {what} {name!r} as {there[name]}, expected {dtype}. {ANOTHER}")
