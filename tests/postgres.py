"""Finds a PostgreSQL for the tests: TEST_DATABASE_URL, one on 127.0.0.1:5432, or a temporary cluster of our own."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psycopg


@dataclass(frozen=True)
class Database:
    """`url` names a database that need not exist: the test run makes `test_<name>` beside it."""

    url: str
    origin: str


@contextmanager
def found() -> Iterator[Database | None]:
    """Yield the first PostgreSQL that lets us make a database; a temporary cluster is removed afterwards."""
    name = f"redrive_{os.getpid()}"  # two runs at once do not meet
    given = os.environ.get("TEST_DATABASE_URL")
    if given:
        yield Database(given, "TEST_DATABASE_URL") if may_create(given) else None
        return
    for user in dict.fromkeys(["postgres", getpass.getuser()]):
        if may_create(f"postgres://{user}@127.0.0.1:5432/postgres"):
            yield Database(f"postgres://{user}@127.0.0.1:5432/{name}", f"127.0.0.1:5432 as {user}")
            return
    with temporary_cluster() as port:
        yield Database(f"postgres://postgres@127.0.0.1:{port}/{name}", "temporary cluster") if port else None


def may_create(url: str) -> bool:
    """Whether the server answers and its user may create databases."""
    server = urlsplit(url)._replace(path="/postgres").geturl()
    try:
        with psycopg.connect(server, connect_timeout=3) as connection:
            row = connection.execute(
                "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
            ).fetchone()
            return bool(row and row[0])
    except psycopg.Error:
        return False


@contextmanager
def temporary_cluster() -> Iterator[int | None]:
    """Start a PostgreSQL in a temporary folder and yield its port; None where there are no binaries or it fails."""
    binaries = binaries_folder()
    owner = "postgres" if os.geteuid() == 0 else None  # PostgreSQL refuses to run as root
    if binaries is None or (owner and not _exists(owner)):
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="redrive-postgres-"))
    port = _free_port()
    command = [str(binaries / "pg_ctl"), "-D", str(folder / "data"), "-w", "-t", "30"]
    # Durability is not what these tests are about: a killed worker, not a killed server.
    options = f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off -c full_page_writes=off -c max_connections=200"
    try:
        if owner:
            shutil.chown(folder, owner)
        initdb = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8"]
        _run([*initdb, "--locale=C"], owner)
        _run([*command, "-o", options, "-l", str(folder / "log"), "start"], owner)
    except subprocess.CalledProcessError as error:
        print(f"test: PostgreSQL did not start: {error.stderr.decode(errors='replace').strip()[-500:]}", flush=True)
        shutil.rmtree(folder, ignore_errors=True)
        yield None
        return
    try:
        yield port
    finally:
        _run([*command, "-m", "immediate", "stop"], owner)
        shutil.rmtree(folder, ignore_errors=True)


def binaries_folder() -> Path | None:
    """Return the folder of initdb and pg_ctl: from PATH, else the newest one Debian hides beside it."""
    found = shutil.which("initdb")
    if found:
        return Path(found).parent
    hidden = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]), reverse=True)
    return hidden[0].parent if hidden else None


def _run(command: list[str], owner: str | None) -> None:
    home = {"user": owner, "group": pwd.getpwnam(owner).pw_gid, "extra_groups": []} if owner else {}
    # stdout to a file would be kept open by the server; DEVNULL lets pg_ctl return.
    subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **home)  # type: ignore[call-overload]


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
