"""The page of answers says what the tables say."""

from __future__ import annotations

import pytest

from tests.notifications.transports import answers_page


@pytest.mark.once
def test_the_page_is_what_the_tables_say():
    """Else: python -m tests.notifications.transports.answers_page"""
    assert answers_page.PAGE.read_text(encoding="utf-8") == answers_page.render()
