"""Checks JSON against Google's published discovery document of `fcm.v1` (in google-api-python-client)."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any, cast

import googleapiclient  # type: ignore[import-untyped]

KINDS: dict[str, type | tuple[type, ...]] = {
    "string": str,
    "boolean": bool,
    "integer": int,
    "number": (int, float),
    "object": dict,
    "array": list,
}


@functools.cache
def _schemas() -> dict[str, Any]:
    folder = Path(googleapiclient.__file__).parent / "discovery_cache" / "documents"
    found: dict[str, Any] = json.loads((folder / "fcm.v1.json").read_text())["schemas"]
    return found


def faults(value: Any, schema: str = "SendMessageRequest") -> list[str]:
    """What of the value the schema does not know or wants otherwise, as paths."""
    return _faults(value, {"$ref": schema}, schema)


def _faults(value: Any, rule: dict[str, Any], path: str) -> list[str]:
    if "$ref" in rule:
        rule = _schemas()[rule["$ref"]]
    kind = rule.get("type", "any")
    if kind == "any":
        return []
    if not isinstance(value, KINDS[kind]) or (kind in {"integer", "number"} and isinstance(value, bool)):
        return [f"{path}: not {kind}"]
    if "enum" in rule and value not in rule["enum"]:
        return [f"{path}: not one of the enumeration"]
    found: list[str] = []
    if kind == "array":
        for number, each in enumerate(cast("list[Any]", value)):
            found += _faults(each, rule["items"], f"{path}[{number}]")
        return found
    if kind != "object":
        return []
    known, rest = rule.get("properties", {}), rule.get("additionalProperties")
    for name, each in value.items():
        inner = known.get(name) or rest
        found += _faults(each, inner, f"{path}.{name}") if inner else [f"{path}.{name}: unknown"]
    return found
