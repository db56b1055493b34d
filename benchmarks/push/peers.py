"""The peers, as their documentation says to use them; runs in their own virtual environment."""

from __future__ import annotations

from typing import Any

from benchmarks.push import browsers, clock

CLAIMS = {"sub": "mailto:push@example.com"}


def pywebpush_encrypt(url: str, **_: Any) -> dict[str, float]:
    """Encode and sign one message, as `webpush()` does before it sends."""
    from py_vapid import Vapid
    from pywebpush import WebPusher

    subscription, vapid = browsers.subscription(url), Vapid.from_string(browsers.server_key_raw())

    def once() -> None:
        WebPusher(subscription).encode(browsers.TEXT, content_encoding="aes128gcm")
        vapid.sign({**CLAIMS, "aud": url})

    return {"CPU µs": clock.best_cpu(once)}


def webpush_encrypt(url: str, **_: Any) -> dict[str, float]:
    """`WebPush.get`: encrypted and signed."""
    from webpush import WebPush, WebPushSubscription

    private, public = browsers.server_key_pem()
    peer = WebPush(private_key=private, public_key=public, subscriber="push@example.com")
    subscription = WebPushSubscription.model_validate(browsers.subscription(url))
    text = browsers.TEXT.decode()
    return {"CPU µs": clock.best_cpu(lambda: peer.get(message=text, subscription=subscription))}


def pywebpush_send(url: str, *, count: int, session: bool = False, threads: int = 1) -> dict[str, float]:
    """`webpush()` in a loop: by default a new connection for each; with a session one is kept."""
    import requests
    from pywebpush import webpush

    key = browsers.server_key_raw()
    subscriptions = [browsers.subscription(url) for _ in range(50)]

    def hand(times: int) -> None:
        kept = {"requests_session": requests.Session()} if session else {}
        for number in range(times):
            given = subscriptions[number % 50]
            claims = dict(CLAIMS)
            answer = webpush(given, browsers.TEXT, vapid_private_key=key, vapid_claims=claims, ttl=60, **kept)
            assert answer.status_code == 201

    return clock.in_threads(hand, count=count, threads=threads)
