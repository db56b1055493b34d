"""A program of its own on a test's database, with the push services of loopback allowed, that a test can kill.

python -m tests.notifications.sending.worker drain             drain the push queue
python -m tests.notifications.sending.worker notify KEY N      push to the first N users, again and again, with one key
"""

from __future__ import annotations

import sys

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402

from notifications import push  # noqa: E402
from queues.engine import registry  # noqa: E402
from queues.engine.drain import Drain  # noqa: E402

settings.PRIVATE_HOSTS_ALLOWED = ["127.0.0.1"]
settings.VAPID_PRIVATE_KEY = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"
settings.RATE_LIMITS = {name: (1_000_000, seconds) for name, (_, seconds) in settings.RATE_LIMITS.items()}

if sys.argv[1] == "drain":
    Drain(registry.get("push")).run()
else:
    users = list(User.objects.order_by("pk")[: int(sys.argv[3])])
    print("here", flush=True)
    push.notify(users=users, title="Doors open", key=sys.argv[2])
