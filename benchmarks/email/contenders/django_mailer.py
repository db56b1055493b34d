"""django-mailer as Django's EMAIL_BACKEND, and its command `send_mail`."""

from __future__ import annotations

import os

import django
from django.core.mail import EmailMultiAlternatives, get_connection
from django.core.management import call_command

from benchmarks.email import mail


def prepare() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "benchmarks.email.contenders.peer_settings"
    django.setup()


def migrate() -> None:
    call_command("migrate", verbosity=0)


def enqueue(number: int, to: str) -> None:
    _message(number, to).send()


def enqueue_many(pairs: list[tuple[int, str]]) -> None:
    get_connection().send_messages([_message(number, to) for number, to in pairs])


def drain(host: int) -> None:
    if "BENCH_RETRIES" in os.environ:
        call_command("retry_deferred", verbosity=0)
    call_command("send_mail", verbosity=0)


def state() -> dict[str, int]:
    from mailer.models import RESULT_SUCCESS, Message, MessageLog

    return {
        "pending": Message.objects.non_deferred().count(),
        "failed": Message.objects.deferred().count(),
        "sent": MessageLog.objects.filter(result=RESULT_SUCCESS).count(),
    }


def _message(number: int, to: str) -> EmailMultiAlternatives:
    headers = {mail.HEADER: str(number)}
    message = EmailMultiAlternatives(mail.SUBJECT, mail.TEXT, mail.SENDER, [to], headers=headers)
    message.attach_alternative(mail.HTML, "text/html")
    return message
