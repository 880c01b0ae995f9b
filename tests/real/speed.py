#!/usr/bin/env python3
"""Times qmill against libllama's own quantizer with two threads each, alternately in one run, and writes a
table.

The input is a seeded Llama of 1.0 GB in F16 (--layers 11), read from the page cache on both sides. libllama's
time is that of `llama_model_quantize` alone, with the library loaded; qmill's is that of the whole process
from start to exit, including the flush to disk. The ratio is libllama's median over qmill's: above 1, qmill
is faster.
"""

import argparse
import csv
import datetime
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import peer
from peer import CACHE, MIXES, ROOT


def device() -> str:
    """The processor, or the adapter that qmill computes on."""
    if os.environ.get("QMILL_DEVICE", "cpu") != "cpu":
        done = peer.qmill(
            "quantize", "--json", ROOT / "tests/data/tiny-shakespeare-f16.gguf", "/dev/null", "Q8_0"
        )
        return json.loads(done.stderr.splitlines()[-1] if not done.stdout else done.stdout.splitlines()[-1])[
            "device"
        ]
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def model(layers: int) -> Path:
    """The seeded Llama in F16 with this many layers of 90 MB."""
    path = CACHE / f"sources/seeded{layers}-F16.gguf"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, ROOT / "tests/real/seeded_llama.py", path, "F16", "--layers", str(layers)],
            check=True,
        )
    return path


def time_peer(source: Path, out: Path, mix: str, threads: int) -> float:
    done = peer.run("quantize", source, out, mix, str(threads))
    if done.returncode != 0:
        sys.exit(f"libllama, {mix}: {done.stderr}")
    return float(done.stdout)


def time_qmill(source: Path, out: Path, mix: str, threads: int) -> float:
    start = time.perf_counter()
    done = peer.qmill("quantize", "--threads", str(threads), source, out, mix)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        sys.exit(f"qmill, {mix}: {done.stderr}")
    return seconds


def compare(source: Path, mix: str, threads: int, runs: int) -> tuple[float, float, bool]:
    """Median seconds of libllama and of qmill, and whether the bytes are equal."""
    sides = {"peer": time_peer, "qmill": time_qmill}
    times, sums = {side: [] for side in sides}, {}
    for _ in range(runs):
        for side, call in sides.items():
            out = CACHE / f"speed-{side}.gguf"
            out.unlink(missing_ok=True)
            os.sync()  # neither side pays for writing back what the other wrote
            times[side].append(call(source, out, mix, threads))
            sums[side] = sums.get(side) or sha256(out)
            out.unlink()
    return statistics.median(times["peer"]), statistics.median(times["qmill"]), sums["peer"] == sums["qmill"]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mixes", nargs="*", default=[mix for mix in MIXES], help="all 25 if none is named")
    parser.add_argument("--layers", type=int, default=11)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument(
        "--record",
        type=Path,
        metavar="FOLDER",
        help="write <device>/<date>.csv and .md here (benches/record)",
    )
    o = parser.parse_args()
    source = model(o.layers)
    size = f"{source.stat().st_size / 1e9:.2f} GB F16"
    setting = f"{device()}, {o.threads} threads; {size}, median of {o.runs}; {peer.setting()}"
    print(setting)
    with source.open("rb") as file:  # warm the page cache
        while file.read(1 << 24):
            pass
    rows = []
    for mix in o.mixes:
        theirs, mine, same = compare(source, mix, o.threads, o.runs)
        rows.append([mix, f"{theirs:.2f}", f"{mine:.2f}", f"{theirs / mine:.2f}", "yes" if same else "NO"])
        print(
            "{:10} libllama {:>7} s   qmill {:>7} s   ratio {:>5}   bytes equal: {}".format(*rows[-1]),
            flush=True,
        )
    if o.record:
        columns = ["mix", "peer_s", "qmill_s", "ratio", "bytes_equal"]
        name = "".join(c if c.isalnum() else "-" for c in device()).strip("-").lower()
        path = o.record / "-".join(filter(None, name.split("-"))) / f"{datetime.date.today()}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([columns, *rows])
        peer.write_table(path.with_suffix(".md"), setting, columns, rows)
        print(f"written to {path}")
    return any(row[-1] == "NO" for row in rows)


if __name__ == "__main__":
    sys.exit(main())
