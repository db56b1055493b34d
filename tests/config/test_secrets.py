"""var/secrets.env: written once, private, and overruled by the environment."""

from __future__ import annotations

import base64
import stat
from pathlib import Path

from config import secrets


def test_the_first_start_writes_what_is_missing(tmp_path: Path):
    """All of it, readable by its owner alone."""
    path = tmp_path / "var" / "secrets.env"
    secrets.ensure(path)
    written = secrets.read(path)
    assert set(written) == set(secrets.MAKERS)
    assert len(set(written.values())) == len(written)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(base64.urlsafe_b64decode(written["VAPID_PRIVATE_KEY"] + "=")) == 32


def test_a_later_start_changes_nothing(tmp_path: Path):
    """A new secret key would log everybody out; a new ledger key would break the chain."""
    path = tmp_path / "secrets.env"
    secrets.ensure(path)
    before = path.read_bytes()
    secrets.ensure(path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["secrets.env"]


def test_what_is_there_is_kept_and_made_private(tmp_path: Path):
    """A file written by hand, or by an older release, is completed."""
    path = tmp_path / "secrets.env"
    path.write_text("# mine\nSECRET_KEY=a=b\nOTHER = kept \nnot a line\n")
    path.chmod(0o644)
    secrets.ensure(path)
    written = secrets.read(path)
    assert (written["SECRET_KEY"], written["OTHER"]) == ("a=b", "kept")
    assert "LEDGER_KEY" in written
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_the_environment_wins(tmp_path: Path):
    """But an empty variable is none."""
    path = tmp_path / "secrets.env"
    path.write_text("SECRET_KEY=file\nLEDGER_KEY=file\n")
    merged = secrets.over(path, {"SECRET_KEY": "environment", "LEDGER_KEY": "", "PATH": "/bin"})
    assert merged == {"SECRET_KEY": "environment", "LEDGER_KEY": "file", "PATH": "/bin"}
