#!/usr/bin/env python3
"""Measures the resident memory of `qmill run` on real models: after loading and reading a prompt, under 300
MB besides weights and cache.

On a software adapter, device memory is part of the process, so weights and cache are subtracted; on a real
GPU, nothing is. On the CPU, only the weights are, because a cache grows there with the text. The peak while
loading is shown too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

import peer
from files import WORK, make, source
from peer import QMILL

MODELS = [("smollm2-F16", None), ("smollm2-F16", "Q8_0"), ("smollm2-F16", "Q4_K_M"), ("gemma3-F16", None)]
LIMIT_MB = 300
ABOUT = (
    "`tests/real/resident.py`: MB (10^6 bytes) of `qmill run`, with room for 4096 tokens. *beside*: resident "
    "after the prompt, less weights and cache (on the CPU, less weights alone); *peak*: the most until then, "
    "less the same."
)


def resident_mb(words: list[str]) -> tuple[float, float]:
    """Resident MB (10^6 bytes) at a program's first output, and the peak until then."""
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        if not running.stdout.read(1):
            sys.exit(f'{" ".join(words)}: no output')
        status = dict(
            line.split(":", 1) for line in Path(f"/proc/{running.pid}/status").read_text().splitlines()
        )
        running.kill()
    return tuple(int(status[key].split()[0]) * 1024 / 1e6 for key in ("VmRSS", "VmHWM"))


def is_software(device: str) -> bool:
    """Whether an adapter computes on the CPU, in the program's memory."""
    adapters = json.loads(peer.qmill("devices", "--json").stdout)["devices"]
    return any(adapter["name"] in device and adapter["type"].startswith("software") for adapter in adapters)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="write the table here (benches/record/memory.md)"
    )
    o = parser.parse_args()
    rows, failed = [], 0
    WORK.mkdir(exist_ok=True)
    for name, mix in MODELS:
        path = source(name)
        if mix:
            path, original = WORK / "resident.gguf", path
            make([QMILL, "quantize", "--force", original, path, mix], path)
        for device in peer.devices():
            words = [
                str(QMILL),
                "run",
                "--device",
                device,
                "-m",
                str(path),
                "-p",
                "The capital of France is",
                "--temp",
                "0",
            ]
            told = json.loads(
                subprocess.run([*words, "-n", "1", "--json"], stdout=subprocess.PIPE, check=True).stdout
            )
            weights, cache = told["device_bytes"] / 1e6, told["context_bytes"] / 1e6
            resident, peak = resident_mb(words)
            if device == "cpu":
                taken_off = weights
            else:
                taken_off = weights + cache if is_software(told["device"]) else 0
            beside, peak = resident - taken_off, peak - taken_off
            held = beside < LIMIT_MB
            failed += not held
            label = f'{name} {mix or ""}'.strip()
            rows.append(
                [label, told["device"], *(f"{megabytes:.0f}" for megabytes in (weights, cache, beside, peak))]
            )
            print(
                f'{label} on {told["device"]}: {beside:.0f} MB, while loading {peak:.0f} MB: '
                f'{"held" if held else "FAILED"}',
                flush=True,
            )
    if o.record:
        peer.write_table(
            o.record,
            f"{peer.setting()}\n\n{ABOUT}",
            ["model", "device", "weights", "cache", "beside", "peak"],
            rows,
        )
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
