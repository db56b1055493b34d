"""What `mime.build` writes, the standard library's parser reads back: the same subject, people, texts and files."""

from __future__ import annotations

import dataclasses
import email
import email.policy
import re
from datetime import UTC, datetime
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.utils import getaddresses
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from queues.email import addresses, headers, mime
from queues.email.mail import File, Mail, validate

pytestmark = pytest.mark.once

PLAIN = Mail(
    message_id="<20261124.1@example.com>",
    date=datetime(2026, 11, 24, 8, 30, tzinfo=UTC),
    subject="Your order has shipped",
    from_email="Shop <shop@example.com>",
    to=("anna@example.com",),
    text="Hello Anna,\n\nit is on its way.\n",
    html="<p>Hello Anna,</p>\n<p>it is on its way.</p>\n",
)

CHARACTERS = st.characters(codec="utf-8")
HARD_TEXT = st.sampled_from(
    [
        "שלום עולם",
        "👩‍👩‍👧‍👦🏳️‍🌈",
        "é",
        "مرحبا",
        "漢字かな交じり文",
        "ﷺ",
        "\u202ertl",
        "=?utf-8?q?no?=",
        "a,b;<c>",
        '"',
        "\\",
    ]
)
LINE = st.text(CHARACTERS.filter(lambda c: c not in "\r\n\x00"), max_size=120) | HARD_TEXT
NAME = (
    st.lists(
        st.text(
            st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zs", "Zl", "Zp"]), min_size=1, max_size=40
        ),
        min_size=1,
        max_size=4,
    ).map(" ".join)
    | HARD_TEXT
)
LOCAL = st.from_regex(r"[a-z0-9!#$%&'*+/=?^_`{|}~-]{1,20}(\.[A-Z0-9]{1,20}){0,2}", fullmatch=True)
DOMAIN = st.sampled_from(["example.com", "sub.example.co.uk", "bücher.example", "例え.テスト", "localhost"])
ADDRESS = st.builds(lambda local, domain: f"{local}@{domain}", LOCAL, DOMAIN)


def quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


PERSON = st.one_of(ADDRESS, st.builds(lambda name, address: f"{quoted(name)} <{address}>", NAME, ADDRESS))
PEOPLE = st.lists(PERSON, max_size=6).map(tuple)
BODY = st.one_of(
    st.text(CHARACTERS, max_size=400),
    st.lists(
        st.sampled_from(["From here", ".", "..", "", " ", "x" * 77, "x" * 79, "y" * 1200, "a=b =3D ", "--=_"])
    ).map("\r\n".join),
    st.lists(HARD_TEXT, max_size=30).map("\n".join),
)
FILE = st.builds(
    File,
    name=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), max_size=120),
    content_type=st.sampled_from(
        ["application/pdf", "image/png", "text/csv; charset=utf-8", "message/rfc822", "a/b+c"]
    ),
    content=st.binary(max_size=300),
    content_id=st.sampled_from(["", "", "logo@example.com"]),
)
HEADERS = st.lists(
    st.tuples(st.sampled_from(["X-Campaign", "List-Id", "Precedence", "X-" + "Long" * 15]), LINE), max_size=4
).map(tuple)
NINETEEN, TWENTY_ONE = datetime(1900, 1, 2), datetime(2100, 1, 1)  # noqa: DTZ001
MAILS = st.builds(
    Mail,
    message_id=st.from_regex(r"<[a-z0-9.]{1,30}@[a-z]{1,10}\.example>", fullmatch=True),
    date=st.datetimes(NINETEEN, TWENTY_ONE, timezones=st.timezones()),
    subject=LINE,
    from_email=PERSON,
    to=PEOPLE,
    cc=PEOPLE,
    bcc=PEOPLE,
    reply_to=PEOPLE,
    text=BODY,
    html=BODY,
    headers=HEADERS,
    attachments=st.lists(FILE, max_size=3).map(tuple),
)


def parse(content: bytes) -> EmailMessage:
    message = email.message_from_bytes(content, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def lines(text: str) -> str:
    """The text with the line endings a reader sees."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def parts(message: EmailMessage) -> list[EmailMessage]:
    return [part for part in message.walk() if not part.is_multipart()]


def people(message: EmailMessage, name: str) -> list[tuple[str, str]]:
    """Names and addresses of a header.

    The names by the older decoder: until Python 3.13.1 or so the newer one leaves a space between two encoded words
    of a name, against RFC 2047 section 6.2.
    """
    value: Any = message[name]
    if value is None:
        return []
    raw = dict(message.raw_items())[name].replace("\r\n", "")
    pairs = [pair for pair in getaddresses([raw]) if pair[1]]  # an empty group has an empty pair
    assert [address for _name, address in pairs] == [each.addr_spec for each in value.addresses]
    return [(str(make_header(decode_header(encoded))), address) for encoded, address in pairs]


def text_of(part: EmailMessage) -> str:
    payload = part.get_payload(decode=True)
    assert isinstance(payload, bytes)
    return lines(payload.decode())


@settings(max_examples=100, deadline=None)
@given(MAILS)
@example(dataclasses.replace(PLAIN, text="", html="", to=(), cc=(), bcc=("a@example.com",)))
@example(dataclasses.replace(PLAIN, text="no newline at the end", html=""))
def test_the_standard_library_reads_back_what_went_in(mail: Mail) -> None:
    message = parse(mime.build(mail))

    assert message.defects == []
    assert message["Subject"] == mail.subject
    assert message["Message-ID"] == mail.message_id
    assert message["Date"].datetime == mail.date.astimezone(UTC).replace(microsecond=0)
    for name, given_headers in (
        ("From", (mail.from_email,)),
        ("To", mail.to),
        ("Cc", mail.cc),
        ("Reply-To", mail.reply_to),
    ):
        assert people(message, name) == [addresses.split(header) for header in given_headers], name
    read = [(name, str(value)) for name, value in message.items() if name in dict(mail.headers)]
    assert read == list(mail.headers)

    texts = [part for part in parts(message) if part.get_content_disposition() is None]
    wanted = [text for text in (mail.text, mail.html) if text] or [""]
    assert [text_of(part).removesuffix("\n") for part in texts] == [lines(text).removesuffix("\n") for text in wanted]

    files = [part for part in parts(message) if part.get_content_disposition() is not None]
    ordered = sorted(mail.attachments, key=lambda file: not (file.content_id and mail.html))
    assert [part.get_payload(decode=True) for part in files] == [file.content for file in ordered]
    assert [part.get_filename() or "" for part in files] == [file.name.strip() for file in ordered]


@settings(max_examples=50, deadline=None)
@given(MAILS)
@example(dataclasses.replace(PLAIN, html="", text="y" * 1200))
@example(dataclasses.replace(PLAIN, html="", text="y" * 1200 + " "))
def test_every_line_is_short_ascii_and_ends_with_crlf(mail: Mail) -> None:
    content = mime.build(mail)

    assert content.isascii()
    assert content.endswith(b"\r\n")
    assert b"\r" not in content.replace(b"\r\n", b"")
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 998


@settings(max_examples=50, deadline=None)
@given(MAILS)
def test_the_same_mail_is_the_same_bytes_and_no_bcc_is_named(mail: Mail) -> None:
    content = mime.build(mail)

    assert mime.build(mail) == content
    assert parse(content)["Bcc"] is None


INJECTIONS = ["\r\nBcc: eve@example.com", "\nBcc: eve@example.com", "\r\n\r\n<script>", "\x00", "\rX: y", "a\r\n b"]


@pytest.mark.parametrize("poison", INJECTIONS)
def test_no_field_can_smuggle_in_a_header(poison: str) -> None:
    hostile = [
        dataclasses.replace(PLAIN, subject=f"Hi{poison}"),
        dataclasses.replace(PLAIN, from_email=f"Shop{poison} <shop@example.com>"),
        dataclasses.replace(PLAIN, from_email=f"shop@example.com{poison}"),
        dataclasses.replace(PLAIN, to=(f'"Anna{poison}" <anna@example.com>',)),
        dataclasses.replace(PLAIN, to=(f"Anna <anna@exam{poison}ple.com>",)),
        dataclasses.replace(PLAIN, reply_to=(f"a@example.com{poison}",)),
        dataclasses.replace(PLAIN, headers=(("X-Ok", f"v{poison}"),)),
        dataclasses.replace(PLAIN, headers=((f"X-Ok{poison}", "v"),)),
        dataclasses.replace(PLAIN, message_id=f"<a{poison}@example.com>"),
        dataclasses.replace(PLAIN, attachments=(File(f"a{poison}.txt", "text/plain", b""),)),
        dataclasses.replace(PLAIN, attachments=(File("a.txt", f"text/plain{poison}", b""),)),
        dataclasses.replace(PLAIN, attachments=(File("a.png", "image/png", b"", f"cid{poison}"),)),
    ]
    for mail in hostile:
        with pytest.raises(ValueError, match=r"^(subject|from_email|to|reply_to|headers|message_id|attachments): "):
            validate(mail)
        try:
            content = mime.build(mail)
        except ValueError:
            continue
        assert b"eve@example.com" not in content.partition(b"\r\n\r\n")[0] or b"=0A" in content
        message = parse(content)
        assert message["Bcc"] is None
        assert message["X"] is None
        assert set(parse(mime.build(PLAIN)).keys()) | {"X-Ok"} >= set(message.keys())


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.text(max_size=60), st.text(max_size=60))
def test_nothing_a_caller_may_hand_in_adds_a_header(subject: str, name: str, value: str) -> None:
    mail = dataclasses.replace(PLAIN, subject=subject, to=(f"{name} <a@example.com>",), headers=(("X-Ok", value),))
    try:
        content = mime.build(mail)
    except ValueError:
        return
    assert [line.split(b":")[0] for line in re.split(rb"\r\n(?![ \t])", content.partition(b"\r\n\r\n")[0])] == [
        *(b"From", b"To", b"Subject", b"Date", b"Message-ID", b"X-Ok", b"MIME-Version", b"Content-Type"),
    ]


def test_half_a_character_is_replaced_and_harms_nothing() -> None:
    mail = dataclasses.replace(PLAIN, subject="a\ud800b", text="x\udfffy \ud83d\ude00", html="<p>\ud800</p>")
    message = parse(mime.build(mail))

    assert message["Subject"] == "a\N{REPLACEMENT CHARACTER}b"
    assert [text_of(part) for part in parts(message)] == [
        "x\N{REPLACEMENT CHARACTER}y \N{GRINNING FACE}",
        "<p>\N{REPLACEMENT CHARACTER}</p>",
    ]


def test_a_text_that_contains_the_boundary_gets_another_one() -> None:
    first = re.search(rb'boundary="([^"]+)-1"', mime.build(PLAIN))
    assert first
    mail = dataclasses.replace(PLAIN, text=f"--{first.group(1).decode()}-1\n")
    content = mime.build(mail)

    second = re.search(rb'boundary="([^"]+)-1"', content)
    assert second
    assert second.group(1) != first.group(1)
    assert text_of(parts(parse(content))[0]) == mail.text


def test_layers_are_there_only_when_they_hold_something_together() -> None:
    image = File("logo.png", "image/png", b"PNG", "logo")
    paper = File("a.pdf", "application/pdf", b"PDF")

    def shape(**changes: Any) -> list[str]:
        return [part.get_content_type() for part in parse(mime.build(dataclasses.replace(PLAIN, **changes))).walk()]

    assert shape(html="") == ["text/plain"]
    assert shape(text="") == ["text/html"]
    assert shape(text="", html="") == ["text/plain"]
    assert shape() == ["multipart/alternative", "text/plain", "text/html"]
    assert shape(attachments=(image, paper)) == [
        "multipart/mixed",
        "multipart/related",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "image/png",
        "application/pdf",
    ]
    assert shape(text="", attachments=(image,)) == ["multipart/related", "text/html", "image/png"]
    assert shape(html="", attachments=(image,)) == ["multipart/mixed", "text/plain", "image/png"]


def test_an_attached_mail_arrives_byte_for_byte() -> None:
    inner = b"Subject: inner\n\nnaked newline \xff"
    (part,) = parts(
        parse(mime.build(dataclasses.replace(PLAIN, html="", attachments=(File("m.eml", "message/rfc822", inner),))))
    )[1:]

    assert part.get_payload(decode=True) == inner
    assert part.get_filename() == "m.eml"


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("short lines\n" * 50, "7bit"),
        ("x" * 78, "7bit"),
        ("x" * 79, "quoted-printable"),
        ("tab\there", "7bit"),
        ("form feed \x0c", "quoted-printable"),
        ("mostly ASCII, one é in a longer line of text", "quoted-printable"),
        ("Привет мир", "base64"),
    ],
)
def test_the_lightest_encoding_that_is_safe_is_used(text: str, encoding: str) -> None:
    message = parse(mime.build(dataclasses.replace(PLAIN, text=text, html="")))

    assert message["Content-Transfer-Encoding"] == encoding
    assert text_of(message).removesuffix("\n") == text.removesuffix("\n")


def test_a_local_part_beyond_ascii_stays_utf8_and_the_rest_is_encoded() -> None:
    content = mime.build(dataclasses.replace(PLAIN, to=("Jörg <jörg@bücher.example>",), subject="Grüße"))

    assert "<jörg@xn--bcher-kva.example>".encode() in content
    assert content.replace("jörg".encode(), b"").isascii()


def test_header_lines_stay_within_78_where_they_can() -> None:
    mail = dataclasses.replace(
        PLAIN,
        subject="Grüße aus dem Süden und noch viel mehr Text, der nicht auf eine Zeile passt " * 3,
        to=tuple(f"Person Nummer {number} <person{number}@example.com>" for number in range(40)),
        headers=(("List-Unsubscribe", f"<https://example.com/unsubscribe/{'t' * 120}/>"),),
    )
    head = mime.build(mail).partition(b"\r\n\r\n")[0].split(b"\r\n")

    assert [line for line in head if len(line) > 78] == [
        b"List-Unsubscribe: <https://example.com/unsubscribe/" + b"t" * 120 + b"/>"
    ]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"to": (), "cc": (), "bcc": ()}, "to"),
        ({"to": ("a@example.com",) * 1001}, "to"),
        ({"subject": "x" * 1001}, "subject"),
        ({"date": datetime(2026, 1, 1)}, "date"),  # noqa: DTZ001
        ({"message_id": "no-brackets@example.com"}, "message_id"),
        ({"message_id": "<a b@example.com>"}, "message_id"),
        ({"headers": (("Bcc", "eve@example.com"),)}, "headers"),
        ({"headers": (("content-TYPE", "text/evil"),)}, "headers"),
        ({"headers": (("X Y", "v"),)}, "headers"),
        ({"headers": (("X-Y", "v" * 901),)}, "headers"),
        ({"attachments": (File("a", "nonsense", b""),)}, "attachments"),
        ({"attachments": (File("a" * 256, "text/plain", b""),)}, "attachments"),
        ({"bcc": ("nobody",)}, "bcc"),
    ],
)
def test_validate_names_the_field(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(ValueError, match=f"^{field}: "):
        validate(dataclasses.replace(PLAIN, **changes))


def test_validate_accepts_what_is_built() -> None:
    validate(PLAIN)
    validate(dataclasses.replace(PLAIN, to=(), bcc=("Ünï <ünï@bücher.example>",), subject="🎉" * 200))


def test_recipients_are_each_once_in_order() -> None:
    mail = dataclasses.replace(
        PLAIN, to=("B <b@example.com>", "a@example.com"), cc=("A@Example.com",), bcc=("c@x.org",)
    )

    assert mail.recipients() == ["b@example.com", "a@example.com", "c@x.org"]


@pytest.mark.parametrize("taken", [0, 9, 60, 77, 200])
def test_encoded_words_are_never_too_long(taken: int) -> None:
    for text in ("é" * 300, "漢字" * 100, "👍" * 60, "x" * 300, "a b" * 99):
        for number, word in enumerate(headers.encoded_words(text, taken=taken)):
            assert len(word) <= headers.WORD - (taken if number == 0 and taken <= 50 else 0)
