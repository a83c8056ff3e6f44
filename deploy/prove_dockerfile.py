"""Run each instruction of the Dockerfile in a clean Debian, on a machine without a container engine.

    python deploy/prove_dockerfile.py FOLDER                  as root; needs debootstrap
    python deploy/prove_dockerfile.py FOLDER --argument EXTRAS="postgres celery" --share /opt/wheels

FOLDER gets a Debian 12 with Python 3.11 and make, once (delete FOLDER to begin anew), and one copy of it for each
stage, in which the stage's instructions run as they stand in the Dockerfile. COPY takes from the checkout what
.dockerignore leaves. At the end CMD is started as the image's user, and HEALTHCHECK is asked until it passes.

It stands in for `docker build` in all but the base images: those have their Python in another folder.
"""

import argparse
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
DEBIAN = ("--variant=minbase", "--include=make,python3.11,python3.11-venv,ca-certificates", "bookworm")
PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
SECONDS_TO_HEALTH = 300


@dataclass
class Stage:
    """A stage's file system and what its instructions have set."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATHS, "HOME": "/root"})
    arguments: dict[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0:0"

    def expanded(self, text: str) -> str:
        """The text with the variables of ENV and ARG."""
        known = self.arguments | self.environment
        return re.sub(r"\$\{?(\w+)\}?", lambda found: known.get(found[1], ""), text)

    def started(self, command: Sequence[str]) -> "subprocess.Popen[bytes]":
        """A command in the stage's file system, as its user and in its folder."""
        inside = f"cd {shlex.quote(self.folder)} && exec {shlex.join(command)}"
        return subprocess.Popen(
            ["chroot", f"--userspec={self.user}", str(self.root), "/bin/sh", "-c", inside],
            env=self.arguments | self.environment,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    def run(self, command: Sequence[str]) -> None:
        """A command to its end; CalledProcessError if it fails."""
        if code := self.started(command).wait():
            raise subprocess.CalledProcessError(code, list(command))


def main() -> None:
    """Prove all stages; the exit status is 1 at the first instruction that fails."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--argument", action="append", default=[], metavar="NAME=VALUE", help="--build-arg")
    parser.add_argument(
        "--share", action="append", default=[], type=Path, help="of this machine, copied into each stage"
    )
    asked = parser.parse_args()
    given = dict(pair.split("=", 1) for pair in asked.argument)
    stages: dict[str, Stage] = {}
    last = Stage(Path())
    health: list[str] = []
    for word, rest in instructions((ROOT / "Dockerfile").read_text(encoding="utf-8")):
        begun = time.monotonic()
        if word == "FROM":
            name = rest.partition(" AS ")[2] or str(len(stages))
            last = stages[name] = Stage(_copy_of_debian(asked.folder, name, asked.share))
        elif word == "HEALTHCHECK":
            health = json.loads(rest[rest.index("[") :])
        elif word == "CMD":
            _prove_start(last, json.loads(rest), health)
        else:
            carry_out(word, rest, last, stages, given)
        print(f"{time.monotonic() - begun:6.1f} s  {word} {rest[:90]}", flush=True)


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """The instructions of a Dockerfile, with continued lines joined."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        yield word, re.sub(r" +", " ", rest.strip())


def carry_out(word: str, rest: str, stage: Stage, stages: dict[str, Stage], given: dict[str, str]) -> None:
    """One instruction within a stage."""
    if word == "ARG":
        name, _, default = rest.partition("=")
        stage.arguments[name] = given.get(name, default.strip('"'))
    elif word == "ENV":
        stage.environment |= {
            name: stage.expanded(value) for name, value in (pair.split("=", 1) for pair in shlex.split(rest))
        }
    elif word == "WORKDIR":
        stage.folder = rest
        (stage.root / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
    elif word == "USER":
        stage.user = rest
        stage.environment["HOME"] = _home(stage)
    elif word == "RUN":
        stage.run(["/bin/sh", "-c", rest])
    elif word == "COPY":
        _copy(rest.split(), stage, stages)
    elif word == "VOLUME":
        assert (stage.root / rest.lstrip("/")).is_dir(), f"VOLUME {rest}: no such folder"
    elif word != "EXPOSE":
        raise ValueError(f"{word} is not known here: say how it is proved")


def ignored(path: str, patterns: Sequence[str]) -> bool:
    """Whether .dockerignore leaves a path of the checkout out; the last pattern that fits decides."""
    out = False
    for pattern in patterns:
        plain = pattern.lstrip("!").removeprefix("**/")
        parents = [path, *(str(parent) for parent in Path(path).parents)]
        names = [Path(each).name for each in parents] if "**/" in pattern else parents
        if any(fnmatch.fnmatchcase(name, plain) for name in names):
            out = not pattern.startswith("!")
    return out


def _copy(words: Sequence[str], stage: Stage, stages: dict[str, Stage]) -> None:
    *sources, target = [word for word in words if not word.startswith("--")]
    given_by = next((word.removeprefix("--from=") for word in words if word.startswith("--from=")), None)
    end = stage.root / os.path.normpath(f"{stage.folder}/{target}").lstrip("/")
    patterns = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    for source in sources:
        begin = stages[given_by].root / source.lstrip("/") if given_by else ROOT / source
        into = end / begin.name if target.endswith("/") and begin.is_file() else end
        into.parent.mkdir(parents=True, exist_ok=True)
        if given_by is None and ignored(source, patterns):
            raise FileNotFoundError(f"COPY {source}: .dockerignore leaves it out")
        if begin.is_file():
            shutil.copy2(begin, into)
            continue
        shutil.copytree(
            begin,
            into,
            symlinks=True,
            dirs_exist_ok=True,
            ignore=None
            if given_by
            else lambda at, names: [name for name in names if ignored(str(Path(at, name).relative_to(ROOT)), patterns)],
        )


def _copy_of_debian(folder: Path, name: str, shares: Sequence[Path]) -> Path:
    clean = folder / "debian"
    if not clean.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(["debootstrap", *DEBIAN[:-1], DEBIAN[-1], str(clean)], check=True)
    root = folder / f"stage_{name}"
    shutil.rmtree(root, ignore_errors=True)
    subprocess.run(["cp", "--archive", str(clean), str(root)], check=True)
    # Names and certificates are the machine's, as they are an engine's.
    for place in (Path("/etc/resolv.conf"), Path("/etc/ssl/certs/ca-certificates.crt"), *shares):
        inside = root / str(place).lstrip("/")
        inside.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["cp", "--recursive", "--dereference", "--no-target-directory", place, inside], check=True)
    return root


def _home(stage: Stage) -> str:
    for line in (stage.root / "etc/passwd").read_text(encoding="utf-8").splitlines():
        fields = line.split(":")
        if fields[2] == stage.user.partition(":")[0]:
            return fields[5]
    return "/"


def _prove_start(stage: Stage, command: Sequence[str], health: Sequence[str]) -> None:
    server = stage.started(command)
    try:
        deadline = time.monotonic() + SECONDS_TO_HEALTH
        while stage.started(health).wait():
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{shlex.join(command)} did not become healthy")
            time.sleep(2)
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait()


if __name__ == "__main__":
    main()
