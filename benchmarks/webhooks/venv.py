"""The virtual environment of the peer, with pinned versions, made on first use."""

from __future__ import annotations

import functools
import pathlib
import subprocess
import sys

PINNED = (
    "dj-stripe==2.11.0",
    "Django==6.1.3",
    "psycopg[binary]==3.3.9",
    "granian==2.8.7",
    # What they bring along; pinned too, so that two runs a year apart compare the same code.
    "asgiref==3.13.0",
    "click==8.5.1",
    "requests==2.34.2",
    "sqlparse==0.6.1",
    "stripe==15.6.2",
)


@functools.cache
def python(*, folder: pathlib.Path) -> pathlib.Path:
    """Return the peer's interpreter below `folder`; installs it when the list above has changed."""
    home = folder / "webhooks-venv"
    stamp, interpreter = home / "installed", home / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != "\n".join(PINNED):
        print("Installing the peer into", home, file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *PINNED], check=True)
        stamp.write_text("\n".join(PINNED))
    return interpreter
