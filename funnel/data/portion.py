"""One machine's portion of files: which of their pieces are its own, a pure function of the files' order and sizes."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from funnel.errors import DataError


@dataclass(frozen=True)
class Span:
    """Some pieces of a file: those that end after `begin`, and not after `end`, in bytes of the file as it is stored."""

    begin: int
    end: int

    def holds(self, done: int) -> bool:
        """Whether a piece is among them, which ends after so many bytes."""
        return self.begin < done <= self.end


WHOLE = Span(-1, sys.maxsize)


@dataclass(frozen=True)
class Portion:
    """The i-th of n portions.

    Files are taken one after another, in their order, and cut into n stretches of equal size; a piece belongs to the stretch
    that its last byte lies in. So each piece is in one portion, and the portions, one after another, are all rows in their
    order.

    Attributes:
        number: Which one, from 1.
        of: Of how many.
    """

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @property
    def name(self) -> str:
        """What the folder of its part is called."""
        return f"{self.number}-of-{self.of}"

    @classmethod
    def parse(cls, text: str) -> Portion:
        """Read `i/n`.

        Raises:
            DataError: It is something else.
        """
        numbers = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
        if numbers is None:
            raise DataError(f"--shard: got {text!r}, expected i/n, as in 2/3. Give each machine a number of its own, from 1.")
        number, of = int(numbers[1]), int(numbers[2])
        if not 1 <= number <= of:
            raise DataError(
                f"--shard: got {text!r}, expected i/n with an i from 1 to n. Give each machine a number of its own."
            )
        return cls(number, of)

    def spans(self, sizes: Sequence[int]) -> list[Span | None]:
        """By file, in their order: which of its pieces are in the portion; None where none is.

        Args:
            sizes: Of the files, in bytes. One that is empty counts as one byte, so that somebody looks at it.
        """
        sizes = [max(1, size) for size in sizes]
        ends = list(accumulate(sizes))
        total = ends[-1] if ends else 0
        first, last = total * (self.number - 1) // self.of, total * self.number // self.of
        return [self._span(first - (end - size), last - (end - size), size) for end, size in zip(ends, sizes, strict=True)]

    def _span(self, begin: int, end: int, size: int) -> Span | None:
        if end <= 0 or begin >= size or begin == end:
            return None
        # Whoever has the end has also what comes to it meanwhile: files that changed are found out later.
        return Span(max(0, begin), sys.maxsize if end >= size else end)
