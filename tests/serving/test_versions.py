"""Version folders: what is written where, and that nothing is ever written over."""

from __future__ import annotations

from pathlib import Path

import pytest

from funnel.errors import RunError
from funnel.serving.versions import version_folder


def test_a_number_is_the_version_and_else_the_next_one_comes(tmp_path: Path) -> None:
    assert version_folder(tmp_path / "shop" / "7") == tmp_path / "shop" / "7"
    assert version_folder(tmp_path / "shop") == tmp_path / "shop" / "1"
    for name in ("1", "9", "10", "x", ".11-part", "012"):
        (tmp_path / "shop" / name).mkdir(parents=True)
    assert version_folder(tmp_path / "shop") == tmp_path / "shop" / "13"  # what a server reads as 12 is taken, too
    assert version_folder(tmp_path / "shop" / "0") == tmp_path / "shop" / "0"
    assert version_folder(tmp_path / "v2") == tmp_path / "v2" / "1"


def test_where_one_is_the_next_is_named_relative_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "3").mkdir()
    monkeypatch.chdir(tmp_path)
    assert version_folder(Path()) == Path("4")


@pytest.mark.parametrize("name", ["007", "00", "9" * 30])
def test_a_number_that_is_no_version_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunError, match=rf"{name}: got the version {name}, expected a whole number such as 1"):
        version_folder(tmp_path / name)


def test_no_version_goes_into_a_model(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").touch()
    for path in (tmp_path, tmp_path / "2"):
        with pytest.raises(RunError, match="is a model itself, expected a folder for its versions"):
            version_folder(path)
