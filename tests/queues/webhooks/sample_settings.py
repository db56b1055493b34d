"""The settings of child processes: the tests' own, with the sample handlers registered."""

import os

from tests.queues.webhooks import sample_handlers  # noqa: F401  (registers them)
from tests.settings import *  # noqa: F403

STRIPE_WEBHOOK_SECRETS = ["whsec_tests_of_the_webhook_queue"]

if os.environ.get("DIES_BEFORE_ANSWER"):  # a process that is killed after the commit and before the 200
    import signal
    from pathlib import Path

    from queues.engine import wake

    def die(*_: object, **__: object) -> None:
        flag = Path(os.environ["DIES_BEFORE_ANSWER"])
        if not flag.exists():
            flag.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    wake.soon = die
