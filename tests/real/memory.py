#!/usr/bin/env python3
"""Measures the peak resident memory of `qmill quantize` on F16 models of 1 and 2 GB: under 300 MB, with a
software adapter (QMILL_DEVICE=gpu) under 600 MB, and the same for both.

This process stays small on purpose: Linux counts the memory of the process that starts a program in that
program's peak.
"""

import argparse
import os
import subprocess
import sys

from peer import CACHE, QMILL
from speed import model

DEVICE = ["--device", os.environ["QMILL_DEVICE"]] if "QMILL_DEVICE" in os.environ else []
# On a software adapter, the process includes the device's memory, its driver and its compiler.
LIMIT_MB = 600 if DEVICE else 300
# The allowed difference of the two peaks: longer headers, other timing of the same buffers, late frees by a
# driver.
SLACK_MB = 50 if DEVICE else 20


def peak_mb(words: list[str]) -> float:
    """The peak resident memory in MB (10^6 bytes). Fails if the program does."""
    running = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(running.pid, 0)
    if status != 0:
        sys.exit(f'{" ".join(words)}: exit status {status}')
    return usage.ru_maxrss * 1024 / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("mixes", nargs="*", default=["Q8_0", "Q4_K_M"])
    o = parser.parse_args()
    out, failed = CACHE / "memory.gguf", 0
    for mix in o.mixes:
        one, two = (
            peak_mb([str(QMILL), "quantize", "--force", *DEVICE, str(model(layers)), str(out), mix])
            for layers in (11, 22)
        )
        held = max(one, two) < LIMIT_MB and abs(one - two) < SLACK_MB
        failed += not held
        verdict = "held" if held else f"FAILED (limit {LIMIT_MB} MB, and alike)"
        print(f"{mix:8} 1 GB: {one:.0f} MB   2 GB: {two:.0f} MB   {verdict}")
    out.unlink(missing_ok=True)
    print(f"memory: {len(o.mixes) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
