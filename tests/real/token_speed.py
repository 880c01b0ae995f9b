#!/usr/bin/env python3
"""Measures tokens per second of qmill and of llama.cpp's Vulkan backend on the same adapter, alternately in
one run, and writes a table.

A prompt in one batch, then as many tokens one by one, each waited for; both sides warm up first. llama.cpp is
the npm package @node-llama-cpp/linux-x64-vulkan, which is fetched into the cache. Both sides use the first
adapter and their defaults: f16 cache, and int8 activations where they are the default. The table has medians
and their ratio: above 1, qmill is faster.
"""

from __future__ import annotations

import argparse
import ctypes as C
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import peer
from peer import CACHE, ROOT

PACKAGE = "@node-llama-cpp/linux-x64-vulkan@3.22.1"
BIN = CACHE / "npm-vulkan/node_modules/@node-llama-cpp/linux-x64-vulkan/bins/linux-x64-vulkan"


def install() -> None:
    if not BIN.is_dir():
        command = [
            "npm",
            "install",
            "--silent",
            "--no-save",
            "--ignore-scripts",
            "--prefix",
            CACHE / "npm-vulkan",
            PACKAGE,
        ]
        subprocess.run(list(map(str, command)), check=True)


def measure_peer(model: Path, prompt: int, answer: int) -> None:
    """Runs in a separate process with the Vulkan package's libraries. Prints tokens per second of both."""
    peer.BIN = BIN
    import logits

    loaded = logits.Peer(model)
    lib, params = loaded.lib, loaded.lib.llama_context_default_params()
    params.n_threads = params.n_threads_batch = len(os.sched_getaffinity(0))
    params.n_ctx = max(512, prompt, answer)
    session = lib.llama_init_from_model(loaded.model, params)
    lib.llama_get_memory.restype = C.c_void_p
    lib.llama_get_memory.argtypes = [C.c_void_p]
    lib.llama_memory_clear.argtypes = [C.c_void_p, C.c_bool]

    def decode(tokens: list[int]) -> None:
        ids = (C.c_int32 * len(tokens))(*tokens)
        if lib.llama_decode(session, lib.llama_batch_get_one(ids, len(tokens))) != 0:
            sys.exit("llama_decode failed")
        lib.llama_get_logits_ith(session, -1)  # waits

    def rate(count: int, steps: list[list[int]]) -> float:
        lib.llama_memory_clear(lib.llama_get_memory(session), True)
        start = time.perf_counter()
        for step in steps:
            decode(step)
        return count / (time.perf_counter() - start)

    tokens = [100 + i for i in range(max(prompt, answer))]
    rate(prompt, [tokens[:prompt]]), rate(1, [tokens[:1]])
    print(json.dumps([rate(prompt, [tokens[:prompt]]), rate(answer, [[token] for token in tokens[:answer]])]))


def time_peer(model: Path, prompt: int, answer: int) -> list[float]:
    words = [sys.executable, __file__, model, "-p", prompt, "-n", answer, "--peer"]
    # llama.cpp uses a software adapter only if it is named.
    done = subprocess.run(
        list(map(str, words)),
        capture_output=True,
        text=True,
        env=os.environ | {"GGML_VK_VISIBLE_DEVICES": "0"},
    )
    if done.returncode != 0:
        sys.exit(f"llama.cpp, {model}: {done.stderr}")
    return json.loads(done.stdout.splitlines()[-1])


def time_qmill(model: Path, prompt: int, answer: int) -> list[float]:
    done = peer.qmill(
        "bench", "-m", model, "--device", "gpu", "-p", str(prompt), "-n", str(answer), "-r", "1", "-o", "json"
    )
    if done.returncode != 0:
        sys.exit(f"qmill, {model}: {done.stderr}")
    return [test["avg_ts"] for test in json.loads(done.stdout)]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", type=Path, default=[CACHE / "models/smollm2.gguf"])
    parser.add_argument("-p", type=int, default=32, help="tokens of the prompt")
    parser.add_argument("-n", type=int, default=16, help="tokens of the answer")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--peer", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--record", type=Path, metavar="FILE", help="write the table here (benches/record/…)")
    o = parser.parse_args()
    if o.peer:
        measure_peer(o.models[0], o.p, o.n)
        return 0
    install()
    adapter = json.loads(peer.qmill("devices", "--json").stdout)["devices"][0]["name"]
    rows = []
    for model in o.models:
        sides = {time_peer: [], time_qmill: []}
        for _ in range(o.runs):
            for side, rates in sides.items():
                rates.append(side(model, o.p, o.n))
        for i, test in enumerate((f"pp{o.p}", f"tg{o.n}")):
            theirs, mine = (sorted(run[i] for run in rates) for rates in sides.values())
            spread = [
                f"{statistics.median(rates):.2f} ({rates[0]:.2f} to {rates[-1]:.2f})"
                for rates in (theirs, mine)
            ]
            rows.append(
                [model.name, test, *spread, f"{statistics.median(mine) / statistics.median(theirs):.2f}"]
            )
            print("{:24} {:6} llama.cpp {:>22}   qmill {:>22}   ratio {}".format(*rows[-1]), flush=True)
    if o.record:
        about = (
            f"`tests/real/token_speed.py`: tokens per second on {adapter}; median of {o.runs}, "
            f"and from the slowest to the fastest. {peer.setting()}, {PACKAGE}"
        )
        peer.write_table(o.record, about, ["model", "test", "llama.cpp's Vulkan", "qmill", "ratio"], rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
