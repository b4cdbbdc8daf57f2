import re
import subprocess
import sys
from pathlib import Path

import pytest

from funnel.cli import app
from funnel.schema.reader import load_schema

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def test_the_yaml_is_a_schema(tmp_path: Path) -> None:
    (found,) = blocks(README, "yaml")
    (tmp_path / "shop.yaml").write_text(found)
    assert load_schema(tmp_path / "shop.yaml").stage_names == ("click", "buy")


def test_every_link_leads_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("https://") or (ROOT / target).exists(), target


@pytest.mark.slow
def test_the_python_runs_as_it_stands(tmp_path: Path) -> None:
    for name in ("schemas", "examples"):
        (tmp_path / name).symlink_to(ROOT / name)
    (code,) = blocks(README, "python")
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "serving" / "mine" / "1" / "saved_model.pb").is_file()


def test_every_command_is_named() -> None:
    for command in app.registered_commands:
        assert command.callback is not None
        assert f"`{command.callback.__name__}`" in README or f"`funnel {command.callback.__name__}" in README
