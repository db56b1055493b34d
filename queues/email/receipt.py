"""What a transport gives back: the other side took the mail, for all recipients or for some."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Receipt:
    """The other side took responsibility for the mail."""

    words: str
    """What it said: `"250 2.0.0 Ok: queued as 4Xy"`."""
    provider_id: str = ""
    """The other side's name for this mail, by which its tracking events come; "" if it gave none."""
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    """Recipients it did not take, each with code and words; `classify.to_retry` and `hard_bounced` divide them."""
