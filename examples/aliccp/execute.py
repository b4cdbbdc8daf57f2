"""Executes the notebook beside it and keeps its outputs.

Run `python examples/aliccp/execute.py` after `pip install -e '.[test]'`.
"""

from __future__ import annotations

from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
NOTEBOOK = HERE / "walkthrough.ipynb"


def executed(path: Path = NOTEBOOK) -> nbformat.NotebookNode:
    """The notebook, run from top to bottom in a kernel of its own.

    Raises:
        CellExecutionError: A cell failed.
    """
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(HERE.parents[1])}}
    ).execute()
    for cell in notebook.cells:
        # Nothing of when and with what it ran.
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            # What TensorFlow logs of the machine while it starts.
            cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr"]
    notebook.metadata["language_info"] = {"name": "python"}
    return notebook


if __name__ == "__main__":
    nbformat.write(executed(), NOTEBOOK)
