"""`make install`: does nothing when nothing is to do, and says in one sentence what it lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
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
    sentence = "Redrive needs Python 3.12 or newer (3.13 is best); install it, or install uv, and try again.\n"
    result = install(place)
    assert (result.returncode, result.stderr) == (1, sentence)
    command(place, "uv", "exit 2")  # no Python, and no way to fetch one
    result = install(place)
    assert (result.returncode, result.stderr) == (1, sentence)


@pytest.fixture
def python(place: Path) -> Path:
    """A .venv whose Python is a script: it notes what it is asked, and never installs anything."""
    script = place / ".venv" / "bin" / "python"
    script.parent.mkdir(parents=True)
    command(place, "noted", f'echo "$@" >>{place}/asked; exit "$(cat {place}/status)"')
    script.write_text('#!/bin/sh\nif [ "$3" = install ]; then exec noted pip "$@"; fi\n')
    script.chmod(0o755)
    return script


def asked(place: Path) -> list[str]:
    """What the installers were asked so far."""
    return [line.split()[0] for line in (place / "asked").read_text().splitlines()]


def test_a_second_run_does_nothing(place: Path, python: Path):
    """The packages are asked for once per set of pins; an interrupted install is done again."""
    (place / "status").write_text("1")
    assert install(place).returncode == 1
    (place / "status").write_text("0")
    assert install(place).returncode == 0
    assert asked(place) == ["pip", "pip"]
    assert "--require-hashes -r requirements-test.txt" in (place / "asked").read_text()

    again = install(place)
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert asked(place) == ["pip", "pip"]

    with (place / "requirements-test.txt").open("a") as pins:
        pins.write("# changed\n")
    assert install(place).returncode == 0
    assert asked(place) == ["pip", "pip", "pip"]


def test_uv_is_used_where_there_is_one_and_pip_where_it_fails(place: Path, python: Path):
    """uv has settings of its own; a machine may be set up for pip alone."""
    (place / "status").write_text("0")
    command(place, "uv", 'exec noted uv "$@"')
    assert install(place).returncode == 0
    assert asked(place) == ["uv"]
    (place / ".venv" / ".installed").unlink()
    command(place, "uv", 'noted uv "$@"; exit 2')
    assert install(place).returncode == 0
    assert asked(place) == ["uv", "uv", "pip"]


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
