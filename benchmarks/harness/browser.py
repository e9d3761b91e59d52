"""The system's Chromium, for whatever measures or tests a page in it."""

from __future__ import annotations

import shutil
import subprocess

CHROMIUMS = ("chromium", "chromium-browser", "google-chrome")
QUIET = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)
"""Nothing that a fresh profile would ask the network for, and no sandbox, which root has none of."""


def chromium() -> str | None:
    """Where one is that starts; some systems have a script of that name that only says how to install it."""
    return next(filter(_starts, filter(None, map(shutil.which, CHROMIUMS))), None)


def _starts(path: str) -> bool:
    return subprocess.run([path, "--version"], capture_output=True, check=False).returncode == 0
