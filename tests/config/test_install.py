"""`make install`: does nothing when nothing is to do, and says in one sentence what it lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.once

TOOLS = ("sh", "dirname", "rm", "cat", "cksum", "mkdir")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A copy of what the installer needs, and a folder of commands in place of the machine's own."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    shutil.copy(ROOT / "requirements-test.txt", tmp_path)
    (tmp_path / "bin").mkdir()
    for tool in TOOLS:
        (tmp_path / "bin" / tool).symlink_to(str(shutil.which(tool)))
    return tmp_path


def install(place: Path) -> subprocess.CompletedProcess[str]:
    """Run it with nothing but those commands, an empty home and no settings."""
    environment = {"PATH": str(place / "bin"), "HOME": str(place)}
    return subprocess.run(["sh", ".ci/install"], cwd=place, env=environment, capture_output=True, text=True)


def command(place: Path, name: str, script: str) -> None:
    """Put a command of that name on its PATH."""
    path = place / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_without_python_it_says_so_in_one_sentence(place: Path):
    """An old Python counts as none."""
    command(place, "python3", "exit 1")
    result = install(place)
    assert result.returncode == 1
    assert result.stderr == (
        "Redrive needs Python 3.12 or newer (3.13 is best); install it, or install uv, and try again.\n"
    )


def test_a_second_run_does_nothing(place: Path):
    """The packages are asked for once per set of pins; an interrupted install is done again."""
    python = place / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(sys.executable)
    command(place, "uv", 'echo "$@" >>asked; exit "$(cat status)"')
    (place / "status").write_text("1")
    assert install(place).returncode == 1
    (place / "status").write_text("0")
    assert install(place).returncode == 0
    asked = (place / "asked").read_text().splitlines()
    assert len(asked) == 2
    assert "--require-hashes -r requirements-test.txt" in asked[0]

    again = install(place)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert len((place / "asked").read_text().splitlines()) == 2

    with (place / "requirements-test.txt").open("a") as pins:
        pins.write("# changed\n")
    assert install(place).returncode == 0
    assert len((place / "asked").read_text().splitlines()) == 3


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-test.txt"])
def test_the_pins_name_no_place(name: str):
    """They install from whatever index the machine is set up for, and every package carries hashes."""
    text = (ROOT / name).read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text
    pins = [block for block in text.split("\n") if block and not block.startswith((" ", "#"))]
    assert all("==" in pin and pin.rstrip().endswith("\\") for pin in pins)
    assert os.path.getsize(ROOT / name) > 1000
