"""Django settings of the peers: their own defaults, except that nothing is logged per message.

From the environment: BENCH_DATABASE, BENCH_TRANSPORT (`smtp` or `null`), BENCH_SMTP_PORT, and what a scenario sets.
"""

import os
from datetime import timedelta
from typing import Any

SECRET_KEY = "benchmarks"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "post_office" if os.environ["BENCH_MODULE"] == "post_office" else "mailer",
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PGDATABASE"],
        "HOST": os.environ.get("PGHOST", ""),
        "PORT": os.environ.get("PGPORT", ""),
        "USER": os.environ.get("PGUSER", ""),
        "PASSWORD": os.environ.get("PGPASSWORD", ""),
    }
}
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates"}]
LOGGING_CONFIG = None

TRANSPORT = {
    "smtp": "django.core.mail.backends.smtp.EmailBackend",
    "null": "benchmarks.email.null.NullBackend",
}[os.environ.get("BENCH_TRANSPORT", "smtp")]
EMAIL_HOST = "127.0.0.1"
EMAIL_PORT = int(os.environ.get("BENCH_SMTP_PORT", "0"))

POST_OFFICE: dict[str, Any] = {"BACKENDS": {"default": TRANSPORT}}
if "BENCH_RETRIES" in os.environ:
    POST_OFFICE |= {"MAX_RETRIES": int(os.environ["BENCH_RETRIES"]), "RETRY_INTERVAL": timedelta(0)}

EMAIL_BACKEND = "mailer.backend.DbBackend"
MAILER_EMAIL_BACKEND = TRANSPORT
# Its default, a lock file in the current directory, allows one worker only; the crash scenario measures it as it comes.
MAILER_LOCK_PATH = os.environ.get("BENCH_LOCK")
MAILER_USE_FILE_LOCK = os.environ.get("BENCH_FILE_LOCK") == "on"
