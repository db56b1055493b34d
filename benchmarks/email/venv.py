"""The virtual environment of the peers, with pinned versions, made on first use."""

from __future__ import annotations

import functools
import pathlib
import subprocess
import sys

PINNED = (
    "Django==6.1.3",
    "psycopg[binary]==3.3.9",
    "django-post-office==3.12.0",
    "django-mailer==2.3.2",
    # What they bring along; pinned too, so that two runs a year apart compare the same code.
    "asgiref==3.13.0",
    "lockfile==0.12.2",
    "nh3==0.3.8",
    "sqlparse==0.6.1",
)


@functools.cache
def python(*, folder: pathlib.Path) -> pathlib.Path:
    """Return the peers' interpreter below `folder`; installs them when the list above has changed."""
    home = folder / "venv"
    stamp = home / "installed"
    interpreter = home / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != "\n".join(PINNED):
        print("Installing the peers into", home, file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *PINNED], check=True)
        stamp.write_text("\n".join(PINNED))
    return interpreter
