"""The folder of an ablation: what it was begun with, and one folder for each fit that is done."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from funnel.data.store import Store
from funnel.errors import RunError
from funnel.folders import TemporaryFolder, whole_file, whole_folder
from funnel.locations.location import Location
from funnel.locations.remote import Remote
from funnel.locations.transfer import LOCK, fetch_file
from funnel.run import versions
from funnel.schema.funnel_schema import FunnelSchema
from funnel.training.workspace import Workspace, differences

MANIFEST, FITS, METRICS, LOGITS = "manifest.json", "fits", "metrics.json", "logits.npy"
FORMAT = 1
# What of a schema may be another when an ablation goes on: it changes no score.
FREE = ("data.root", "train.checkpoint", "train.profile", "evaluate.batch_size")


class Folder:
    """`ablations/NAME`.

    Args:
        path: Where it is, or will be; a URL, too.
    """

    def __init__(self, path: Location) -> None:
        self.path = path
        self._copies = TemporaryFolder()  # of what is behind a URL

    def begin(self, content: Mapping[str, Any]) -> None:
        """Note what the fits are of, or see that the earlier ones were of the same.

        Raises:
            RunError: They were of another schema, other rows, or made with other versions; or the folder holds something else.
        """
        try:
            earlier = json.loads((self.path / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError:
            others = sorted(path.name for path in self.path.iterdir() if path.name != LOCK)
            if others:
                raise RunError(
                    f"{self.path}: holds other files ({others[0]}), expected an ablation or nothing. Choose another --out."
                ) from None
            self.write(MANIFEST, json.dumps(content, indent=1) + "\n")
            return
        except (OSError, ValueError) as error:
            raise RunError(f"{self.path / MANIFEST}: cannot be read: {error}. Remove {self.path}, and begin anew.") from None
        found = _changes(earlier, content)
        if found:
            more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
            differ = "; ".join(found[:3]) + more
            raise RunError(f"{self.path}: cannot go on: {differ}. Give what it was begun with, or choose another --out.")

    def write(self, name: str, content: str) -> Location:
        """Write a file, which appears when it is whole.

        Raises:
            RunError: The disk is full, say.
        """
        path = self.path / name
        with whole_file(path, RunError, "Make room: the same command goes on.") as part:
            part.write_text(content, encoding="utf-8")
        return path

    def workspace(self, variant: str, seed: int) -> Workspace:
        """The place of a fit, and beside it the one that it goes on from while it is not finished."""
        return Workspace(self.path / FITS / variant / f"seed-{seed}")

    def metrics(self, variant: str, seed: int) -> dict[str, Any] | None:
        """What a fit came to; None where it is not done.

        Raises:
            RunError: It cannot be read.
        """
        path = self.workspace(variant, seed).run
        # One that was not copied to its URL whole is not done.
        if not (path / METRICS if isinstance(path, Remote) else path).exists():
            return None
        try:
            found = json.loads((path / METRICS).read_text(encoding="utf-8"))
            if not isinstance(found, dict):
                raise ValueError("holds no metrics")
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: cannot be read: {error}. Remove it: the same command fits it again.") from None
        return found

    def logits(self, variant: str, seed: int, shape: tuple[int, int]) -> NDArray[np.float32]:
        """The conditional logits of the test rows, in the order of the files' rows: float32 [rows, stages], mapped.

        Raises:
            RunError: They cannot be read, or are not of this shape.
        """
        path = self.workspace(variant, seed).run / LOGITS
        try:
            found = np.load(self._here(path, f"{variant}-{seed}.npy"), mmap_mode="r")
        except (OSError, ValueError) as error:
            raise RunError(f"{path}: cannot be read: {error}. Remove {path.parent}: the same command fits it again.") from None
        if found.shape != shape:
            raise RunError(f"{path}: got the shape {found.shape}, expected {shape}. Remove {path.parent}, and fit it again.")
        return found

    def save(self, variant: str, seed: int, metrics: Mapping[str, Any], logits: NDArray[np.float32] | None) -> None:
        """Write what a fit came to; all of it is there afterwards, or nothing.

        Raises:
            RunError: The disk is full, say.
        """
        run = self.workspace(variant, seed).run
        halfway = isinstance(run, Remote) and run.exists() and self.metrics(variant, seed) is None
        with whole_folder(run, RunError, replace=halfway, last=METRICS) as folder:
            (folder / METRICS).write_text(json.dumps(metrics, indent=1) + "\n", encoding="utf-8")
            if logits is not None:
                np.save(folder / LOGITS, logits)

    def _here(self, path: Location, name: str) -> Path:
        """A file on this machine: a copy stays as long as the folder is used."""
        if isinstance(path, Path):
            return path
        copy = self._copies.path / name
        if not copy.exists():
            fetch_file(path, copy)
        return copy


def described(schema: FunnelSchema, store: Store) -> dict[str, Any]:
    """What the fits of an ablation have in common."""
    test = [shard["sha256"] for shard in store.manifest["splits"]["test"]["shards"]]
    return {
        "format": FORMAT,
        "data": store.manifest["data"],
        "data_fingerprint": store.manifest["fingerprint"],
        "rows": {"training": store.digest, "test": test},
        "versions": versions(),
        "schema": schema.model_dump(mode="json"),
    }


def _changes(earlier: Any, content: Mapping[str, Any]) -> list[str]:
    """What differs between two descriptions, for people."""
    if not isinstance(earlier, dict) or earlier.get("format") != content["format"]:
        return [f"the folder's format: got {content['format']}, expected that of the fits there"]
    found = []
    for path, was, now in differences(earlier.get("schema"), content["schema"], ""):
        if not any(path == free or path.startswith(f"{free}.") for free in FREE):
            found.append(f"{path}: got {now!r}, expected {was!r}")
    for part, rows in content["rows"].items():
        if earlier.get("rows", {}).get(part) != rows:
            found.append(f"got other {part} rows (of {content['data']}) than those of {earlier.get('data')}")
    for path, was, now in differences(earlier.get("versions"), content["versions"], ""):
        found.append(f"{path}: got the version {now}, expected {was}")
    return found
