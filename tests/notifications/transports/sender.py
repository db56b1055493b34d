"""A worker process of a test: sends pushes to Apple with some threads, and prints how it went."""

from __future__ import annotations

import argparse
import collections
import json
import os
import threading

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--settings", required=True, help="JSON")
    parser.add_argument("--pushes", type=int, required=True)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    django.setup()
    from django.conf import settings
    from django.db import connections

    from notifications.transports.answers import Address, Message
    from notifications.transports.apns import Apns

    for name, value in json.loads(given.settings).items():
        setattr(settings, name, value)
    carrier = Apns()
    verdicts: collections.Counter[str] = collections.Counter()
    print("ready", flush=True)
    input()

    def hand() -> None:
        for number in range(given.pushes // given.threads):
            answer = carrier.send(Message(title=f"{number}"), Address("default", "apns_token", "ab" * 32))
            verdicts[answer.verdict.value] += 1
        carrier.close()
        connections.close_all()

    threads = [threading.Thread(target=hand) for _ in range(given.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(verdicts), flush=True)


if __name__ == "__main__":
    main()
