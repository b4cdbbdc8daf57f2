"""The run folder: all of a fit, to evaluate, predict and export from, here or elsewhere."""

from __future__ import annotations

import json
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import funnel
from funnel.data.encode import Star, encode
from funnel.data.origin import origin_of
from funnel.data.raw_star import Split, read_star
from funnel.data.vocabulary import Vocabulary
from funnel.errors import DataError, RunError
from funnel.evaluation.predict import Predictor, columns, cumulative
from funnel.evaluation.report import Report, judge
from funnel.model._keras import tf
from funnel.model.funnel_model import FunnelModel, build_model
from funnel.model.network import blank_batch
from funnel.schema.funnel_schema import FunnelSchema
from funnel.schema.learnt import Learnt, vocabulary_tables
from funnel.schema.reader import dump_schema, load_schema
from funnel.serving.export import export

SCHEMA, LEARNT, VOCABULARY, WEIGHTS = "schema.yaml", "learnt.json", "vocabulary", "weights"
HISTORY, METRICS, MANIFEST = "history.json", "metrics.json", "manifest.json"


@dataclass
class Run:
    """A fitted funnel.

    Attributes:
        schema: The declaration, complete.
        learnt: Sizes, scales and priors.
        vocabulary: The ids that have a row of their own.
        model: The fitted model.
        history: By epoch: losses, validation scores, rows and seconds.
        metrics: By split: the report. Empty where nothing was evaluated.
        manifest: Versions, seed, data, counts.
        path: The folder; None before it is saved.
    """

    schema: FunnelSchema
    learnt: Learnt
    vocabulary: Vocabulary
    model: FunnelModel
    history: list[dict[str, Any]]
    metrics: dict[str, Any]
    manifest: dict[str, Any]
    path: Path | None = None

    @cached_property
    def _predictor(self) -> Predictor:
        return Predictor(self.model)

    def save(self, path: str | Path) -> Path:
        """Write the folder; either all of it is there afterwards, or nothing new.

        Raises:
            RunError: Something is already there.
        """
        path = Path(path)
        with whole_folder(path) as folder:
            (folder / SCHEMA).write_text(dump_schema(self.schema), encoding="utf-8")
            (folder / LEARNT).write_text(self.learnt.model_dump_json(indent=1), encoding="utf-8")
            self.vocabulary.save(folder / VOCABULARY)
            tf.train.Checkpoint(network=self.model.network).write(str(folder / WEIGHTS))
            for name, content in ((HISTORY, self.history), (METRICS, self.metrics), (MANIFEST, self.manifest)):
                (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        self.path = path
        return path

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Read what `save` wrote.

        Raises:
            RunError: The folder is missing or not whole.
        """
        path = Path(path)
        lacking = [name for name in (SCHEMA, LEARNT, f"{WEIGHTS}.index", MANIFEST) if not (path / name).is_file()]
        if lacking:
            what = f"lacks {lacking[0]}" if path.is_dir() else "is no folder"
            raise RunError(f"{path}: {what}, expected a run that `funnel fit` wrote. Correct the path, or fit again.")
        schema = load_schema(path / SCHEMA)
        try:
            learnt = Learnt.model_validate_json((path / LEARNT).read_text(encoding="utf-8"))
            history, metrics, manifest = (json.loads((path / name).read_text()) for name in (HISTORY, METRICS, MANIFEST))
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: cannot be read: {str(error).splitlines()[0]}. The run is not whole: fit again.") from None
        vocabulary = Vocabulary.load(path / VOCABULARY, vocabulary_tables(schema))
        model = build_model(schema, learnt, {table: list(terms) for table, terms in vocabulary.terms.items()})
        model.network(blank_batch(schema))
        try:
            tf.train.Checkpoint(network=model.network).read(str(path / WEIGHTS)).assert_existing_objects_matched()
        except (tf.errors.OpError, AssertionError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise RunError(f"{path / WEIGHTS}: do not fit the schema: {reason}. The run is not whole: fit again.") from None
        return cls(schema, learnt, vocabulary, model, history, metrics, manifest, path)

    def star(self, data: Any = None, split: Split = "test", *, labels: bool) -> Star:
        """Rows of a split, encoded with this run's vocabulary."""
        return encode(self.schema, read_star(self.schema, origin_of(self.schema, data), split, labels=labels), self.vocabulary)

    def evaluate(self, data: Any = None, split: Split = "test") -> Report:
        """Judge every stage on a split of the schema's data, of another folder, or on frames.

        Raises:
            DataError: The data are not what the schema says.
        """
        return self.judge(self.star(data, split, labels=True), None)

    def judge(self, star: Star, rows: np.ndarray | None) -> Report:
        """Judge every stage on some facts with labels; None for all of them."""
        if star.labels is None:
            raise DataError("got rows without labels, expected some. Read them with their labels.")
        rows = np.arange(star.rows) if rows is None else rows
        conditional = self._predictor.logits(star, rows, self.schema.evaluate.batch_size)
        return judge(
            names=self.schema.stage_names,
            conditional_names=self.schema.conditional_names,
            parents=self.schema.parents,
            space=self.schema.space,
            labels=star.labels[rows],
            conditional_logits=conditional,
            cumulative_logits=cumulative(self.model, conditional),
            groups=None if star.groups is None else star.groups[rows],
        )

    def predict(self, data: Any = None, split: Split = "test") -> dict[str, np.ndarray]:
        """Every probability by name for every row, in the order of the rows: float32 [rows]. Needs no labels."""
        star = self.star(data, split, labels=False)
        logits = self._predictor.logits(star, np.arange(star.rows), self.schema.evaluate.batch_size)
        return columns(self.model, logits)

    def export(self, path: str | Path) -> Path:
        """Write a SavedModel that takes raw values.

        Raises:
            RunError: Something is already there.
        """
        path = Path(path)
        with whole_folder(path) as folder, tempfile.TemporaryDirectory() as vocabulary:
            self.vocabulary.save(Path(vocabulary))
            export(self.model, Path(vocabulary), folder)
        return path


def versions() -> dict[str, str]:
    """What the run was made with."""
    packages = ("tensorflow", "tf-keras", "tensorflow-recommenders", "numpy", "polars")
    return {"funnel": funnel.__version__, "python": platform.python_version()} | {name: version(name) for name in packages}


def require_writable(path: Path) -> None:
    """Find out before long work whether its result can be written.

    Raises:
        RunError: Something is already there, or the folder around it cannot be written.
    """
    if path.exists():
        raise RunError(f"{path}: is already there, expected a new folder. Choose another, or remove it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}. Choose another folder.") from None


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to write into that becomes `path` at the end, or is removed where anything fails.

    Raises:
        RunError: Something is already there, or it cannot be written.
    """
    require_writable(path)
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}. Choose another folder.") from None
    try:
        yield folder
        folder.chmod(0o755)
        folder.rename(path)
    except OSError as error:
        raise RunError(f"{path}: cannot be written: {error.strerror}. Nothing was left behind.") from None
    finally:
        shutil.rmtree(folder, ignore_errors=True)
