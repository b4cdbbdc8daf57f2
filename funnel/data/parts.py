"""All parts of a store, each read by one machine of several: together they become the store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from funnel.data.codes import SEEDS
from funnel.data.origin import Origin, Split, read_part
from funnel.data.part import Part, part_at, versions, without_paths
from funnel.data.part_files import read_split
from funnel.data.portion import Portion
from funnel.data.reading import Reading
from funnel.errors import DataError, listed
from funnel.folders import TemporaryFolder
from funnel.locations.location import Location, location
from funnel.locations.transfer import called, fetch_folder
from funnel.schema.funnel_schema import FunnelSchema


@dataclass(frozen=True)
class Parts:
    """All parts of a store.

    Attributes:
        parts: In the order of their portions.
        copies: On this machine, of those behind URLs.
    """

    parts: tuple[Part, ...]
    copies: TemporaryFolder = field(default_factory=TemporaryFolder, compare=False)

    @classmethod
    def of(cls, given: Sequence[str | Location]) -> Parts:
        """Those in some folders, each a part or a folder of parts.

        Raises:
            DataError: There are none; one is missing, or there twice; they are not of one cut.
        """
        found = [part for path in given for part in _parts_in(location(path))]
        cuts = {part.portion.of: part for part in found}
        if len(cuts) > 1:
            shown = " and ".join(f"{part} is {part.portion}" for part in list(cuts.values())[:2])
            raise DataError(f"--merge: {shown}, expected parts of one cut. Leave out, or remove, those of the other.")
        (of,) = cuts
        by_number: dict[int, Part] = {}
        for part in found:
            number = part.portion.number
            if number in by_number:
                raise DataError(
                    f"--merge: got part {part.portion} twice, in {by_number[number]} and in {part}, expected it once. "
                    "Leave one out."
                )
            by_number[number] = part
        missing = [Portion(number, of) for number in range(1, of + 1) if number not in by_number]
        if missing:
            there = listed(by_number[number].portion for number in sorted(by_number))
            raise DataError(
                f"--merge: part {missing[0]} is missing, expected all {of} (have: {there}). Prepare it with "
                f"`--shard {missing[0]}`, or name its folder, too."
            )
        return cls(tuple(by_number[number] for number in range(1, of + 1)))

    @property
    def seed(self) -> int:
        """Of the codes' hash, which is that of all once they fit."""
        return self.parts[0].seed

    def require_fit(
        self, schema: FunnelSchema, files: Mapping[str, Mapping[str, Any]], hashes: Mapping[str, str] | None
    ) -> None:
        """Make sure that they are parts of the store that is wanted, and whole.

        Args:
            schema: The declaration.
            files: From `files_of`, as they are now.
            hashes: From `hashes_of`, where whole contents are compared.

        Raises:
            DataError: They are of another schema, other files, or another version; a file of theirs is missing; or one of them
                had to take another hash than the others.
        """
        for part in self.parts:
            _require_versions(part)
            _require_schema(part, schema)
            _require_files(part, without_paths(files))
            if hashes is not None and part.manifest["hashes"] != hashes:
                raise DataError(
                    f"{part}: does not know these contents of the files, expected a part that was made of them with "
                    "`--verify`. Prepare it again."
                )
            if damage := part.damage():
                raise DataError(f"{part}: {damage}. Copy the part again, or prepare it again.")
        seed = max(max(part.seed, part.least_seed) for part in self.parts)
        if others := [part for part in self.parts if part.seed != seed]:
            raise self._again(seed, others, "two ids of one part have one hash, and it took another one than the rest")

    def read(self, schema: FunnelSchema, origin: Origin, split: Split, folder: Path) -> Reading:
        """All that was read of a split; it reads on from the parts, or from copies of theirs, as long as these are here."""
        with ExitStack() as stack:
            here = [stack.enter_context(called(self._here(part, split), part.path)) for part in self.parts]
            said = [part.manifest["splits"][split] for part in self.parts]
            return read_split(schema, origin, split, [(one / split, of) for one, of in zip(here, said, strict=True)], folder)

    def _here(self, part: Part, split: Split) -> Path:
        """A folder on this machine with what a part has of a split."""
        if isinstance(part.path, Path):
            return part.path
        copy = self.copies.path / part.portion.name
        if not (copy / split).exists():
            fetch_folder(part.path / split, copy / split)
        return copy

    def collided(self) -> DataError:
        """What to say where two ids of different parts have one hash; the parts know it, too."""
        if self.seed + 1 >= SEEDS:
            return DataError("--merge: two ids have one hash, whatever its seed. Report this, please.")
        return self._again(self.seed + 1, self.parts, "two ids of different parts have one hash")

    def _again(self, seed: int, parts: Sequence[Part], why: str) -> DataError:
        for part in parts:
            part.ask_again(seed)
        wanted = ", ".join(str(part.portion) for part in parts)
        return DataError(f"--merge: {why}, expected one hash for each. Run `--shard` again for {wanted}: it takes another one.")


def _parts_in(path: Location) -> list[Part]:
    if (part := part_at(path)) is not None:
        return [part]
    if not path.is_dir():
        raise DataError(
            f"{path}: no such folder, expected a part that `funnel prepare --shard` wrote, or the folder around parts. One "
            "that was interrupted leaves none: run it again."
        )
    inside: list[Location] = sorted(path.iterdir(), key=str)
    found = [part for one in inside if not one.name.startswith(".") and (part := part_at(one)) is not None]
    if not found:
        raise DataError(
            f"{path}: holds no whole part of this version, expected some that `funnel prepare --shard` wrote. Those that are "
            "being written, or were interrupted, are none: wait, or run them again."
        )
    return found


def _require_versions(part: Part) -> None:
    here, there = versions(), part.manifest["versions"]
    for name in here:
        if there.get(name) != here[name]:
            raise DataError(
                f"{part}: was made with {name} {there.get(name)}, and this is {name} {here[name]}, expected one version for "
                "all parts and their merge. Install the same everywhere, and prepare the part again."
            )


def _require_schema(part: Part, schema: FunnelSchema) -> None:
    wanted, there = read_part(schema), part.manifest["schema"]
    differ = [key for key in wanted if there.get(key) != wanted[key]]
    if differ:
        raise DataError(
            f"{part}: was made for another schema (another {', '.join(differ)}), expected one that reads and encodes rows in "
            "the same way. Prepare the part again."
        )


def _require_files(part: Part, now: Mapping[str, Any]) -> None:
    then = part.manifest["files"]
    for name in dict.fromkeys([*then, *now]):
        if then.get(name) != now.get(name):
            what = "is new" if name not in then else "is gone" if name not in now else "has changed"
            raise DataError(
                f"{part}: the file {name.split(maxsplit=2)[2]!r} ({name.split()[0]} rows) {what} since the part was made, "
                "expected the same files for all parts and their merge. Prepare the part again."
            )
