#!/usr/bin/env python3
"""qmill's perplexity against libllama's, within 1 %: the tiny model and two real ones, on a text that is not
in the tiny model's training data.

libllama quantizes activations to int8 if weights are quantized. On a GPU, so does qmill without --exact; on
the CPU it never does. The quantized files are qmill's own, with the same bytes as libllama's (`files.py`).
"""

from __future__ import annotations

import argparse
import ctypes as C
import json
import os
import sys
from pathlib import Path

import numpy as np

import peer
from files import WORK, make, source
from logits import Batch, Peer
from peer import ROOT, qmill

TEXT = ROOT / "tests/data/held-out.txt"
LIMIT = 0.01
CASES = [
    ('tiny-F16', None, 256), ('tiny-F16', 'Q4_K_M', 256), ('tiny-F16', 'Q2_K', 256),
    ('smollm2-F16', None, 512), ('smollm2-F16', 'Q8_0', 512),
    ('smollm2-F16', 'Q6_K', 512), ('smollm2-F16', 'Q4_K_M', 512), ('gemma3-F16', 'Q8_0', 512),
    ('gemma3-F16', 'Q6_K', 512),
    ('gemma3-F16', 'Q4_K_M', 512),
]  # fmt: skip
ABOUT = (
    "`tests/real/perplexity.py`, on `tests/data/held-out.txt`. On a GPU, activations are int8 as in "
    "libllama, or exact with --exact; on the CPU they are always exact."
)
# How qmill computes: the arguments after --device.
WAYS = ["cpu", "gpu", "gpu --exact"]


def surprises(model: Peer, text: str, context: int, chunks: int) -> list[float]:
    """-ln p of each token in the second half of each chunk, as llama-perplexity computes it."""
    lib, vocab, tokens, found = model.lib, model.vocab, model.tokens(text), []
    lib.llama_vocab_get_add_bos.restype = C.c_bool
    lib.llama_vocab_get_add_bos.argtypes = lib.llama_vocab_bos.argtypes = [C.c_void_p]
    lib.llama_batch_init.restype = Batch
    lib.llama_get_memory.restype = C.c_void_p
    lib.llama_get_memory.argtypes = [C.c_void_p]
    lib.llama_memory_clear.argtypes = [C.c_void_p, C.c_bool]
    lib.llama_get_logits.restype = C.POINTER(C.c_float)
    lib.llama_get_logits.argtypes = [C.c_void_p]
    bos = [lib.llama_vocab_bos(vocab)] if lib.llama_vocab_get_add_bos(vocab) else []
    params = lib.llama_context_default_params()
    params.n_threads = params.n_threads_batch = len(os.sched_getaffinity(0))
    session = lib.llama_init_from_model(model.model, params)
    batch, half = lib.llama_batch_init(context, 0, 1), context // 2
    for start in range(0, min(len(tokens) // context, chunks) * context, context):
        chunk = tokens[start : start + context]
        chunk[: len(bos)] = bos
        lib.llama_memory_clear(lib.llama_get_memory(session), True)
        batch.n_tokens = context
        for i, token in enumerate(chunk):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, int(i >= half)
            batch.seq_id[i][0] = 0
        if lib.llama_decode(session, batch):
            raise RuntimeError("llama_decode")
        logits = np.ctypeslib.as_array(lib.llama_get_logits(session), (context - half, model.vocabulary))
        for row, token in zip(logits, chunk[half + 1 :]):
            largest = row.max()
            found.append(float(largest + np.log(np.exp(row - largest).sum(dtype=np.float64)) - row[token]))
    lib.llama_free(session)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--chunks", type=int, default=8)
    parser.add_argument("--only", default="", help="cases whose name has this in it")
    parser.add_argument("--on", nargs="*", default=WAYS, help="where, and how")
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="write the table here (benches/record/perplexity.md)"
    )
    o = parser.parse_args()
    rows, failed = [], 0
    devices = peer.devices()
    WORK.mkdir(exist_ok=True)
    for name, quantized, context in CASES:
        label = f'{name} {quantized or ""}'.strip()
        if o.only not in label:
            continue
        path = source(name)
        if quantized:
            path, original = WORK / "perplexity.gguf", path
            make([peer.QMILL, "quantize", "--force", original, path, quantized], path)
        with Peer(path) as model:
            known = surprises(model, TEXT.read_text(), context, o.chunks)
        theirs, tokens = float(np.exp(np.mean(known))), len(known)
        for way in [way.split() for way in o.on if way.split()[0] in devices]:
            ran = qmill(
                "perplexity",
                "-m",
                path,
                "-f",
                TEXT,
                "-c",
                context,
                "--chunks",
                o.chunks,
                "--json",
                "--device",
                *way,
                timeout=7200,
            )
            if ran.returncode:
                sys.exit(f'{label} {" ".join(way)}: {ran.stderr}')
            mine = json.loads(ran.stdout)
            apart = mine["perplexity"] / theirs - 1
            good = abs(apart) < LIMIT and mine["tokens"] == tokens
            failed += not good
            where = " ".join([mine["device"], *way[1:]])
            rows.append(
                [
                    label,
                    where,
                    f"{context}",
                    f"{tokens}",
                    f"{theirs:.4f}",
                    f'{mine["perplexity"]:.4f}',
                    f"{100 * apart:+.3f} %",
                ]
            )
            print(*rows[-1], "agrees" if good else "DIFFERS", sep="  ", flush=True)
            if o.record:
                peer.write_table(
                    o.record,
                    f"{peer.setting()}\n\n{ABOUT}",
                    ["model", "device", "chunk", "tokens", "libllama", "qmill", "apart"],
                    rows,
                )
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
