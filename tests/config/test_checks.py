"""`manage.py check`: each missing or contradictory setting has its message, and the tested setting has none."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from django.conf import settings as django_settings
from pytest_django import Settings

from config import checks
from tests.conftest import ROOT

CLUSTER = django_settings.Q_CLUSTER

CASES: list[tuple[str, dict[str, Any]]] = [
    ("redrive.E001", {"SECRET_KEY": ""}),
    ("redrive.W002", {"LEDGER_KEY": ""}),
    ("redrive.E003", {"DEBUG": True, "HTTPS": True}),
    ("redrive.E004", {"DEMO": True, "HTTPS": True}),
    ("redrive.W005", {"ALLOWED_HOSTS": ["*"]}),
    ("redrive.W006", {"HTTPS": True}),
    ("redrive.W007", {"EMAIL_DELIVERY_URL": ["console://"]}),
    ("redrive.W008", {"HTTPS": True, "DEFAULT_FROM_EMAIL": "Redrive <redrive@localhost>"}),
    ("redrive.E009", {"ANYMAIL_WEBHOOK_SECRET": "no colon"}),
    ("redrive.W010", {"STRIPE_API_KEY": "sk_test_x", "STRIPE_WEBHOOK_SECRETS": []}),
    ("redrive.E011", {"STRIPE_WEBHOOK_SECRETS": ["sk_live_x"]}),
    ("redrive.E012", {"STRIPE_API_KEY": "whsec_x"}),
    ("redrive.E013", {"APNS_KEY": "x", "APNS_TOPIC": "y"}),
    ("redrive.E017", {"VAPID_PRIVATE_KEY": "no key"}),
    ("redrive.W030", {"HTTPS": True}),
    ("redrive.E031", {"ALERT_EMAILS": ["ops@example.com", "nobody"]}),
    ("redrive.E032", {"ALERT_WEBHOOK_URL": "hooks.slack.com/services/x"}),
    ("redrive.E018", {"FCM_CREDENTIALS": "/nowhere.json"}),
    ("redrive.E018", {"FCM_CREDENTIALS": '{"type": "service_account"}'}),
    ("redrive.E019", {"FCM_API_BASE": "http://fcm.example.com"}),
    ("redrive.E019", {"APNS_API_BASE": "api.push.apple.com"}),
    ("redrive.E020", {"APNS_KEY": "-----BEGIN PRIVATE KEY-----"}),
    ("redrive.E021", {"APNS_KEY_ID": "short"}),
    ("redrive.E022", {"APNS_TOPIC": "com.example.app\n"}),
    ("redrive.W016", {"Q_CLUSTER": CLUSTER | {"timeout": 40}}),
    ("redrive.W033", {"Q_CLUSTER": CLUSTER | {"workers": 4}}),
    ("redrive.E014", {"Q_CLUSTER": CLUSTER | {"retry": 60}}),
    ("redrive.E015", {"Q_CLUSTER": CLUSTER | {"max_attempts": 0}}),
]


def messages() -> set[str]:
    """The ids of what the checks say now."""
    return {str(message.id) for message in checks.settings_agree()}


def test_the_tested_settings_agree():
    """Otherwise the cases below would prove nothing."""
    assert messages() == set()


@pytest.mark.parametrize(("expected", "changed"), CASES)
def test_each_contradiction_has_its_message(settings: Settings, expected: str, changed: dict[str, Any]):
    """One wrong setting, its own message."""
    for name, value in changed.items():
        setattr(settings, name, value)
    assert expected in messages()


@pytest.mark.once
def test_a_machine_without_settings_gets_sentences_instead_of_a_traceback(tmp_path: Any):
    """`manage.py check` on a fresh server."""
    environment = {"PATH": os.environ["PATH"], "VAR_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    result = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert "redrive.E001" in result.stderr
    assert "SECRET_KEY is not set" in result.stderr
    assert "Traceback" not in result.stderr

    environment["DATABASE_URL"] = "postgres://u:hunter2@h:x/db"
    result = subprocess.run(
        [sys.executable, "manage.py", "check"], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert result.returncode == 1
    assert result.stderr.startswith("Cannot read the setting DATABASE_URL: ")
    assert "hunter2" not in result.stderr
