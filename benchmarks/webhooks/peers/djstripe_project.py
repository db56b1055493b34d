"""dj-stripe as its documentation sets it up: settings, URLs and WSGI in one file. Runs in the peer's environment."""

import os
import time
from urllib.parse import urlsplit

import django

SLEEP_SECONDS = float(os.environ.get("BENCH_SLEEP", "0"))
UUID = "3c6e0b8a-9c15-4f3a-8f5e-0d2b6a4c7e10"
_url = urlsplit(os.environ["DATABASE_URL"])

SECRET_KEY = "benchmark"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = __name__
USE_TZ = True
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "djstripe"]
MIDDLEWARE = ["django.middleware.security.SecurityMiddleware", "django.middleware.common.CommonMiddleware"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": _url.path.removeprefix("/"),
        "USER": _url.username,
        "HOST": _url.hostname,
        "PORT": _url.port,
        "CONN_MAX_AGE": int(os.environ.get("BENCH_CONN_MAX_AGE", "0")),  # 0 is Django's default
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STRIPE_TEST_SECRET_KEY = "sk_test_" + "0" * 24
STRIPE_LIVE_MODE = False
DJSTRIPE_FOREIGN_KEY_TO_FIELD = "id"


def prepare() -> None:
    """Tables, our own account with its key, and the endpoint with its secret."""
    from django.core.management import call_command
    from djstripe.models import Account, APIKey, WebhookEndpoint

    call_command("migrate", verbosity=0)
    account = Account.objects.create(id="acct_bench", livemode=False, stripe_data={"id": "acct_bench"})
    APIKey.objects.create(
        id="sk_bench", secret=STRIPE_TEST_SECRET_KEY, type="secret", livemode=False, djstripe_owner_account=account
    )
    WebhookEndpoint.objects.create(
        id="we_bench",
        livemode=False,
        djstripe_owner_account=account,
        secret=os.environ["STRIPE_WEBHOOK_SECRETS"],
        djstripe_uuid=UUID,
        enabled_events=["*"],
        url="http://127.0.0.1/",
        status="enabled",
        stripe_data={},
    )


def _handler(sender, event, **_):  # type: ignore[no-untyped-def]
    if SLEEP_SECONDS:
        time.sleep(SLEEP_SECONDS)


urlpatterns: list[object] = []


def serve() -> object:
    """The WSGI application, with a handler for the benchmark's type of event."""
    from django.core.wsgi import get_wsgi_application
    from django.urls import include, path

    made = get_wsgi_application()
    from djstripe.signals import WEBHOOK_SIGNALS

    WEBHOOK_SIGNALS["balance.available"].connect(_handler, weak=False)
    urlpatterns.append(path("stripe/", include("djstripe.urls", namespace="djstripe")))
    return made


if __name__ == "__main__":
    django.setup()
    prepare()
