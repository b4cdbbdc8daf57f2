"""Short texts inside a long one, eight bytes at a time: whole numbers, and texts of which there are few different ones.

A text of up to eight bytes is one 64-bit word, and all digits of a number are turned into its value at once, by three
multiplications (Lemire, 2022, "Parse eight digits in SWAR"). Places are positions in the long text; a range is where a short
text begins and ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

Places = NDArray[np.int64]
Bytes = NDArray[np.uint8]
Words = NDArray[np.uint64]

AT_ONCE = 1 << 15  # short texts: what is in hand stays in the processor's cache
EIGHT = np.uint64(8)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # spreads words over slots (Fibonacci hashing: Knuth, 6.4)


class Text:
    """A long text that any eight bytes can be read from.

    Args:
        text: uint8 [bytes].
    """

    def __init__(self, text: Bytes) -> None:
        padded = np.zeros(len(text) + 24, np.uint8)
        padded[16 : 16 + len(text)] = text
        self._padded = padded
        self._words = np.ndarray(len(padded) - 7, "<u8", padded, strides=(1,))

    def ending(self, ends: Places, lengths: Words) -> Words:
        """The last eight bytes, and zeros before them, of texts of these lengths (at most 8, not 0) that end here."""
        return self._words[ends + 8] & (ALL << (EIGHT * (EIGHT - lengths)))

    def beginning(self, begins: Places, lengths: Words) -> Words:
        """The first eight bytes, and zeros after them, of texts of these lengths (at most 8, not 0) that begin here."""
        return self._words[begins + 16] & (ALL >> (EIGHT * (EIGHT - lengths)))

    def whole_numbers(self, begins: Places, ends: Places) -> NDArray[np.int64] | None:
        """The whole numbers in ranges; None where one has a byte that is no digit, or more than 16 of them.

        Args:
            begins: int64 [n].
            ends: int64 [n], each greater than its beginning.
        """
        found = np.empty(len(begins), np.int64)
        for at in range(0, len(begins), AT_ONCE):
            last = ends[at : at + AT_ONCE]
            lengths = (last - begins[at : at + AT_ONCE]).view(np.uint64)
            most = int(lengths.max())
            if most > 16:
                return None
            low = _value(self.ending(last, np.minimum(lengths, EIGHT)), np.minimum(lengths, EIGHT))
            if low is None:
                return None
            if most > 8:
                long = np.flatnonzero(lengths > EIGHT)
                high = _value(self.ending(last[long] - 8, lengths[long] - EIGHT), lengths[long] - EIGHT)
                if high is None:
                    return None
                low[long] += high * np.uint64(10**8)
            found[at : at + AT_ONCE] = low.view(np.int64)
        return found

    def few(self, begins: Places, ends: Places, *, slots: int) -> Few | None:
        """Texts of at most eight bytes of which few are different; None where they are longer, or many.

        Args:
            begins: int64 [n].
            ends: int64 [n], each greater than its beginning.
            slots: A power of two, far more than there are different texts.
        """
        shift = np.uint64(64 - (slots.bit_length() - 1))
        taken, of = np.zeros(slots, np.uint64), np.empty(len(begins), np.uint32)
        others: list[tuple[Places, Words]] = []
        for at in range(0, len(begins), AT_ONCE):
            first = begins[at : at + AT_ONCE]
            lengths = (ends[at : at + AT_ONCE] - first).view(np.uint64)
            if int(lengths.max()) > 8:
                return None
            words = self.beginning(first, lengths)
            slot = (words * _GOLDEN) >> shift
            free = taken[slot] == 0
            taken[slot[free]] = words[free]
            missed = np.flatnonzero(taken[slot] != words)
            if len(missed):
                others.append((missed + at, words[missed]))
            of[at : at + AT_ONCE] = slot
        used = np.flatnonzero(taken)
        number = np.zeros(slots, np.uint32)
        number[used] = np.arange(len(used), dtype=np.uint32)
        of = number[of]
        words = taken[used]
        if others:
            # Two texts of one slot: the second is looked up by sorting, since there are few such.
            places, missed_words = (np.concatenate(parts) for parts in zip(*others, strict=True))
            if len(places) > len(begins) // 8 + 1000:
                return None
            more, index = np.unique(missed_words, return_inverse=True)
            of[places] = len(words) + index
            words = np.concatenate([words, more])
        return Few(words, of)


@dataclass(frozen=True)
class Few:
    """Few different texts.

    Attributes:
        words: Each one's bytes, zeros after them: uint64 [different].
        of: Which of them each text is: uint32 [n].
    """

    words: Words
    of: NDArray[np.uint32]

    def texts(self) -> pl.Series | None:
        """The different texts; None where one is not UTF-8."""
        # A fixed width drops the zeros at the end, which no text here ends with.
        try:
            return pl.Series([text.decode() for text in self.words.astype("<u8").view("S8").tolist()], dtype=pl.String)
        except UnicodeDecodeError:
            return None


def _value(words: Words, lengths: Words) -> Words | None:
    """The numbers of words with up to eight digits at their end; None where a byte is none."""
    zeros = np.uint64(0x3030303030303030) & (ALL << (EIGHT * (EIGHT - lengths)))
    words ^= zeros
    if (((words + np.uint64(0x7676767676767676)) | words) & np.uint64(0x8080808080808080)).any():
        return None
    words *= np.uint64(2561)  # 10 * 2^8 + 1: each second byte becomes a number of two digits
    words >>= np.uint64(8)
    words &= np.uint64(0x00FF00FF00FF00FF)
    words *= np.uint64(6553601)  # 100 * 2^16 + 1
    words >>= np.uint64(16)
    words &= np.uint64(0x0000FFFF0000FFFF)
    words *= np.uint64(42949672960001)  # 10,000 * 2^32 + 1
    words >>= np.uint64(32)
    return words
