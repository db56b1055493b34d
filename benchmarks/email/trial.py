"""What a scenario is given and what it gives back."""

from __future__ import annotations

import dataclasses

from benchmarks.email import sink
from benchmarks.email.contenders import Contender

type Measured = dict[str, float | None]
"""Figures by the heading of their column, the most important first; None where it could not be measured."""


@dataclasses.dataclass(frozen=True)
class Trial:
    """One run of one contender; `number` is that of the round."""

    contender: Contender
    sink: sink.Sink
    mails: int
    number: int

    @property
    def database(self) -> str:
        return self.contender.database

    def transport(self, *, null: bool = False) -> dict[str, str]:
        """Return the environment that points a worker at the sink, or at no transport."""
        return {
            "BENCH_TRANSPORT": "null" if null else "smtp",
            "BENCH_SMTP_PORT": str(self.sink.port),
            "EMAIL_DELIVERY_URL": f"smtp://127.0.0.1:{self.sink.port}",
        }
