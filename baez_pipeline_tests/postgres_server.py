"""A real PostgreSQL on the loopback interface for the time of a test or a benchmark: Debian's package.

with postgres() as server:
    ...  # server.url of an empty database, server.new_database() of another
"""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path


@dataclass
class Postgres:
    """A running server without passwords, that only this machine reaches."""

    port: int
    folder: Path
    binaries: Path
    user: str | None
    """Whom it runs as, where that is not who asks."""

    def __post_init__(self) -> None:
        self._numbers = count(1)
        self.url = self.new_database()

    def new_database(self) -> str:
        """URL of a new empty database."""
        name = f"dagster_{next(self._numbers)}"
        self._run("createdb", "--host=127.0.0.1", f"--port={self.port}", "--username=dagster", name)
        return f"postgresql+psycopg2://dagster@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: str) -> None:
        _run(self.user, str(self.binaries / program), *arguments)


def binaries() -> Path | None:
    """Where PostgreSQL's programs are; None where it is not installed."""
    # Debian puts only some of them on the path.
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    found = [*([Path(on_path).resolve()] if on_path else []), *debian]
    return found[-1].parent if found else None


@contextmanager
def postgres() -> Iterator[Postgres]:
    """Start a server of its own in a temporary folder, and stop it.

    As root it runs as the user of Debian's package: initdb refuses root.
    """
    programs = binaries()
    assert programs, "PostgreSQL is not installed: apt-get install postgresql"
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="postgres"))
    try:
        if user:
            os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
        data, port = folder / "data", _free_port()
        _run(
            user, str(programs / "initdb"), f"--pgdata={data}", "--username=dagster", "--auth=trust", "--encoding=UTF8"
        )
        options = f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder}"
        control = str(programs / "pg_ctl")
        _run(user, control, "start", "--wait", f"--pgdata={data}", f"--log={folder / 'log'}", f"--options={options}")
        try:
            yield Postgres(port, folder, programs, user)
        finally:
            _run(user, control, "stop", "--mode=immediate", f"--pgdata={data}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _run(user: str | None, *command: str) -> None:
    # pg_ctl's child keeps its output open: a pipe would be waited for until the server ends.
    with tempfile.TemporaryFile("w+") as said:
        done = subprocess.run(
            command, user=user, cwd="/", stdout=said, stderr=said, stdin=subprocess.DEVNULL, check=False
        )
        said.seek(0)
        assert done.returncode == 0, f"{Path(command[0]).name}: {said.read()}"
