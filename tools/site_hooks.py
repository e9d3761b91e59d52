"""Hooks of MkDocs: pages that are made while the site is built, of results and of notebooks, so that they cannot be out of date."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tools import benchmarks_page, notebook_pages

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files


def generated(root: Path) -> dict[str, str]:
    """The pages by their place in the documentation."""
    notebooks = {
        f"notebooks/{name}.md": root / notebook_pages.NOTEBOOKS / f"{name}.ipynb" for name in notebook_pages.ORDER
    }
    return {
        "benchmarks.md": benchmarks_page.page(root),
        **{place: notebook_pages.page(path) for place, path in notebooks.items()},
    }


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Called by MkDocs once it has found the files that lie there."""
    from mkdocs.structure.files import File

    for place, content in generated(Path(config.config_file_path).parent).items():
        files.append(File.generated(config, place, content=content))
    return files
