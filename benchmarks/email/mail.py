"""The mail of the measurements: text and HTML, 2.7 kB, one recipient, one header with its number."""

from __future__ import annotations

SENDER = "Example Shop <shop@example.com>"
SUBJECT = "Your order 4711 is on its way"

_SENTENCE = "Your parcel left our warehouse this morning and will be with you the day after tomorrow. "
TEXT = "Hello Ada,\n\n" + "\n".join([_SENTENCE.strip()] * 6) + "\n\nYours,\nthe example shop\n"

_ROW = (
    '<tr><td style="padding:8px;border-bottom:1px solid #ddd">Item</td>'
    '<td style="padding:8px;border-bottom:1px solid #ddd;text-align:right">12.00</td></tr>\n'
)
HTML = (
    "<!doctype html>\n<html><head><title>Your order</title></head>\n<body>\n<p>Hello Ada,</p>\n"
    + "".join(f"<p>{_SENTENCE}</p>\n" for _ in range(6))
    + '<table style="width:100%;border-collapse:collapse">\n'
    + _ROW * 9
    + "</table>\n<p>Yours,<br>the example shop</p>\n</body></html>\n"
)

HEADER = "X-Bench-Id"


def address(number: int, *, of: str = "user") -> str:
    """Return the recipient of mail `number`; the sink behaves by the beginning of the address (see `sink.c`)."""
    return f"{of}{number}@example.net"
