"""All settings of Redrive. What differs between environments comes from the environment (DESIGN 4.2).

A missing or contradictory one is a message of `manage.py check` (config/checks.py).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.utils.csp import CSP

from analytics import navigation as analytics
from config import environment, secrets
from notifications import navigation as notifications
from payments import navigation as payments
from queues.desk import shell
from queues.engine import log

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(os.environ.get("VAR_DIR") or BASE_DIR / "var")
SECRETS_FILE = VAR_DIR / "secrets.env"
UP_FILE = VAR_DIR / "up.env"  # what a running `manage.py up` tells commands typed beside it: where mail goes
ENVIRONMENT = secrets.over(UP_FILE, secrets.over(SECRETS_FILE, os.environ))

# --- The site -------------------------------------------------------------------------------------------------------

DEBUG = environment.flag(ENVIRONMENT, "DEBUG")
DEMO = environment.flag(ENVIRONMENT, "DEMO")  # set by `manage.py up`: the pages under /demo/
DEMO_LOGINS = {
    name: ENVIRONMENT[f"DEMO_{name.upper()}_PASSWORD"]
    for name in ("administrator", "operator", "observer", "customer")
    if f"DEMO_{name.upper()}_PASSWORD" in ENVIRONMENT
}
SECRET_KEY = ENVIRONMENT.get("SECRET_KEY", "")
PORT = environment.port(ENVIRONMENT)
BASE_URL = environment.base_url(ENVIRONMENT, default=f"http://localhost:{PORT}")
HTTPS = BASE_URL.startswith("https://")
ALLOWED_HOSTS = [
    *(environment.words(ENVIRONMENT, "ALLOWED_HOSTS") or [urlsplit(BASE_URL).hostname or ""]),
    *("localhost", "127.0.0.1", "[::1]"),  # probes on this machine
]
CSRF_TRUSTED_ORIGINS = [BASE_URL]
TRUSTED_PROXIES = environment.networks(ENVIRONMENT, "TRUSTED_PROXIES")
PRIVATE_HOSTS_ALLOWED = environment.words(ENVIRONMENT, "PRIVATE_HOSTS_ALLOWED")

ROOT_URLCONF = "config.urls"
WSGI_APPLICATION = "config.wsgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True

INSTALLED_APPS = [
    "config",
    "unfold",
    "unfold.contrib.filters",
    "unfold.contrib.forms",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_q",
    "rest_framework",
    "drf_spectacular",
    "anymail",
    "django_structlog",
    "queues",
    "notifications",
    "payments",
    "analytics",
]

MIDDLEWARE = [
    "config.middleware.TrustedProxies",
    "config.middleware.RequestId",
    "queues.monitor.tracing.Requests",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.csp.ContentSecurityPolicyMiddleware",
    "config.middleware.AdminPolicy",
    "django.middleware.gzip.GZipMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "analytics.outage.Outage",
    "django_structlog.middlewares.RequestMiddleware",
]

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.csp",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.ManifestStaticFilesStorage"},
}

# --- Security -------------------------------------------------------------------------------------------------------

SECURE_CSP: dict[str, Any] = {
    "default-src": [CSP.SELF],
    "script-src": [CSP.SELF],
    "style-src": [CSP.SELF],
    "img-src": [CSP.SELF, "data:"],
    "object-src": [CSP.NONE],
    "base-uri": [CSP.NONE],
    "form-action": [CSP.SELF],
    "frame-ancestors": [CSP.SELF],
}
# Unfold's Alpine evaluates expressions and writes inline styles; inline scripts stay forbidden.
ADMIN_CSP: dict[str, Any] = SECURE_CSP | {
    "script-src": [CSP.SELF, CSP.UNSAFE_EVAL],
    "style-src": [CSP.SELF, CSP.UNSAFE_INLINE],
}
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_HSTS_SECONDS = 30 * 24 * 3600 if HTTPS else 0
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")  # TrustedProxies drops it from everyone else
X_FRAME_OPTIONS = "SAMEORIGIN"
# The proxy redirects to https (W008: probes come by plain http), and other subdomains are not ours (W005, W021).
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W008", "security.W021"]

LOGIN_URL = "/accounts/login/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = LOGIN_URL
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
    {"NAME": "django.contrib.auth.password_validation.NumericPasswordValidator"},
]

# --- Data and clock -------------------------------------------------------------------------------------------------

DATABASES = {
    "default": environment.database(
        ENVIRONMENT.get("DATABASE_URL") or f"sqlite:///{VAR_DIR / 'redrive.sqlite3'}", root=BASE_DIR
    )
}
REDIS_URL = ENVIRONMENT.get("REDIS_URL", "")
CACHES: dict[str, Any] = {
    "default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}
    if REDIS_URL
    else {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}
}

# django-q2 is the clock and the worker processes, nothing more (DESIGN 3.2, 8); the truth is in our own tables.
Q_CLUSTER: dict[str, Any] = {
    "name": "redrive",
    "label": "Clock and workers",
    "workers": 6,  # one resident drain per queue, and two that stay free for short tasks
    "queue_limit": 6,  # tasks taken early wait locked behind a drain; few of them, so that none outlives `retry`
    "timeout": 90,  # above the 50 s of a drain
    "retry": 120,  # above the timeout
    "max_attempts": 1,
    "ack_failures": True,  # a failed task is not repeated: what it should do is still due in our tables
    "catch_up": False,
    "save_limit": 20,  # every finished task reads that many rows
    "poll": 0.5,
    # Ours read a queue of their own machine too, through which each supervisor asks its own cluster for heartbeats.
    "broker_class": f"queues.engine.broker.{'Lists' if REDIS_URL else 'Tables'}",
    **({"redis": REDIS_URL} if REDIS_URL else {"orm": "default"}),
}

# --- Queues ---------------------------------------------------------------------------------------------------------

RATE_LIMITS = {"analytics.refresh": (1, 15)} | environment.rate_limits(ENVIRONMENT)
RETRY_JITTER = 0.1  # delays vary by this share, so that what failed together does not come back together
LEDGER_KEY = ENVIRONMENT.get("LEDGER_KEY", "")

# --- E-mail ---------------------------------------------------------------------------------------------------------

MAILERS = {"default": {"BACKEND": "queues.email.backend.QueueBackend"}}
DEFAULT_FROM_EMAIL = ENVIRONMENT.get("DEFAULT_FROM_EMAIL") or "Redrive <redrive@localhost>"
SERVER_EMAIL = DEFAULT_FROM_EMAIL
EMAIL_DELIVERY_URL = environment.words(ENVIRONMENT, "EMAIL_DELIVERY_URL", default="console://")
RETENTION_BODIES_DAYS = environment.days(ENVIRONMENT, "RETENTION_BODIES_DAYS", default=30)
RETENTION_ROWS_DAYS = environment.days(ENVIRONMENT, "RETENTION_ROWS_DAYS", default=90)
RETENTION_EVENTS_DAYS = environment.days(ENVIRONMENT, "RETENTION_EVENTS_DAYS", default=400)  # analytics
ANYMAIL_WEBHOOK_SECRET = ENVIRONMENT.get("ANYMAIL_WEBHOOK_SECRET", "")
ANYMAIL = {"WEBHOOK_SECRET": ANYMAIL_WEBHOOK_SECRET} if ANYMAIL_WEBHOOK_SECRET else {}

# --- Stripe, push, alerts -------------------------------------------------------------------------------------------

STRIPE_API_KEY = ENVIRONMENT.get("STRIPE_API_KEY", "")
STRIPE_API_BASE = ENVIRONMENT.get("STRIPE_API_BASE", "")
# Where Stripe sends the customer after a checkout: a page of the product's, never an address the client names.
CHECKOUT_RETURN_URL = ENVIRONMENT.get("CHECKOUT_RETURN_URL", "")
STRIPE_WEBHOOK_SECRETS = environment.words(ENVIRONMENT, "STRIPE_WEBHOOK_SECRETS")
STRIPE_SWEEP_CONNECTED = environment.flag(ENVIRONMENT, "STRIPE_SWEEP_CONNECTED")  # of a Connect platform: theirs too
WEBHOOK_MAX_BYTES = environment.number(
    ENVIRONMENT, "WEBHOOK_MAX_BYTES", default=512 * 1024, least=1024, most=100 * 1024 * 1024
)
VAPID_PRIVATE_KEY = ENVIRONMENT.get("VAPID_PRIVATE_KEY", "")
FCM_CREDENTIALS = ENVIRONMENT.get("FCM_CREDENTIALS", "")
APNS_KEY = ENVIRONMENT.get("APNS_KEY", "")
APNS_KEY_ID = ENVIRONMENT.get("APNS_KEY_ID", "")
APNS_TEAM_ID = ENVIRONMENT.get("APNS_TEAM_ID", "")
APNS_TOPIC = ENVIRONMENT.get("APNS_TOPIC", "")
# Where Google and Apple are; other addresses are for tests and for gateways.
FCM_API_BASE = (ENVIRONMENT.get("FCM_API_BASE") or "https://fcm.googleapis.com").rstrip("/")
APNS_API_BASE = (ENVIRONMENT.get("APNS_API_BASE") or "https://api.push.apple.com").rstrip("/")
APNS_SANDBOX_API_BASE = (ENVIRONMENT.get("APNS_SANDBOX_API_BASE") or "https://api.sandbox.push.apple.com").rstrip("/")
# Apps that devices may register for, and the categories of pushes that people choose from.
PUSH_APPS = environment.words(ENVIRONMENT, "PUSH_APPS", default="default")
PUSH_CATEGORIES = environment.words(ENVIRONMENT, "PUSH_CATEGORIES", default="news,orders,account")
DEVICES_STALE_DAYS = environment.days(ENVIRONMENT, "DEVICES_STALE_DAYS", default=30)  # not seen for so long
DEVICES_UNSEEN_DAYS = environment.days(ENVIRONMENT, "DEVICES_UNSEEN_DAYS", default=270)  # FCM itself forgets then
DEVICES_FORGET_DAYS = environment.days(ENVIRONMENT, "DEVICES_FORGET_DAYS", default=30)  # an ended one's address
DEVICES_INVALID_DAYS = environment.days(ENVIRONMENT, "DEVICES_INVALID_DAYS", default=90)
DEVICES_REPLACED_DAYS = environment.days(ENVIRONMENT, "DEVICES_REPLACED_DAYS", default=180)
ALERT_EMAILS = environment.words(ENVIRONMENT, "ALERT_EMAILS")
ALERT_WEBHOOK_URL = ENVIRONMENT.get("ALERT_WEBHOOK_URL", "")

# --- Watching -------------------------------------------------------------------------------------------------------

STATUS_PAGE = DEMO or environment.flag(ENVIRONMENT, "STATUS_PAGE")  # /status/, for customers' eyes
METRICS_TOKEN = ENVIRONMENT.get("METRICS_TOKEN", "")
OTEL_EXPORTER_OTLP_ENDPOINT = ENVIRONMENT.get("OTEL_EXPORTER_OTLP_ENDPOINT", "")
DJANGO_STRUCTLOG_IP_LOGGING_ENABLED = False  # an address is personal data, and the proxy has it
DJANGO_STRUCTLOG_TRUST_UPSTREAM_REQUEST_ID = True  # config.middleware.RequestId lets sane ones through alone
DJANGO_STRUCTLOG_TRUST_UPSTREAM_CORRELATION_ID = False
DJANGO_STRUCTLOG_STATUS_START_LOG_LEVEL = 10  # one line per request: the one with its outcome
LOGGING = log.logging_config(level="DEBUG" if DEBUG else "INFO", readable=DEBUG)
log.configure()

# --- API and admin --------------------------------------------------------------------------------------------------

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["queues.desk.api.strict_json.StrictJSONParser"],
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "queues.desk.api.authentication.TokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["queues.desk.api.authentication.Permitted"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "queues.desk.api.errors.handle",
    "URL_FORMAT_OVERRIDE": None,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Redrive",
    "DESCRIPTION": "Nothing the product sends or receives is lost.",
    "VERSION": "1.0.0",
    "OAS_VERSION": "3.1.1",
    "SERVE_INCLUDE_SCHEMA": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}
UNFOLD = shell.UNFOLD
UNFOLD["SIDEBAR"]["navigation"][2:2] = [notifications.SECTION, payments.SECTION, analytics.SECTION]  # below the queues
