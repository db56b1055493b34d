"""Settings from the environment: what is read, and what is refused with a sentence that keeps the value to itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from config import environment
from config.environment import BadSetting

ROOT = Path("/srv/redrive")


def test_a_postgres_url_becomes_djangos_settings():
    """Percent-encoding is undone, the query goes to libpq, and the defaults of the house stay."""
    read = environment.database("postgres://us%40er:p%2Fw@db.example.com:6543/shop?sslmode=require", root=ROOT)
    assert (read["USER"], read["PASSWORD"], read["HOST"], read["PORT"], read["NAME"]) == (
        *("us@er", "p/w"),
        *("db.example.com", "6543", "shop"),
    )
    assert read["OPTIONS"] == {
        "connect_timeout": 5,
        "application_name": "redrive",
        "prepare_threshold": 3,
        "sslmode": "require",
    }
    assert read["CONN_MAX_AGE"] == 60
    assert read["CONN_HEALTH_CHECKS"] is True
    assert "pool" not in read["OPTIONS"]


@pytest.mark.parametrize(
    ("url", "path"),
    [("sqlite:///var/x.db", "/srv/redrive/var/x.db"), ("sqlite:////data/x%20y.db", "/data/x y.db")],
)
def test_a_sqlite_url_names_a_file(url: str, path: str):
    """Three slashes are relative to the project, four are absolute."""
    assert environment.database(url, root=ROOT)["NAME"] == path


@pytest.mark.django_db
def test_sqlite_keeps_what_was_acknowledged():
    """The default connection waits, writes ahead, and syncs fully (DESIGN 3.3 and 8)."""
    from django.db import connection

    if connection.vendor != "sqlite":
        pytest.skip("about SQLite")
    with connection.cursor() as cursor:
        values = {}
        for name in ("journal_mode", "synchronous", "busy_timeout"):
            cursor.execute(f"PRAGMA {name}")
            values[name] = cursor.fetchone()[0]
    assert values == {"journal_mode": "wal", "synchronous": 2, "busy_timeout": 20_000}
    assert connection.settings_dict["OPTIONS"]["transaction_mode"] == "IMMEDIATE"


@pytest.mark.parametrize(
    "url",
    [
        *("", "postgres://", "postgres://h", "mysql://u:secret@h/db", "sqlite://", "sqlite:///", "secret"),
        *("postgres://u:secret@h:port/db", "postgres://u:secret@[h/db", "postgres://u:secret@h:99999999/db"),
    ],
)
def test_a_bad_database_url_is_refused_without_its_password(url: str):
    """The message names the setting and what was expected."""
    with pytest.raises(BadSetting, match=r"^DATABASE_URL: ") as refused:
        environment.database(url, root=ROOT)
    assert "secret" not in str(refused.value)


def test_rate_limits_override_the_defaults_by_name():
    """What is not named keeps its default."""
    limits = environment.rate_limits({"RATE_LIMITS": " email = 5000/60 ,email.recipient=0/1,"})
    assert limits["email"] == (5000, 60)
    assert limits["email.recipient"] == (0, 1)
    assert limits["push.campaign"] == (100, 3600)
    assert environment.rate_limits({}) == environment.DEFAULT_RATE_LIMITS


@pytest.mark.parametrize(
    "text", ["email", "email=", "email=1", "email=1/0", "email=-1/60", "=1/60", "email=1/60;x=1/60"]
)
def test_a_bad_rate_limit_is_refused(text: str):
    """A limit that cannot be read must not silently be the default one."""
    with pytest.raises(BadSetting, match=r"^RATE_LIMITS: "):
        environment.rate_limits({"RATE_LIMITS": text})


@pytest.mark.parametrize(("text", "value"), [("1", True), ("Yes", True), ("0", False), ("", False), (" off ", False)])
def test_a_flag_is_a_word(text: str, value: bool):
    """Only clear words count."""
    assert environment.flag({"DEBUG": text}, "DEBUG") is value


def test_an_unclear_flag_is_refused():
    """DEBUG=prod is a mistake, not a yes."""
    with pytest.raises(BadSetting, match="DEBUG"):
        environment.flag({"DEBUG": "prod"}, "DEBUG")


@pytest.mark.parametrize("url", ["redrive.example.com", "ftp://x", "https://", "http://x/?a=b", "javascript:alert(1)"])
def test_a_base_url_is_an_address(url: str):
    """It goes into every link of every mail."""
    with pytest.raises(BadSetting, match="BASE_URL"):
        environment.base_url({"BASE_URL": url}, default="http://localhost")


READERS: list[Callable[[Mapping[str, str]], object]] = [
    environment.rate_limits,
    lambda values: environment.database(values["RATE_LIMITS"], root=ROOT),
    lambda values: environment.networks(values, "RATE_LIMITS"),
    lambda values: environment.flag(values, "RATE_LIMITS"),
    lambda values: environment.base_url({"BASE_URL": values["RATE_LIMITS"]}, default=""),
    lambda values: environment.port({"PORT": values["RATE_LIMITS"]}),
    lambda values: environment.days(values, "RATE_LIMITS", default=30),
    lambda values: environment.database(f"postgres://h/n?prepare_threshold={values['RATE_LIMITS']}", root=ROOT),
]


@pytest.mark.parametrize("reader", READERS)
@example("²")  # a digit, and no number
@given(text=st.text(max_size=80) | st.from_regex(r"(postgres|sqlite|https?)://.{0,40}", fullmatch=True))
def test_hostile_values_are_read_or_refused(reader: Callable[[Mapping[str, str]], object], text: str):
    """Nothing but BadSetting comes out, whatever goes in."""
    with suppress(BadSetting):
        reader({"RATE_LIMITS": text})


@pytest.mark.parametrize("text", ["0", "1023", "104857601", "-1", "1e6", "١٢٣٤", "512 kB", "9" * 13])
def test_a_number_out_of_bounds_is_refused_without_being_repeated(text: str):
    """`WEBHOOK_MAX_BYTES`: neither so small that no event passes, nor as large as memory."""
    bounds = {"default": 524_288, "least": 1024, "most": 104_857_600}
    with pytest.raises(BadSetting, match="WEBHOOK_MAX_BYTES: expected a number from 1024 to 104857600") as caught:
        environment.number({"WEBHOOK_MAX_BYTES": text}, "WEBHOOK_MAX_BYTES", **bounds)
    assert text == "0" or text not in str(caught.value)
    assert environment.number({"WEBHOOK_MAX_BYTES": "1048576"}, "WEBHOOK_MAX_BYTES", **bounds) == 1_048_576
    assert environment.number({}, "WEBHOOK_MAX_BYTES", **bounds) == 524_288
