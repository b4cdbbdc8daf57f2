"""The flags that all measurements of training speed take."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def train_parser(description: str, ways: Sequence[str] = ()) -> argparse.ArgumentParser:
    """A parser of SCHEMA, STORE and how long to measure; behind one of the ways, where there are some."""
    parser = argparse.ArgumentParser(description=description)
    if ways:
        parser.add_argument("way", choices=ways)
    parser.add_argument("schema", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--batch-size", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=12.0, help="that are measured")
    parser.add_argument("--warm-up", type=float, default=3.0, help="seconds before")
    return parser
