"""A filesystem of its own, behind `faulty://`, whose requests can be counted, refused, cut or interrupted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

Rule = Callable[[str, str], None]  # raises what a request of this kind, for this path, shall raise


def fine(*_: object) -> None:
    """No request fails."""


class Faulty(MemoryFileSystem):
    """Files in memory, in folders that have to be made."""

    protocol = "faulty"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    asked: ClassVar[list[tuple[str, str]]] = []
    rule: ClassVar[Rule] = staticmethod(fine)
    cut: ClassVar[int] = 0  # how many files lose their last byte on the way

    @classmethod
    def _strip_protocol(cls, path: Any) -> str:
        return super()._strip_protocol(str(path).removeprefix("faulty://"))

    def _see(self, request: str, path: str) -> None:
        path = self._strip_protocol(path)
        type(self).asked.append((request, path))
        type(self).rule(request, path)

    def info(self, path: str, **options: Any) -> Any:
        self._see("info", path)
        return super().info(path, **options)

    def ls(self, path: str, detail: bool = True, **options: Any) -> Any:
        self._see("ls", path)
        return super().ls(path, detail=detail, **options)

    def cat_file(self, path: str, *args: Any, **options: Any) -> bytes:
        self._see("read", path)
        return super().cat_file(path, *args, **options)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        self._see("write", path)
        super().pipe_file(self._strip_protocol(path), value, mode=mode, **options)

    def get_file(self, rpath: str, lpath: Any, **options: Any) -> None:
        self._see("get", rpath)
        super().get_file(rpath, lpath, **options)
        if type(self).cut:
            type(self).cut -= 1
            Path(lpath).write_bytes(Path(lpath).read_bytes()[:-1])

    def put_file(self, lpath: Any, rpath: str, **_: Any) -> None:
        self._see("put", rpath)
        content = Path(lpath).read_bytes()
        if type(self).cut:
            type(self).cut -= 1
            content = content[:-1]
        super().pipe_file(self._strip_protocol(rpath), content)

    def rm_file(self, path: str) -> None:
        self._see("remove", path)
        super().rm_file(self._strip_protocol(path))

    @classmethod
    def paths(cls) -> list[str]:
        return sorted(cls.store)

    @classmethod
    def count(cls, request: str) -> int:
        return sum(kind == request for kind, _ in cls.asked)


@contextmanager
def faulty() -> Iterator[type[Faulty]]:
    """The filesystem, empty and without faults."""
    fsspec.register_implementation("faulty", Faulty, clobber=True)
    Faulty.store.clear()
    Faulty.pseudo_dirs[:] = [""]
    Faulty.asked.clear()
    Faulty.rule, Faulty.cut = fine, 0
    yield Faulty
    Faulty.rule, Faulty.cut = fine, 0


def failing(times: int, error: Exception, *requests: str, at: str = "") -> Rule:
    """Some requests fail so many times, where their path holds a text."""
    left = [times]

    def rule(request: str, path: str) -> None:
        if (not requests or request in requests) and at in path and left[0] > 0:
            left[0] -= 1
            raise error

    return rule
