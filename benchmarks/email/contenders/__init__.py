"""What is compared: each module here drives one queue through the same five functions.

`prepare()` sets its library up; `migrate()` makes its tables; `enqueue(number, to)` and `enqueue_many(pairs)` put mails
in, by its documented way; `drain(host)` runs its worker command until that returns; `state()` counts its rows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Protocol


class Queue(Protocol):
    """The functions of a contender's module."""

    def prepare(self) -> None: ...
    def migrate(self) -> None: ...
    def enqueue(self, number: int, to: str) -> None: ...
    def enqueue_many(self, pairs: list[tuple[int, str]]) -> None: ...
    def drain(self, host: int) -> None: ...
    def state(self) -> dict[str, int]: ...


@dataclasses.dataclass(frozen=True)
class Contender:
    """One row of a table: a module of this folder with its settings."""

    name: str
    module: str
    peer: bool = False
    options: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def database(self) -> str:
        return f"bench_{self.module}"

    def with_options(self, suffix: str = "", **options: str) -> Contender:
        return dataclasses.replace(self, name=self.name + suffix, options={**self.options, **options})


REDRIVE = Contender("Redrive", "redrive")
POST_OFFICE = Contender("django-post_office", "post_office", peer=True)
DJANGO_MAILER = Contender("django-mailer", "django_mailer", peer=True)
RAW = Contender("raw floor", "raw")
RAW_EACH = RAW.with_options(", settled singly", BENCH_SETTLE="each")
RAW_PIPELINED = RAW.with_options(", pipelined", BENCH_SMTP="pipelined")
RAW_TEN = RAW.with_options(", pipelined on 10", BENCH_SMTP="pipelined", BENCH_CONNECTIONS="10")
