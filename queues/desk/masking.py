"""A payload without personal data: what is not known to be harmless is masked.

Kept are keys, numbers and yes or no outside personal objects, ids, times, and words under keys that hold a vocabulary
(`status`, `currency`). Everything else, and everything inside an address, a name or free metadata, is a mask.
"""

from __future__ import annotations

import re
from typing import Any

DEPTH_MAX = 40


class Mask(str):
    """Stands where something is hidden; equal to its text, so that JSON can carry it."""

    __slots__ = ()


MASK = Mask("hidden")

PERSONAL = frozenset(
    """
    address billing billing_address billing_details charges_details customer_address customer_details
    customer_email customer_name customer_phone customer_shipping customer_tax_ids custom_fields dob email
    evidence individual ip ip_address last4 metadata name owner person phone postal_code receipt_email
    receipt_number relationship shipping shipping_address shipping_details statement_descriptor tax_id tax_ids
    user_agent verification
    """.split()  # noqa: SIM905  (a vocabulary reads better as words)
)
"""Below these keys nothing is shown, not even a number."""
VOCABULARY = frozenset(
    """
    object type status currency api_version mode payment_status reason code decline_code network_status risk_level
    brand funding country interval collection_method billing_reason locale ui_mode capture_method
    confirmation_method payment_method_types setup_future_usage usage tax_exempt cancellation_reason
    billing_scheme tiers_mode source_type failure_code balance_type network submit_type account_type
    payment_method_collection customer_creation related_object action event_name category previous_status
    new_status error_code
    """.split()  # noqa: SIM905  (a vocabulary reads better as words)
)
"""Keys whose values are words of a fixed list, never a person's."""
_ID = re.compile(
    r"(?:acct|ba|bps|btok|card|ch|cn|cs|cus|di|dp|du|evt|fee|file|fr|ii|il|in|inpay|li|link|mandate|or|pi|plan|"
    r"plink|pm|po|pp|price|prod|promo|pst|py|pyr|qt|re|req|rp|seti|setatt|si|sli|src|sub|sub_sched|tok|tr|trr|txi|txn|txr)"
    r"(?:_test|_live)?_[A-Za-z0-9]{4,100}",
    re.ASCII,
)
"""Ids of Stripe's objects; its keys and client secrets have other beginnings, or go on behind a second underscore."""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d(?:[T ][\d:.]{5,15}(?:Z|[+-]\d\d:?\d\d)?)?", re.ASCII)
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,60}", re.ASCII)


def masked(value: Any, *, key: str = "", personal: bool = False, depth: int = 0) -> Any:
    """The same shape with `MASK` in the place of what may be personal."""
    personal = personal or key in PERSONAL
    if isinstance(value, dict | list) and depth > DEPTH_MAX:
        return MASK
    if isinstance(value, dict):
        return {name: masked(inner, key=str(name), personal=personal, depth=depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [masked(inner, key=key, personal=personal, depth=depth + 1) for inner in value]
    if value is None or value == "":
        return value
    if personal:
        return MASK
    if isinstance(value, bool | int | float):
        return value
    return value if _harmless(key, str(value)) else MASK


def _harmless(key: str, text: str) -> bool:
    if _ID.fullmatch(text) or _MOMENT.fullmatch(text):
        return True
    return key in VOCABULARY and bool(_WORD.fullmatch(text))
