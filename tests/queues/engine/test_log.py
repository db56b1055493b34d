"""Log lines: JSON, with context, without personal data, and never the reason why work fails."""

from __future__ import annotations

import io
import json
import logging
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.stdlib import ProcessorFormatter

from queues.engine import log


class Lines:
    """What was written, parsed."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def last(self) -> dict[str, Any]:
        """The last line."""
        parsed: dict[str, Any] = json.loads(self.stream.getvalue().splitlines()[-1])
        return parsed


@pytest.fixture
def lines() -> Iterator[Lines]:
    """The real formatter of the root handler, writing where the test can read."""
    root = logging.getLogger()
    formatter = next(h.formatter for h in root.handlers if isinstance(h.formatter, ProcessorFormatter))
    written = Lines()
    handler = logging.StreamHandler(written.stream)
    handler.setFormatter(formatter)
    root.addHandler(handler)
    yield written
    root.removeHandler(handler)


logger = log.get("tests.log")


def test_a_line_carries_its_context(lines: Lines):
    """Queue, item and attempt are bound once and stand on every line inside, other libraries' too."""
    with log.bound(queue="email", item_id=7, attempt=2):
        logger.info("item.settled", outcome="retry")
        assert lines.last.items() >= {"event": "item.settled", "queue": "email", "item_id": 7, "attempt": 2}.items()
        logging.getLogger("somebody.else").warning("odd %s", "thing")
        assert lines.last.items() >= {"event": "odd thing", "level": "warning", "item_id": 7}.items()
    logger.info("after")
    assert "item_id" not in lines.last


def test_a_field_never_replaces_the_lines_own_parts(lines: Lines):
    """Metadata comes from strangers and is spread into log calls."""
    metadata = {"event": "fake", "level": "debug", "timestamp": "1970", "logger": "fake"}
    logger.warning("real", **metadata)
    assert lines.last["event"] == "real"
    assert lines.last["level"] == "warning"
    assert lines.last["logger"] == "tests.log"
    assert lines.last["timestamp"].startswith("2")
    assert lines.last["field_event"] == "fake"
    with log.bound(**metadata):
        logger.error("real")
    assert (lines.last["event"], lines.last["level"], lines.last["logger"]) == ("real", "error", "tests.log")


class Broken:
    """An object that cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def test_what_cannot_be_written_becomes_a_note(lines: Lines):
    """Circular, deep, broken, binary, not a number, half a character."""
    circle: dict[str, Any] = {}
    circle["self"] = circle
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    logger.info("x", circle=circle, deep=deep, broken=Broken(), raw=b"\xff" * 9, nan=float("nan"), half="\ud800")
    assert lines.last["circle"] == {"self": "[circular]"}
    assert "[too deep]" in json.dumps(lines.last["deep"])
    assert lines.last["broken"] == "[unprintable Broken]"
    assert lines.last["nan"] == "nan"
    logger.info("x", keys={Broken(): 1}, many=range(10**9), set={1}, huge=10**400)
    assert lines.last["huge"] == "[huge number]"


@given(
    st.recursive(
        st.text() | st.integers() | st.floats() | st.binary() | st.none(), lambda c: st.dictionaries(st.text(), c)
    )
)
def test_any_value_is_written(value: object):
    """Whatever comes, the line is JSON."""
    json.loads(log.to_json({"event": "x", "value": log.writable(value)}))


@pytest.mark.parametrize(
    ("text", "kept", "hidden"),
    [
        ("to anna@example.com: refused", "a…@example.com: refused", "anna"),
        ("<Bob.Smith+tag@mail.example.org>", "<B…@mail.example.org>", "Smith"),
        ("jürgen@bücher.example", "j…@bücher.example", "jürgen"),
        ("/x?next=anna%40example.com", "example.com", "anna"),
        ("smtp://user:p@ss@mail.example.com:587", "mail.example.com:587", "p@ss"),
        ("postgres://redrive:hunter2@db/x", "@db/x", "hunter2"),
        ("key sk_live_abcdef123456 used", "sk_[masked]", "abcdef"),
        ("whsec_0123456789abcdef", "whsec_[masked]", "0123"),
        ("Authorization: Bearer abc.def.ghi", "Bearer [masked]", "abc.def"),
        ("GET /x?a=1&token=t0psecret&b=2", "a=1&token=[masked]&b=2", "t0psecret"),
        ("GET /unsubscribe/eyJhbGciOi/", "/unsubscribe/[masked]/", "eyJh"),
        ("POST /push/ack/eyJhbGciOi/", "/push/ack/[masked]/", "eyJh"),
        ("GET /accounts/reset/MQ/c1-abcdef/", "/accounts/reset/[masked]/", "c1-abcdef"),
    ],
)
def test_personal_data_and_secrets_are_masked(text: str, kept: str, hidden: str):
    """What helps to find the fault stays; what belongs to somebody goes."""
    masked = log.mask(text)
    assert kept in masked
    assert hidden not in masked


def test_bodies_and_secrets_are_not_logged_at_all(lines: Lines):
    """Under whatever depth their key stands."""
    logger.info("x", body="Dear Anna", item={"html": "<p>Dear Anna</p>", "api_key": "k1", "n": 3}, password="hunter2")
    written = lines.stream.getvalue()
    assert not any(secret in written for secret in ("Dear", "k1", "hunter2"))
    assert lines.last["item"]["n"] == 3


def test_a_traceback_is_kept_and_masked(lines: Lines):
    """Exceptions repeat what they were called with."""
    try:
        raise ValueError("cannot send to anna@example.com with sk_live_abcdef123456")
    except ValueError:
        logger.exception("boom")
    assert "Traceback" in lines.last["exception"]
    assert "a…@example.com" in lines.last["exception"]
    assert "abcdef" not in lines.stream.getvalue()
    try:
        raise ValueError("bob@example.com")
    except ValueError:
        logging.getLogger("somebody.else").exception("it failed")
    assert "Traceback" in lines.last["exception"]
    assert "ValueError: b…@example.com" in lines.last["exception"]


@pytest.mark.parametrize("unit", ["a", "@", "a@", "://a@", "%40", "sk_", "?token=", " a"])
def test_masking_hostile_text_takes_linear_time(unit: str):
    """A stranger's text must not hold a worker: 8,000 characters are looked at, in well under a tenth of a second."""
    begun = time.process_time()
    log.mask(unit * 200_000)
    assert time.process_time() - begun < 0.1


@pytest.mark.parametrize(
    ("address", "masked"), [("anna@example.com", "a…@example.com"), ("x", "x…"), ("@x", "…@x"), ("", "…")]
)
def test_one_address(address: str, masked: str):
    """For callers that know that they hold an address."""
    assert log.mask_address(address) == masked
