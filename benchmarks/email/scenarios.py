"""The table of scenarios: what is measured, by whom, with how many mails."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.email import failures, throughput
from benchmarks.email.contenders import (
    DJANGO_MAILER,
    POST_OFFICE,
    RAW,
    RAW_EACH,
    RAW_PIPELINED,
    RAW_TEN,
    REDRIVE,
    Contender,
)
from benchmarks.email.trial import Measured


@dataclasses.dataclass(frozen=True)
class Scenario:
    """One table of the report; the ratios are against the row named `baseline`, if there is one."""

    name: str
    title: str
    mails: int
    measure: Callable[..., Measured]
    rows: Sequence[Row]
    rounds: int = 3
    baseline: str = POST_OFFICE.name


@dataclasses.dataclass(frozen=True)
class Row:
    """One contender in a scenario; `label` says what is different about it, `options` go to the measurement."""

    contender: Contender
    label: str = ""
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.contender.name}{self.label and ', '}{self.label}"


TWO: dict[str, Any] = {"hosts": 2}
SLOW: dict[str, Any] = {"delay_ms": 20}
NULL: dict[str, Any] = {"null": True}
ALONE: dict[str, Any] = {"share": 0.01}
GROWN: dict[str, Any] = {"finished": 10}

MAILER_LOCKED = DJANGO_MAILER.with_options(", its file lock on", BENCH_FILE_LOCK="on")
POST_OFFICE_RETRYING = POST_OFFICE.with_options(", 4 retries", BENCH_RETRIES="4")
MAILER_RETRYING = DJANGO_MAILER.with_options(", retried each run", BENCH_RETRIES="1")

SCENARIOS = (
    Scenario(
        "drain",
        "Drain over SMTP",
        800,
        throughput.drain,
        [
            Row(REDRIVE),
            Row(REDRIVE, "2 workers", TWO),
            Row(POST_OFFICE),
            Row(POST_OFFICE.with_options(", -p 2", BENCH_PROCESSES="2")),
            Row(DJANGO_MAILER),
            Row(DJANGO_MAILER, "2 workers", TWO),
            Row(RAW),
            Row(RAW_EACH),
            Row(RAW_PIPELINED),
            Row(RAW_TEN),
        ],
    ),
    Scenario(
        "slow",
        "The server needs 20 ms a mail",
        600,
        throughput.drain,
        [Row(contender, options=SLOW) for contender in (REDRIVE, POST_OFFICE, DJANGO_MAILER, RAW, RAW_TEN)],
    ),
    Scenario(
        "queue",
        "The queue's own cost (no transport)",
        2000,
        throughput.drain,
        [Row(contender, options=NULL) for contender in (REDRIVE, POST_OFFICE, DJANGO_MAILER, RAW, RAW_EACH)],
    ),
    Scenario(
        "enqueue",
        "Enqueue, one per call",
        400,
        throughput.enqueue,
        [Row(contender, options={"bulk": False}) for contender in (REDRIVE, POST_OFFICE, DJANGO_MAILER, RAW)],
    ),
    Scenario(
        "bulk",
        "Enqueue, in bulk",
        2000,
        throughput.enqueue,
        [Row(contender, options={"bulk": True}) for contender in (REDRIVE, POST_OFFICE, DJANGO_MAILER, RAW)],
    ),
    Scenario(
        "hosts",
        "Two hosts at once: repeated mails",
        2000,
        throughput.drain,
        [Row(contender, "2 hosts", TWO) for contender in (REDRIVE, POST_OFFICE, DJANGO_MAILER, RAW)],
        rounds=2,
        baseline=f"{POST_OFFICE.name}, 2 hosts",
    ),
    Scenario(
        "killed",
        "A worker killed -9 in the middle",
        600,
        failures.killed,
        [Row(contender) for contender in (REDRIVE, POST_OFFICE, DJANGO_MAILER, MAILER_LOCKED, RAW_EACH)],
        baseline="",
    ),
    Scenario(
        "cut_off",
        "All database sessions ended in the middle",
        600,
        failures.cut_off,
        [Row(contender) for contender in (REDRIVE, POST_OFFICE, DJANGO_MAILER)],
        rounds=2,
        baseline="",
    ),
    Scenario(
        "grown",
        "100,000 pending and 1,000,000 finished against 1,000 pending alone",
        100_000,
        throughput.grown,
        [
            Row(contender, label, options)
            for contender in (REDRIVE, POST_OFFICE, DJANGO_MAILER, RAW)
            for label, options in (("1 % of it alone", ALONE), ("beside ten times as many finished", GROWN))
        ],
        rounds=1,
        baseline=f"{POST_OFFICE.name}, 1 % of it alone",
    ),
    Scenario(
        "hung_up",
        "The server closes 5 of 100 connections",
        100,
        failures.hung_up,
        [Row(contender) for contender in (REDRIVE, POST_OFFICE, DJANGO_MAILER)],
        rounds=1,
        baseline="",
    ),
    Scenario(
        "reply_lost",
        "The reply is lost after DATA",
        10,
        failures.reply_lost,
        [Row(contender) for contender in (REDRIVE, POST_OFFICE_RETRYING, MAILER_RETRYING)],
        rounds=1,
        baseline="",
    ),
)
