"""Checkpoints: all that a fit needs to go on as if it had never stopped."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from funnel.errors import RunError
from funnel.folders import whole_folder
from funnel.locations.location import Location
from funnel.model._keras import tf
from funnel.model.funnel_model import FunnelModel
from funnel.schema.training import Train
from funnel.training.workspace import BEST, STATE, STEP, paths_in

VARIABLES = "variables"
OPERATION = re.compile(r"^\{\{.*?\}\} ?| \[Op:\w+\].*$")  # in TensorFlow's messages: the kernel that failed
SUM = "sha256"  # of the rest of a state


@dataclass(frozen=True)
class State:
    """Where a fit stands, beside its variables.

    Attributes:
        epoch: The one that goes on, from 1.
        step: Steps made in it.
        total_steps: Steps made in all epochs.
        seconds: That it took so far.
        best_epoch: The one with the best weights; 0 without any.
        best_value: Its score, the greater the better.
        history: By epoch that has ended: its Epoch as a mapping.
        constant: Stages that the last whole batch of the epoch that goes on shows as collapsed.
        sums: Of what is shown: of each mean of a step, in the order of `FunnelModel.shown`, times its rows, over the steps made
            in the epoch.
        seen: Rows of these steps.
        lanes: Into how many the rows of the epoch were dealt; 0 before it begins.
    """

    epoch: int = 1
    step: int = 0
    total_steps: int = 0
    seconds: float = 0.0
    best_epoch: int = 0
    best_value: float | None = None
    history: tuple[dict[str, Any], ...] = ()
    constant: tuple[str, ...] = ()
    sums: tuple[float, ...] = ()
    seen: int = 0
    lanes: int = 0

    def is_over(self, declared: Train) -> bool:
        """Whether the fit has ended: all epochs are done, or patience has run out."""
        stopping, made = declared.early_stopping, len(self.history)
        impatient = stopping is not None and self.best_epoch > 0 and made - self.best_epoch > stopping.patience
        return made >= declared.epochs or impatient


@dataclass
class Checkpoints:
    """The checkpoints of one fit, newest last: the model, its optimisers, and the State.

    A checkpoint appears when it is whole. Beside them stand the weights of the best epoch, as long as a checkpoint that is kept
    tells of them.

    Attributes:
        folder: Where they are.
        keep: How many of the newest are kept.
        model: A compiled model whose variables exist.
        saved: Called with a checkpoint's folder when it is whole, and others have gone; gives what it is called.
        here: Whether the folder is this machine's alone: parameter servers then hand over what they hold, rather than each
            write its own part there.
    """

    folder: Path
    keep: int
    model: FunnelModel
    saved: Callable[[Path], Location] = lambda path: path
    here: bool = False
    _all: Any = field(init=False)
    _network: Any = field(init=False)
    _torn: set[str] = field(init=False, default_factory=set)

    def __post_init__(self) -> None:
        self.model.create_variables()
        parts = {"network": self.model.network, "objective": self.model.objective, "optimizer": self.model.optimizer}
        self._all = tf.train.Checkpoint(**parts)
        self._network = tf.train.Checkpoint(network=self.model.network)

    def save(self, state: State) -> Location:
        """Write one, and remove those that are no longer needed.

        Returns:
            Where it is.

        Raises:
            RunError: The disk is full, say; the earlier ones are still there.
        """
        path = self.folder / f"{STEP}{state.total_steps:012d}"
        with whole_folder(path, RunError, replace=True) as folder:
            write_variables(self._all, folder / VARIABLES, here=self.here)
            content = asdict(state)
            content |= {SUM: _sum(content)}
            (folder / STATE).write_text(json.dumps(content) + "\n", encoding="utf-8")
        self._torn.discard(path.name)
        self._prune(path)
        return self.saved(path)

    def save_best(self, epoch: int) -> None:
        """Write the weights, as those of the best epoch.

        Raises:
            RunError: The disk is full, say.
        """
        with whole_folder(self._best(epoch), RunError, replace=True) as folder:
            write_variables(self._network, folder / VARIABLES, here=self.here)

    def restore_best(self, epoch: int) -> None:
        """Put the best epoch's weights into the model.

        Raises:
            RunError: They are not there, or not whole.
        """
        path = self._best(epoch)
        if (reason := read_variables(self._network, path / VARIABLES, here=self.here)) is not None:
            raise RunError(f"{path}: cannot be read: {reason}. Remove the folder {self.folder.parent}, and fit again.")

    def restore(self) -> tuple[State | None, Path | None, tuple[str, ...]]:
        """Put the newest checkpoint that can be read into the model.

        Returns:
            Its state and path, or None; and what was wrong with those that were passed over. Where there were only such ones,
            the model's variables may be anything.
        """
        skipped: list[str] = []
        for path in reversed(paths_in(self.folder)):
            try:
                state = _state(path)
                reason = self._lacks_best(state) or read_variables(self._all, path / VARIABLES, here=self.here)
            except (OSError, ValueError, TypeError) as error:
                reason = f"{STATE}: {first_line(error)}"
            if reason is None:
                return state, path, tuple(skipped)
            skipped.append(f"{path}: {reason}")
            self._torn.add(path.name)
        return None, None, tuple(skipped)

    def _best(self, epoch: int) -> Path:
        return self.folder / f"{BEST}{epoch:06d}"

    def _lacks_best(self, state: State) -> str | None:
        if not state.best_epoch:
            return None
        path = self._best(state.best_epoch)
        if not path.is_dir():
            return "the best epoch's weights are missing"
        # They are read before the fit goes on, and not first when it ends: the newest ones are read over them.
        reason = read_variables(self._network, path / VARIABLES, here=self.here)
        return None if reason is None else f"the best epoch's weights in {path.name}: {reason}"

    def _prune(self, newest: Path) -> None:
        there = paths_in(self.folder)
        # Those that could not be read, and those of later steps than the one that was gone on from, take no other's place.
        paths = [path for path in there if path.name <= newest.name and path.name not in self._torn]
        kept = paths[-self.keep :]
        needed = {self._best(self._best_of(path)) for path in kept}
        for path in [*there, *self.folder.glob(f"{BEST}*")]:
            if path not in kept and path not in needed:
                shutil.rmtree(path, ignore_errors=True)

    def _best_of(self, path: Path) -> int:
        try:
            return int(json.loads((path / STATE).read_text(encoding="utf-8"))["best_epoch"])
        except (OSError, ValueError, TypeError, KeyError):
            return 0  # a torn one, which nothing is kept for


def write_variables(checkpoint: Any, path: Path, *, here: bool = False) -> None:
    """Write the variables of a `tf.train.Checkpoint`.

    Args:
        checkpoint: It.
        path: Where: a folder, and what its files' names begin with.
        here: Whether this process writes what parameter servers hold, rather than these.

    Raises:
        OSError: They cannot be written: the disk is full, say.
    """
    try:
        checkpoint.write(str(path), options=_options(here=here))
    except tf.errors.OpError as error:
        raise OSError(None, first_line(error)) from None


def _options(*, here: bool) -> Any:
    # Where nothing is said, variables are read and written where they are.
    return tf.train.CheckpointOptions(experimental_io_device=tf.constant(0).device) if here else None


def read_variables(checkpoint: Any, path: Path, *, here: bool = False) -> str | None:
    """Read the variables of a `tf.train.Checkpoint`; the reason where they cannot be, whose variables then may be anything.

    TensorFlow compares a checksum for each of them.
    """
    try:
        with _plain(path) as plain:
            checkpoint.read(str(plain), options=_options(here=here)).assert_existing_objects_matched()
    except (tf.errors.OpError, AssertionError, LookupError, RuntimeError, ValueError) as error:
        return first_line(error)
    return None


@contextmanager
def _plain(path: Path) -> Iterator[Path]:
    """The path, or one to the same place for TensorFlow, which reads `*`, `?`, `[` and a backslash as a pattern."""
    if not set(str(path)) & set("*?[\\"):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="funnel-") as folder:
        link = Path(folder) / "at"
        link.symlink_to(path.parent.absolute())
        yield link / path.name


def _state(path: Path) -> State:
    content = json.loads((path / STATE).read_text(encoding="utf-8"))
    if not isinstance(content, dict) or content.pop(SUM, None) != _sum(content):
        raise ValueError("is not as it was written")
    return state_of(content)


def state_of(content: Mapping[str, Any]) -> State:
    """A State, of what `asdict` made of it and JSON brought back."""
    state = State(**content)
    return replace(state, history=tuple(state.history), constant=tuple(state.constant), sums=tuple(state.sums))


def _sum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def first_line(error: Exception) -> str:
    """What an error says, without what TensorFlow puts around it."""
    message = error.message if isinstance(error, tf.errors.OpError) else str(error)
    line = str(message).partition("\n")[0]
    return OPERATION.sub("", line) or type(error).__name__
