#!/usr/bin/env python3
"""qmill's perplexity against libllama's: the tiny model and a real one on text that the tiny one was not trained on.

libllama rounds activations to 8 bits where weights are quantized, qmill does not: the two agree within 1 %.
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
from files import TINY, WORK, make, source
from peer import ROOT, qmill
from tokens import Libllama

TEXT = ROOT / 'tests/data/held-out.txt'
LIMIT = 0.01
CASES = [
    ('tiny-F16', None, 256), ('tiny-F16', 'Q4_K_M', 256), ('tiny-F16', 'Q2_K', 256), ('smollm2-F16', None, 512), ('smollm2-F16', 'Q8_0', 512),
    ('smollm2-F16', 'Q6_K', 512), ('smollm2-F16', 'Q4_K_M', 512),
]  # fmt: skip


class Batch(C.Structure):
    """struct llama_batch."""

    _fields_ = [
        ('n_tokens', C.c_int32), ('token', C.POINTER(C.c_int32)), ('embd', C.c_void_p), ('pos', C.POINTER(C.c_int32)),
        ('n_seq_id', C.POINTER(C.c_int32)), ('seq_id', C.POINTER(C.POINTER(C.c_int32))), ('logits', C.POINTER(C.c_int8)),
    ]  # fmt: skip


def libllama_perplexity(peer_lib: Libllama, path: Path, context: int, chunks: int) -> tuple[float, int]:
    """As llama-perplexity computes it, in a context of libllama's default 512 tokens."""
    lib = peer_lib.lib
    lib.llama_context_default_params.restype = peer.ModelParams
    lib.llama_init_from_model.restype = lib.llama_get_memory.restype = C.c_void_p
    lib.llama_init_from_model.argtypes = [C.c_void_p, peer.ModelParams]
    lib.llama_get_memory.argtypes = lib.llama_free.argtypes = [C.c_void_p]
    lib.llama_memory_clear.argtypes = [C.c_void_p, C.c_bool]
    lib.llama_batch_init.restype = Batch
    lib.llama_batch_init.argtypes = [C.c_int32] * 3
    lib.llama_decode.argtypes = [C.c_void_p, Batch]
    lib.llama_get_logits.restype = C.POINTER(C.c_float)
    lib.llama_get_logits.argtypes = lib.llama_vocab_n_tokens.argtypes = [C.c_void_p]
    model = lib.llama_model_load_from_file(os.fsencode(path), lib.llama_model_default_params())
    vocab = lib.llama_model_get_vocab(model)
    text = TEXT.read_bytes()
    out = (C.c_int32 * len(text))()
    count = lib.llama_tokenize(vocab, text, len(text), out, len(text), True, True)
    tokens, width = list(out[:count]), lib.llama_vocab_n_tokens(vocab)
    session = lib.llama_init_from_model(model, lib.llama_context_default_params())
    batch, half, surprises = lib.llama_batch_init(context, 0, 1), context // 2, []
    for start in range(0, min(count // context, chunks) * context, context):
        chunk = tokens[start : start + context]
        lib.llama_memory_clear(lib.llama_get_memory(session), True)
        batch.n_tokens = context
        for i, token in enumerate(chunk):
            batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, int(i >= half)
            batch.seq_id[i][0] = 0
        if lib.llama_decode(session, batch):
            raise RuntimeError('llama_decode')
        logits = np.ctypeslib.as_array(lib.llama_get_logits(session), (context - half, width))[:-1].astype(np.float64)
        largest = logits.max(1)
        sums = largest + np.log(np.exp(logits - largest[:, None]).sum(1))
        surprises += list(sums - logits[np.arange(len(logits)), chunk[half + 1 :]])
    lib.llama_free(session)
    lib.llama_model_free(model)
    return float(np.exp(np.mean(surprises))), len(surprises)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--chunks', type=int, default=8)
    parser.add_argument('--device', default=os.environ.get('QMILL_DEVICE', 'auto'))
    parser.add_argument('--only', default='', help='cases whose name has this in it')
    o = parser.parse_args()
    libllama, failed = Libllama(), 0
    WORK.mkdir(exist_ok=True)
    for name, quantized, context in CASES:
        label = f'{name} {quantized or ""}'.strip()
        if o.only not in label:
            continue
        path = source(name)
        if quantized:
            path, original = WORK / 'perplexity.gguf', path
            make([sys.executable, peer.__file__, 'quantize', original, path, quantized], path)
        theirs, tokens = libllama_perplexity(libllama, path, context, o.chunks)
        words = ['perplexity', '-m', path, '-f', TEXT, '-c', context, '--chunks', o.chunks, '--json', '--device', o.device]
        ran = qmill(*words)
        if ran.returncode:
            print(f'{label}: {ran.stderr}')
            failed += 1
            continue
        mine = json.loads(ran.stdout)
        ratio = mine['perplexity'] / theirs
        good = abs(ratio - 1) < LIMIT and mine['tokens'] == tokens
        failed += not good
        verdict = 'agrees' if good else 'DIFFERS'
        print(f'{label}: {mine["perplexity"]:.4f}, libllama {theirs:.4f} ({100 * (ratio - 1):+.3f} %), {tokens} tokens: {verdict}')
    return 1 if failed else 0


if __name__ == '__main__':
    sys.exit(main())
