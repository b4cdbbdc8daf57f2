"""The folder of a fit that is not finished: its checkpoints and its logs, beside the place where the run will be.

Where that is behind a URL, checkpoints are written on this machine, and each is copied when it is whole.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from funnel.errors import RemoteError, RunError
from funnel.folders import held_folder, require_writable, whole_file, whole_folder
from funnel.locations.location import Location, location
from funnel.locations.remote import Remote
from funnel.locations.transfer import called, copying, fetched_folder
from funnel.training.mirror import Mirror

SUFFIX = ".unfinished"
FIT, CHECKPOINTS, LOGS = "fit.json", "checkpoints", "logs"
STATE = "state.json"  # of a checkpoint
STEP, BEST = "step-", "best-"  # of the folders of checkpoints, and of best weights
# What of a schema may be another when a fit goes on: it changes neither the steps that were made, nor those to come but for
# their number.
FREE = ("name", "data", "evaluate", "train.epochs", "train.checkpoint", "train.profile", "train.strategy", "train.lanes")


class Workspace:
    """`RUN.unfinished`.

    Args:
        run: Where the run will be.
        replaces: Whether a run that is there already gives way.
    """

    def __init__(self, run: Location, *, replaces: bool = False) -> None:
        self.run, self.replaces = run, replaces
        self.path: Location = run.parent / (run.name + SUFFIX)

    @cached_property
    def _mirror(self) -> Mirror:
        if not isinstance(self.path, Remote):
            raise ValueError(f"got {self.path}, expected a URL")
        return Mirror(self.path, (CHECKPOINTS, LOGS), (STEP, STATE))

    @property
    def _here(self) -> Path:
        """The folder on this machine."""
        return self.path if isinstance(self.path, Path) else self._mirror.folder

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints, on this machine."""
        return self._here / CHECKPOINTS

    @property
    def logs(self) -> Path:
        """The folder that TensorBoard reads, on this machine."""
        return self._here / LOGS

    def saved(self, checkpoint: Path) -> Location:
        """Where a checkpoint is that was written, and whatever else is new: it is copied there where that is behind a URL.

        Raises:
            RunError: Another process has taken the folder over.
            RemoteError: It cannot be copied.
        """
        if isinstance(self.path, Remote):
            self._mirror.push()
        return self.called(checkpoint)

    def called(self, path: Path) -> Location:
        """What a place in the folder on this machine is called."""
        return self.path / path.relative_to(self._here)

    @property
    def begun(self) -> dict[str, Any] | None:
        """What the fit was begun with; None where none was.

        Raises:
            RunError: It cannot be read.
        """
        try:
            found = json.loads((self.path / FIT).read_text(encoding="utf-8"))
            if not isinstance(found, dict):
                raise ValueError("is not what a fit was begun with")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / FIT}: cannot be read: {error}. Remove {self.path}, and fit again.") from None
        return found

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keeps other processes from the folder; one that holds no checkpoint at the end, or none that the run lacks, goes.

        Raises:
            RunError: Another process fits there.
        """
        with held_folder(self.path, RunError) as still, called(self._here, self.path):
            if isinstance(self.path, Remote):
                self._mirror.still = still
                if self.begun is not None:
                    self._mirror.fetch()
            try:
                yield
            finally:
                newest = newest_in(self.checkpoints)
                if newest is None or self._is_kept(newest.name):
                    self.remove()

    def _is_kept(self, checkpoint: str) -> bool:
        """Whether the run has a checkpoint."""
        try:
            half = isinstance(self.run, Remote) and copying(self.run) is not None
            return not half and (self.run / CHECKPOINTS / checkpoint).exists()
        except RemoteError:
            return False

    def begin(self, content: Mapping[str, Any]) -> None:
        """Note what the fit is begun with; earlier checkpoints go.

        Raises:
            RunError: The disk is full, say.
        """
        try:
            shutil.rmtree(self.checkpoints, ignore_errors=True)
            if isinstance(self.path, Remote):
                self._mirror.begin()
            with whole_file(self.path / FIT, RunError, "Nothing was left behind.") as part:
                part.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise RunError(f"{self.path}: cannot be written: {error.strerror}. Nothing was left behind.") from None

    def require_same(self, begun: Mapping[str, Any], content: Mapping[str, Any]) -> None:
        """Compare what the fit was begun with to what it would go on with.

        Raises:
            RunError: The rows, or a part of the schema that matters, are not the same.
        """
        where = f"{self.path}: cannot go on"
        repair = "Give what it was begun with, or remove the folder and fit again."
        # First, as a run that is started from brings its vocabulary.
        if ("from" in begun) != ("from" in content):
            got, expected = content.get("from", "nothing"), begun.get("from", "nothing")
            raise RunError(f"{where}: --from: got {got}, expected {expected}. {repair}")
        if begun.get("rows") != content["rows"]:
            raise RunError(f"{where}: got other training rows, or another vocabulary, than it was begun with. {repair}")
        for layer, digest in content.get("layers", {}).items():
            if begun.get("layers", {}).get(layer) != digest:
                raise RunError(f"{where}: model.body: the source of {layer!r} is other than it was begun with. {repair}")
        changed = list(differences(begun.get("schema"), content["schema"], ""))
        changed = [one for one in changed if not any(one[0] == free or one[0].startswith(f"{free}.") for free in FREE)]
        if changed:
            path, was, now = changed[0]
            raise RunError(f"{where}: {path}: got {now!r}, expected {was!r}, as it was begun. {repair}")

    def reopen(self) -> None:
        """Go on from a run that was finished: its last checkpoint, and its weights as those of the best epoch, come here.

        Raises:
            RunError: It holds no checkpoint, or the disk is full.
        """
        checkpoint = self.run / CHECKPOINTS
        if not (checkpoint.is_dir() and (self.run / FIT).is_file()):
            raise RunError(f"{self.run}: is finished, and holds no checkpoint to go on from. Fit anew, or use --from.")
        # What is there was being removed.
        with whole_folder(self.path, RunError, replace=True, last=FIT) as folder:
            for name in (CHECKPOINTS, LOGS):
                with fetched_folder(self.run / name) as copy:
                    if copy.is_dir():
                        link_tree(copy, folder / name) if name == CHECKPOINTS else shutil.copytree(copy, folder / name)
            (folder / FIT).write_bytes((self.run / FIT).read_bytes())

    def put_into(self, run: Path) -> None:
        """Put what a run keeps of the fit into its folder: the newest checkpoint, the logs, what it was begun with."""
        newest = newest_in(self.checkpoints)
        if newest is not None:
            link_tree(newest, run / CHECKPOINTS / newest.name)
            for best in self.checkpoints.glob(f"{BEST}*"):
                link_tree(best, run / CHECKPOINTS / best.name)
            (run / FIT).write_bytes((self.path / FIT).read_bytes())
        if self.logs.is_dir():
            shutil.copytree(self.logs, run / LOGS)

    def remove(self) -> None:
        """Remove the folder."""
        if isinstance(self.path, Path):
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            self._mirror.remove()


def paths_in(checkpoints: Path) -> list[Path]:
    """The checkpoints of a folder, by step; none where there is no folder."""
    return sorted(checkpoints.glob(f"{STEP}*"))


def newest_in(checkpoints: Path) -> Path | None:
    """The newest checkpoint of a folder."""
    return max(paths_in(checkpoints), default=None)


def opened(run: str | Location, *, resume: bool) -> Workspace:
    """The workspace for a run that will be written.

    Args:
        run: Its folder, or its URL.
        resume: Whether a fit goes on; one that was finished is opened again.

    Raises:
        RunError: There is a run already, or a fit that is not finished, and neither is gone on with; or nothing can be written.
    """
    run = location(run)
    workspace = Workspace(run, replaces=resume)
    if not resume:
        require_writable(run, RunError)
        if workspace.begun is not None:
            raise RunError(
                f"{workspace.path}: a fit was stopped there, expected none. Go on with it (--resume), choose another --out, or "
                "remove the folder."
            )
    elif run.exists() and workspace.begun is None:
        workspace.reopen()
    return workspace


def latest(run: Path) -> Path:
    """The run, or that one of RUN-2, RUN-3, ... whose fit was stopped last."""
    pattern = re.compile(rf"{re.escape(run.name)}(-\d+)?{re.escape(SUFFIX)}")
    there = [path for path in run.parent.glob(f"*{SUFFIX}") if pattern.fullmatch(path.name)]
    newest = max(there, key=lambda path: path.stat().st_mtime, default=None)
    return run if newest is None else newest.with_name(newest.name.removesuffix(SUFFIX))


def link_tree(source: Path, target: Path) -> None:
    """Copy a folder without its bytes, where the file system can: a checkpoint's files never change."""

    def link(one: str, other: str) -> str:
        try:
            os.link(one, other)
        except OSError:
            shutil.copy2(one, other)
        return other

    shutil.copytree(source, target, copy_function=link)


def differences(was: Any, now: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """The paths at which two trees differ, and what each has there."""
    if isinstance(was, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*was, *now]):
            yield from differences(was.get(key), now.get(key), f"{path}.{key}" if path else key)
    elif isinstance(was, list) and isinstance(now, list) and len(was) == len(now):
        for place, (one, other) in enumerate(zip(was, now, strict=True)):
            yield from differences(one, other, f"{path}[{place}]")
    elif was != now:
        yield path, was, now
