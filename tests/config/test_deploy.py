"""What only runs elsewhere is read here: container files, units and the Procfile agree with the code and each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.core.management import get_commands

from config.management.commands.web import arguments
from tests.conftest import ROOT

pytestmark = pytest.mark.once

UNITS = sorted((ROOT / "docs" / "deploy").glob("*.service"))
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SETTINGS = (ROOT / "config" / "settings.py").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()


def test_every_command_named_exists():
    """A unit that starts a command which was renamed is found here, not on the server."""
    text = DOCKERFILE + (ROOT / "Procfile").read_text() + "".join(unit.read_text() for unit in UNITS)
    named = set(re.findall(r'manage\.py"?,? "?([a-z_]+)', text)) | {
        service["command"][2] for service in COMPOSE["services"].values() if "manage.py" in service.get("command", [])
    }
    assert named >= {"web", "work", "migrate", "collectstatic"}
    assert named <= set(get_commands())


def test_compose_passes_settings_that_exist():
    """And starts nothing before the database is ready and migrated."""
    for name in COMPOSE["x-redrive"]["environment"]:
        assert re.search(rf'^{name} =|"{name}"', SETTINGS, flags=re.MULTILINE), f"{name} is not a setting"
    for name in ("web", "work"):
        service = COMPOSE["services"][name]
        assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert service["read_only"] is True
    assert COMPOSE["services"]["work"]["stop_grace_period"] == "75s"


def test_the_image_holds_the_code_and_does_not_run_as_root():
    """All that is copied passes .dockerignore; secrets, data and tests do not."""
    ignore = (ROOT / ".dockerignore").read_text().split()
    kept = {line[1:] for line in ignore if line.startswith("!")}
    assert ignore[0] == "*"
    packages = {path.parent.name for path in ROOT.glob("*/apps.py")}
    assert kept == packages | {"manage.py", "requirements.txt", "templates"}
    assert DOCKERFILE.rindex("\nUSER redrive\n") > DOCKERFILE.rindex("\nRUN ")
    assert "--require-hashes" in DOCKERFILE


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_units_stop_as_django_q2_needs(unit: Path, tmp_path: Path):
    """SIGTERM to the main process alone, and more time than the longest drain for the workers."""
    text = unit.read_text()
    assert "KillMode=mixed" in text
    if "work" in unit.name:
        assert int(re.search(r"TimeoutStopSec=(\d+)", text)[1]) > 60  # type: ignore[index]
    if shutil.which("systemd-analyze"):
        # The paths of a server do not exist here; the rest of the unit is read as systemd reads it.
        copy = tmp_path / unit.name
        local = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
        copy.write_text(re.sub(r"^(User|Group|EnvironmentFile)=.*\n", "", local, flags=re.MULTILINE))
        result = subprocess.run(["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True)
        complaints = [line for line in result.stderr.splitlines() if unit.name in line]
        assert complaints == []


def test_the_web_servers_options_are_granians():
    """`manage.py web` replaces itself, so a wrong option would only be seen at the start."""
    help_text = subprocess.run(
        [str(Path(shutil.which("granian") or ROOT / ".venv/bin/granian")), "--help"], capture_output=True, text=True
    ).stdout
    for option in (word for word in arguments() if word.startswith("--")):
        assert re.search(rf"{option}\b", help_text), option


def test_deploy_documentation_names_only_settings_that_exist():
    """The table is what an operator copies from."""
    table = (ROOT / "docs" / "deploy.md").read_text().partition("## Settings")[2].partition("They come from")[0]
    for row in re.findall(r"^\| (`.+?`) \|", table, flags=re.MULTILINE):
        for name in re.findall(r"`([A-Z_]+)`", row):
            assert name in SETTINGS or name in (ROOT / "config/management/commands/web.py").read_text(), name
