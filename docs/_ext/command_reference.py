"""The reference of commands, drawn from the command line itself."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from funnel.cli import app as funnel_app

HEAD = """# Commands

Drawn from the command line itself; `funnel COMMAND --help` says the same. Wherever a path is taken, so is a URL: `s3://bucket/logs`
([rows and runs elsewhere](remote.md)). `--help` and mistakes in the call are answered without loading TensorFlow.

## Exit codes

| code | means |
|---|---|
| 0 | Done. Of `check` and `verify`: and nothing is wrong. |
| 1 | Something given is wrong: one message on stderr says where, what, and what to do. Of `check` and `verify`: errors found. |
| 2 | The call is wrong: no such command or option, or a value of the wrong type. |
| 130 | Stopped, by Ctrl-C or SIGTERM. `fit` has then written its checkpoint, and says how to go on. |

With `--json` the answer alone is on stdout. Progress goes to a terminal only.
"""


def commands() -> dict[str, Any]:
    """By name, in the order in which they are usually needed."""
    group = typer.main.get_command(funnel_app)
    if not isinstance(group, TyperGroup):
        raise TypeError(f"commands: got {type(group).__name__}, expected a group of commands.")
    return dict(group.commands)


def page() -> str:
    """A section for each command: what it does, how it is called, what it takes."""
    found = [HEAD]
    for name, command in commands().items():
        context = typer.Context(command, info_name=f"funnel {name}")
        usage = " ".join(command.collect_usage_pieces(context)).translate({ord("{"): None, ord("}"): None})
        found += [f"## funnel {name}", "", (command.help or "").strip(), "", "```text", f"funnel {name} {usage}", "```", ""]
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None and parameter.name != "help":
                found += [f"`{re.sub(' <[a-z ]+>$', '', record[0])}`", f": {_plain(record[1])}", ""]
    return "\n".join(found)


def _plain(text: str) -> str:
    """Help texts are no Markdown: a bracket is a bracket."""
    return " ".join(text.split()).replace("[", "\\[").replace("<", "\\<").replace("*", "\\*")


def setup(app: Any) -> dict[str, bool]:
    """Write the page beside the others; it is not kept in the repository."""
    (Path(app.srcdir) / "commands.md").write_text(page(), encoding="utf-8")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
