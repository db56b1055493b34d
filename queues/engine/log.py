"""Structured logs: JSON lines with context (request id, item, attempt), personal data and secrets masked.

    logger = log.get(__name__)
    with log.bound(queue="email", item_id=7, attempt=2):
        logger.info("item.settled", outcome="retry", metadata=anything)

A field never replaces the line's own `event`, `level`, `timestamp` or `logger` (it becomes `field_level`, ...), and a
value that cannot be written (circular, huge, with a broken `repr`) is written as a note; a log call never raises.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any, cast

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from queues.engine import log_line

TEXT_MAX = 8_000
"""Characters of one value; a traceback fits, a mail does not."""
DEPTH_MAX = 6
ITEMS_MAX = 100

RESERVED = frozenset({"event", "level", "timestamp", "logger"})
MASKED = "[masked]"
SECRET_KEY = re.compile(
    r"password|passwd|secret|token|authorization|cookie|api_?key|private_?key|credential|signature", re.IGNORECASE
)
CONTENT_KEYS = frozenset({"body", "html", "text", "payload", "content", "raw", "attachments", "subject", "context"})
"""What people write to each other is never logged."""

# The look-behinds let a match begin only where a run begins, which keeps hostile text linear.
PLAIN = re.compile(r"[A-Za-z0-9.:+,-]*")
"""Text that no rule bears on: most event names, causes, numbers and times, which are not worth seven searches."""
ADDRESS = re.compile(
    r"(?<![^\s<>\"'(),;:=&/?])([^\s<>\"'(),;:@=&/?])[^\s<>\"'(),;:@=&/?]*(@|%40)(?=[^\s@])", re.IGNORECASE
)
RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"(?<=://)[^\s/@]{1,500}(?:@[^\s/@]{1,500})*@"), f"{MASKED}@"),  # smtp://user:password@host
    (re.compile(r"\b(sk|rk|pk|whsec|re|rdr|key|xox[bp])_(live_|test_)?[A-Za-z0-9_]{8,}"), rf"\1_{MASKED}"),
    (re.compile(r"\b(Bearer|Basic|Token)\s+[A-Za-z0-9._~+/=-]{6,}", re.IGNORECASE), rf"\1 {MASKED}"),
    (
        re.compile(r"(?<=[?&;])([\w.-]*(?:token|secret|key|password|signature|sig|code)[\w.-]*)=[^&\s\"']+", re.I),
        rf"\1={MASKED}",
    ),
    # Links that act without a log-in: RFC 8058 unsubscribe, push acknowledgement, password reset.
    (re.compile(r"(/unsubscribe/|/push/ack/|/accounts/reset/)[^\s?#\"']+"), rf"\1{MASKED}/"),
)


def mask_address(address: str) -> str:
    """Return the address with all but the first letter of its local part hidden: `a…@example.com`."""
    local, at, domain = address.rpartition("@")
    return f"{local[:1]}…@{domain}" if at else f"{address[:1]}…"


def mask(text: str) -> str:
    """Return the text with e-mail addresses, credentials and links that act without a log-in hidden, cut to length."""
    if PLAIN.fullmatch(text) and len(text) <= TEXT_MAX:
        return text
    cut = text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}… ({len(text) - TEXT_MAX} more)"
    for pattern, replacement in RULES:
        cut = pattern.sub(replacement, cut)
    return ADDRESS.sub(r"\1…\2", cut)


def writable(value: object, *, key: str = "", depth: int = 0, above: frozenset[int] = frozenset()) -> Any:
    """Return a copy of the value that JSON can hold, masked, cut in depth, length and size."""
    if value is not None and not isinstance(value, bool) and SECRET_KEY.search(key):
        return MASKED
    if key.lower() in CONTENT_KEYS:
        return f"[{len(value)} long]" if isinstance(value, str | bytes | list | tuple | dict) else MASKED
    if value is None or isinstance(value, bool):
        return value
    if type(value) is int:
        return value if abs(value) < 2**63 else "[huge number]"
    if type(value) is float:
        return value if value - value == 0 else repr(value)
    if isinstance(value, str):
        return mask(str.__str__(value))
    if isinstance(value, bytes | bytearray | memoryview):
        return f"[{len(value)} bytes]"
    if id(value) in above or depth >= DEPTH_MAX:
        return "[circular]" if id(value) in above else "[too deep]"
    return _inside(value, depth=depth + 1, above=above | {id(value)})


def _inside(value: object, *, depth: int, above: frozenset[int]) -> Any:
    """Return the writable copy of a mapping, a collection or any other object, whose own code may raise anything."""
    try:
        if isinstance(value, Mapping):
            pairs = [pair for pair, _ in zip(value.items(), range(ITEMS_MAX), strict=False)]
            return {_name(k): writable(v, key=_name(k), depth=depth, above=above) for k, v in pairs}
        if isinstance(value, list | tuple | Set):
            return [writable(v, depth=depth, above=above) for v, _ in zip(value, range(ITEMS_MAX), strict=False)]
        return mask(str(value))
    except Exception:  # noqa: BLE001  (a value's own __str__ or items() may raise anything, and logging must not)
        return f"[unprintable {type(value).__name__}]"


def _name(key: object) -> str:
    return str.__str__(key)[:200] if isinstance(key, str) else str(key)[:200]


class Logger(structlog.stdlib.BoundLogger):
    """structlog's logger, whose fields may have any name, also that of the line's own parts."""

    def debug(self, event: str, /, *args: Any, **fields: Any) -> None:  # type: ignore[override]
        """Write a line at level debug."""
        self._proxy_to_logger("debug", event, *args, **_renamed(fields))

    def info(self, event: str, /, *args: Any, **fields: Any) -> None:  # type: ignore[override]
        """Write a line at level info."""
        self._proxy_to_logger("info", event, *args, **_renamed(fields))

    def warning(self, event: str, /, *args: Any, **fields: Any) -> None:  # type: ignore[override]
        """Write a line at level warning."""
        self._proxy_to_logger("warning", event, *args, **_renamed(fields))

    def error(self, event: str, /, *args: Any, **fields: Any) -> None:  # type: ignore[override]
        """Write a line at level error."""
        self._proxy_to_logger("error", event, *args, **_renamed(fields))

    def exception(self, event: str, /, *args: Any, **fields: Any) -> None:  # type: ignore[override]
        """Write a line at level error with the traceback of the exception being handled."""
        self._proxy_to_logger("error", event, *args, **{"exc_info": True, **_renamed(fields)})


def _renamed(fields: dict[str, Any]) -> dict[str, Any]:
    return {f"field_{name}" if name in RESERVED else name: value for name, value in fields.items()}


def get(name: str) -> Logger:
    """Return the logger of a module: `logger = log.get(__name__)`."""
    return cast(Logger, structlog.stdlib.get_logger(name))


@contextmanager
def bound(**fields: Any) -> Iterator[None]:
    """Add fields to every line written in this block by this thread or task (`queue`, `item_id`, `attempt`, ...)."""
    with structlog.contextvars.bound_contextvars(**_renamed(fields)):
        yield


def mask_fields(_logger: WrappedLogger, _method: str, line: EventDict) -> EventDict:
    """The processor that makes every field writable; the structure around them is structlog's own."""
    return {str(key): value if key.startswith("_") else writable(value, key=key) for key, value in line.items()}


SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    mask_fields,  # here and not in the formatter, so that no handler whatever sees more
]


to_json = log_line.as_json


def logging_config(*, level: str = "INFO", readable: bool = False) -> dict[str, Any]:
    """Return Django's LOGGING: everything, also of other libraries, as JSON lines on standard error.

    `readable`: as lines for people instead, in development.
    """
    renderer = log_line.as_words if readable else structlog.processors.JSONRenderer(serializer=to_json)
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "json": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": SHARED,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    renderer,
                ],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        # Django's own handlers would write the same lines again; its per-request line doubles django-structlog's.
        "loggers": {
            "django": {"handlers": [], "propagate": True, "level": "INFO"},
            "django.request": {"level": "CRITICAL"},
            "django.server": {"handlers": [], "propagate": True, "level": "WARNING"},
            # Three lines for every beat of its heart; what the queues do is in their own lines.
            "django-q": {"handlers": ["stderr"], "propagate": False, "level": "WARNING"},
        },
    }


def configure() -> None:
    """Point structlog at the standard library's logging."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=Logger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    logging.captureWarnings(True)
