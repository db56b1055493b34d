"""The settings of workers that tests start: the test's own database, its mail sink, and short times of django-q2."""

import os

from config import environment
from tests import settings as under_test
from tests.settings import *  # noqa: F403

# The run's process on SQLite hides TEST_DATABASE_URL from `tests.settings`; these workers need this one database.
DATABASES = {
    "default": environment.database(os.environ["WORKERS_DATABASE_URL"], root=under_test.BASE_DIR),
}
EMAIL_DELIVERY_URL = [os.environ.get("WORKERS_DELIVERY_URL", "smtp://127.0.0.1:9")]
RATE_LIMITS = dict.fromkeys(under_test.RATE_LIMITS, (100_000, 60))
RETRY = int(os.environ.get("WORKERS_RETRY", "120"))
Q_CLUSTER = {**under_test.Q_CLUSTER, "retry": RETRY, "timeout": min(90, RETRY)}
SILENCED_SYSTEM_CHECKS = [*under_test.SILENCED_SYSTEM_CHECKS, "redrive.E014"]  # shorter than a drain, on purpose
