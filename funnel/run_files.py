"""The files of a run folder: what they are called, and whether all that a reader needs is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from funnel.errors import RunError, have
from funnel.locations.location import Location
from funnel.locations.remote import Remote
from funnel.locations.transfer import copying

SCHEMA, LEARNT, VOCABULARY, WEIGHTS = "schema.yaml", "learnt.json", "vocabulary", "weights"
HISTORY, METRICS, MANIFEST, HEALTH = "history.json", "metrics.json", "manifest.json", "health.json"
LAYERS = "layers"  # the folder with the source of layers of the user's own, where there are any
RUN_FORMAT = 2  # the number that manifest.json says the layout of the variables has; without one, it was 1
IMPORTANCE = "importance.json"
IMPORTANCE_FORMAT = 1  # the number that importance.json says its layout has
METRICS_FORMAT = 1  # the number that metrics.json says its layout has


def require_files(path: Location, names: Iterable[str]) -> None:
    """Refuse a folder that is no run.

    Raises:
        RunError: It is missing, or lacks one of the files.
        RemoteError: It is behind a URL, and cannot be looked at.
    """
    lacking = [name for name in names if not (path / name).is_file()]
    if lacking:
        what = f"lacks {lacking[0]}" if path.is_dir() else "is no folder"
        if isinstance(path, Remote) and (by := copying(path)) is not None:
            what = f"was not copied whole: it is being copied {by}, or that was stopped"
        there = [] if isinstance(path, Remote) else _beside(path)
        near = f" {have(path, there)}" if there else "."
        raise RunError(f"{path}: {what}, expected a run that `funnel fit` wrote{near} Correct the path, or fit again.")


def _beside(path: Path) -> list[str]:
    """The runs beside a path."""
    return sorted(str(one) for one in path.parent.glob("*") if one != path and (one / MANIFEST).is_file())


def require_readable(path: Location, manifest: Mapping[str, Any]) -> None:
    """Refuse a run whose variables stand in another layout.

    Raises:
        RunError: It was written by another version of funnel.
    """
    found = manifest.get("format", 1)
    if found != RUN_FORMAT:
        by = manifest.get("versions", {}).get("funnel", "of another version")
        raise RunError(
            f"{path / MANIFEST}: format: got {found!r}, written by funnel {by}, expected {RUN_FORMAT}: the layers stand "
            "elsewhere. Fit again with this version, or use the run with that one."
        )


def unreadable(path: Location, error: Exception) -> RunError:
    """What to raise where a file of a run cannot be read."""
    return RunError(f"{path}: cannot be read: {str(error).splitlines()[0]}. The run is not whole: fit again.")


def names_of_runs(paths: Sequence[Location]) -> list[str]:
    """What runs are called side by side: the ends of their paths, as long as it takes to tell them apart.

    Raises:
        RunError: One is there twice.
    """
    whole = [path if isinstance(path, Remote) else path.resolve() for path in paths]
    for number, path in enumerate(whole):
        if path in whole[:number]:
            raise RunError(f"{paths[number]}: is given twice, expected different runs. Leave one out.")
    parts = 1
    while len({path.parts[-parts:] for path in whole}) < len(whole):
        parts += 1
    return ["/".join(path.parts[-parts:]) for path in whole]
