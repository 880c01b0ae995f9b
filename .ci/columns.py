#!/usr/bin/env python3
"""Fails if a line of the project is longer than 110 columns.

rustfmt and black break code, but neither comments nor strings. Longer lines are allowed where they cannot be
broken: tables, links and code blocks in Markdown, regular expressions in Rust's raw strings, and Jinja
templates in Python.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDTH = 110
KINDS = {".rs", ".wgsl", ".md", ".py", ".sh", ".toml", ".mjs", ".c"}


def long_lines(path):
    in_block = False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if path.suffix == ".md":
            in_block ^= line.startswith("```")
            if in_block or line.startswith("|") or "](" in line:
                continue
        if path.suffix == ".rs" and re.search(r'\br#*"', line):
            continue
        if path.suffix == ".py" and ("{{" in line or "{%" in line):
            continue
        if len(line) > WIDTH:
            yield number, len(line)


def main():
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    names = tracked.stdout.splitlines()
    files = [ROOT / name for name in names if Path(name).suffix in KINDS or name == ".ci/run"]
    faults = 0
    for path in files:
        folders = path.relative_to(ROOT).parts
        if not path.exists() or "data" in folders or "record" in folders:
            continue
        for number, length in long_lines(path):
            print(f"{path.relative_to(ROOT)}:{number}: {length} columns", file=sys.stderr)
            faults += 1
    if len(files) < 200:
        sys.exit("fewer than 200 files: the script looks in the wrong place")
    sys.exit(f"{faults} lines have more than {WIDTH} columns" if faults else 0)


if __name__ == "__main__":
    main()
