"""The virtual environment of the peers, with pinned versions, made on first use."""

from __future__ import annotations

import functools
import pathlib
import subprocess
import sys

PINNED = (
    "pywebpush==2.5.0",
    "webpush==1.0.6",
    # What does the work below them; pinned too, so that two runs a year apart compare the same code.
    "cryptography==50.0.2",
    "requests==2.34.2",
)


@functools.cache
def python(*, folder: pathlib.Path) -> pathlib.Path:
    """Return the peers' interpreter below `folder`; installs them when the list above has changed."""
    home = folder / "push-venv"
    stamp, interpreter = home / "installed", home / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != "\n".join(PINNED):
        print("Installing the peers into", home, file=sys.stderr)
        subprocess.run([sys.executable, "-m", "venv", "--clear", home], check=True)
        subprocess.run([interpreter, "-m", "pip", "install", "--quiet", *PINNED], check=True)
        stamp.write_text("\n".join(PINNED))
    return interpreter
