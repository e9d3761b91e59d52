"""Run notebooks in a fresh kernel of this interpreter, and keep their outputs tidy.

``python -m tools.run_notebooks`` runs those in ``examples/notebooks/`` in their place: edit the cells, then run it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

FOLDER = Path("examples/notebooks")
TIMEOUT_S = 60
# Pictures go into the notebook, whatever they do elsewhere.
_SETTINGS = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
_KEPT_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(path: Path, folder: Path) -> Any:
    """The notebook with what its cells put out when they run one after the other.

    Parameters
    ----------
    path : Path
        The notebook; it is not changed.
    folder : Path
        Where its kernel runs, so that what it writes lands there.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell raises.
    nbclient.exceptions.CellTimeoutError
        If a cell takes longer than a minute.
    """
    import nbformat
    from nbclient import NotebookClient
    from traitlets.config import Config

    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # ships no types
    place = {"metadata": {"path": str(folder)}}
    with TemporaryDirectory() as own:
        # Sockets that are files, where nobody else listens.
        config = Config({"KernelManager": {"transport": "ipc", "connection_file": f"{own}/kernel.json"}})
        client = NotebookClient(notebook, kernel_name="python3", timeout=TIMEOUT_S, resources=place, config=config)
        client.execute(env={**os.environ, **_SETTINGS, "IPYTHONDIR": own})
    return tidied(notebook)


def tidied(notebook: Any) -> Any:
    """The notebook without what differs from run to run for no reason: timestamps, versions, random names, progress bars."""
    notebook.metadata = dict(_KEPT_METADATA)
    for i, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{i}", {}
        if cell.cell_type == "code":
            cell.outputs = list(_joined(output for output in cell.outputs if not _is_bar(output)))
    return notebook


def _is_bar(output: Any) -> bool:
    """Whether it is a progress bar, which goes back to the start of its line to be drawn anew."""
    return bool(output.output_type == "stream" and output.name == "stderr" and "\r" in output.text)


def _joined(outputs: Iterable[Any]) -> Iterator[Any]:
    """The outputs, with what was printed in several goes in one piece."""
    last = None
    for output in outputs:
        if last is not None and last.output_type == output.output_type == "stream" and last.name == output.name:
            last.text += output.text
            continue
        last = output
        yield output


def main() -> int:
    """Run every notebook, or those that are named, and write them back."""
    import nbformat

    paths = [Path(name) for name in sys.argv[1:]] or sorted(FOLDER.glob("*.ipynb"))
    for path in paths:
        notebook = executed(path, path.parent)
        nbformat.write(notebook, path)  # type: ignore[no-untyped-call]  # as above
        print(f"{path}: {path.stat().st_size / 1024:.0f} kB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
