"""The settings under test: the real ones in a known environment, on the database named by TEST_DATABASE_URL.

Without it SQLite is used, in a file and not in memory: the tests use threads and processes. `make test` runs one
process on each of the two and one, on SQLite, for tests marked `once`; TEST_ON says which this one is.
"""

import os
from pathlib import Path

from config import secrets

RUN = os.environ.setdefault("REDRIVE_TEST_RUN", str(os.getpid()))  # one for all processes of this run
TEST_VAR = Path(__file__).resolve().parent.parent / "var" / "test" / RUN
TEST_VAR.mkdir(parents=True, exist_ok=True)

# What the developer's shell and var/secrets.env say must not decide whether a test passes.
KNOWN = {
    **dict.fromkeys(secrets.MAKERS, "for-tests-only-0123456789-0123456789-0123456789-abc"),
    **dict.fromkeys(("REDIS_URL", "DEBUG", "DEMO", "ALLOWED_HOSTS", "TRUSTED_PROXIES", "RATE_LIMITS"), ""),
    **dict.fromkeys(("STRIPE_API_KEY", "STRIPE_API_BASE", "METRICS_TOKEN", "PRIVATE_HOSTS_ALLOWED"), ""),
    **dict.fromkeys(("ALERT_EMAILS", "ALERT_WEBHOOK_URL", "OTEL_EXPORTER_OTLP_ENDPOINT"), ""),
    **dict.fromkeys(("FCM_CREDENTIALS", "APNS_KEY", "APNS_KEY_ID", "APNS_TEAM_ID", "APNS_TOPIC"), ""),
    **dict.fromkeys(("FCM_API_BASE", "APNS_API_BASE", "APNS_SANDBOX_API_BASE"), ""),
    "VAR_DIR": str(TEST_VAR),
    "BASE_URL": "http://localhost:8000",
    "DEFAULT_FROM_EMAIL": "Redrive <redrive@example.com>",
    "EMAIL_DELIVERY_URL": "smtp://127.0.0.1:9",  # the discard port: nothing listens
    "STRIPE_WEBHOOK_SECRETS": "whsec_for_tests_only",
    "ANYMAIL_WEBHOOK_SECRET": "tests:password",
    "VAPID_PRIVATE_KEY": "",
}
# What a test sets for its own child processes.
KNOWN |= {
    name: os.environ[f"TEST_{name}"] for name in ("EMAIL_DELIVERY_URL", "RATE_LIMITS") if f"TEST_{name}" in os.environ
}
os.environ.update(KNOWN)
given = os.environ.get("TEST_DATABASE_URL", "")
if os.environ.get("TEST_ON") in ("sqlite", "once") and not given.startswith(
    "sqlite"
):  # a child of a test is told the test's file
    given = ""
os.environ["DATABASE_URL"] = given or f"sqlite:///{TEST_VAR / 'db.sqlite3'}"

from config.settings import *  # noqa: E402, F403
from config.settings import DATABASES, INSTALLED_APPS, STORAGES  # noqa: E402

if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": str(TEST_VAR / "test.sqlite3")}
INSTALLED_APPS += ["tests.samplequeue"]
STORAGES["staticfiles"] = {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
RETRY_JITTER = 0
