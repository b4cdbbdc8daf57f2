"""An ablation whose folder is behind a URL: each fit is put there when it is done, and none is made twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from funnel.ablation.ablate import ablate
from funnel.ablation.events import FitEnded, Planned
from funnel.locations.remote import Remote
from tests.ablation import small
from tests.faulty import Faulty

OUT = Remote.at("faulty://ablations/shop")


class Halt(Exception):  # noqa: N818  # no error: a caller that leaves off
    pass


@pytest.mark.long
def test_it_goes_on_from_what_is_there_and_comes_to_the_same(unreliable: type[Faulty], tmp_path: Path) -> None:
    folder = small.write(tmp_path / "shop")
    options: dict[str, Any] = {"objectives": small.NAMES, "repeats": 1, "store": folder / "store"}
    here = ablate(folder / "schema.yaml", folder, out=tmp_path / "here", **options)

    def stop(event: Any) -> None:
        if isinstance(event, FitEnded):
            raise Halt

    with pytest.raises(Halt):
        ablate(folder / "schema.yaml", folder, out=OUT.url, watch=stop, **options)
    assert {name.split("/")[1] for name in OUT.files() if name.startswith("fits/")} == {small.NAMES[0]}
    # A fit that was not put whole is made again.
    for name, place in OUT.files().items():
        if name.endswith("metrics.json"):
            place.unlink()
    events: list[Any] = []
    there = ablate(folder / "schema.yaml", folder, out=OUT.url, watch=events.append, **options)
    assert [event.there for event in events if isinstance(event, Planned)] == [0]
    assert there.as_dict() == here.as_dict()
    assert (OUT / "ablation.md").read_text() == (tmp_path / "here" / "ablation.md").read_text()
    assert sorted(name for name in OUT.files() if "/" not in name) == [
        f"ablation.{ending}" for ending in ("json", "md", "png", "svg")
    ] + ["manifest.json"]
    events.clear()
    ablate(folder / "schema.yaml", folder, out=OUT.url, watch=events.append, **options)
    assert [event.there for event in events if isinstance(event, Planned)] == [2]
    assert not any(isinstance(event, FitEnded) for event in events)
