#!/usr/bin/env python3
"""qmill's logits against libllama's: two real models in F32 continue six prompts by 64 tokens, greedily.

Weights, activations and cache are F32 on both sides, and flash attention is off, so that only f32 arithmetic
rounds; libllama's GELU, which Gemma uses, comes from a table of f16. On the CPU, and on a GPU if there is
one, qmill gets libllama's tokens one by one. Every logit at every step must be within a bound of libllama's,
as a fraction of the largest. The most likely token must be the same, unless libllama's two best are closer
than the bound.
"""

from __future__ import annotations

import argparse
import ctypes as C
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

import peer
from files import source
from peer import ROOT, ModelParams, llama

PROGRAM = Path(os.environ.get("QMILL_LOGITS", ROOT / "target/release/examples/logits")).resolve()
CONTEXT = 1024
# The largest error of a logit, as a fraction of the largest: f32 sums are in another order, and GELU is f16.
BOUNDS = {"smollm2-F32": 5e-5, "gemma3-F32": 1e-3}
ABOUT = (
    "`tests/real/logits.py`: F32 weights, exact activations, f32 cache; {} tokens after each prompt, chosen "
    "greedily. *off*: the largest error of a logit against libllama at any step, as a fraction of the "
    "largest logit. *near*: steps at which libllama's two best are within the bound. *others*: other steps "
    "at which the most likely token differs."
)
PROMPTS = [
    "The capital of France is",
    'def fibonacci(n):\n    """Returns the n-th Fibonacci number."""\n',
    "Once upon a time, in a small village by the sea, there lived",
    "<|im_start|>user\nWhy is the sky blue?<|im_end|>\n<|im_start|>assistant\n",
    "Die Hauptstadt von Österreich heißt Wien. 1 2 3 4 5 6",
    # Longer than Gemma's window of 512 tokens.
    (ROOT / "tests/data/held-out.txt").read_text()[:2400],
]


class ContextParams(C.Structure):
    """struct llama_context_params of llama.cpp with ggml 0.26, as far as it is set here. The rest keeps its
    defaults.
    """

    _fields_ = [
        ('n_ctx', C.c_uint32), ('n_batch', C.c_uint32), ('n_ubatch', C.c_uint32), ('n_seq_max', C.c_uint32),
        ('n_rs_seq', C.c_uint32), ('n_outputs_max', C.c_uint32), ('unread', C.c_uint32),
        ('n_threads', C.c_int32),
        ('n_threads_batch', C.c_int32), ('ctx_type', C.c_int), ('rope_scaling_type', C.c_int),
        ('pooling_type', C.c_int), ('attention_type', C.c_int),
        ('flash_attn_type', C.c_int), ('rope', C.c_float * 6), ('yarn_orig_ctx', C.c_uint32),
        ('defrag_thold', C.c_float),
        ('cb_eval', C.c_void_p), ('cb_eval_user_data', C.c_void_p), ('type_k', C.c_int), ('type_v', C.c_int),
        ('rest', C.c_uint64 * 32),
    ]  # fmt: skip


class Batch(C.Structure):
    """struct llama_batch."""

    _fields_ = [
        ('n_tokens', C.c_int32), ('token', C.POINTER(C.c_int32)), ('embd', C.c_void_p),
        ('pos', C.POINTER(C.c_int32)),
        ('n_seq_id', C.POINTER(C.c_int32)), ('seq_id', C.POINTER(C.POINTER(C.c_int32))),
        ('logits', C.POINTER(C.c_int8)),
    ]  # fmt: skip


def library() -> C.CDLL:
    lib = llama(False)
    lib.llama_model_default_params.restype = ModelParams
    lib.llama_context_default_params.restype = ContextParams
    lib.llama_model_load_from_file.restype = C.c_void_p
    lib.llama_model_load_from_file.argtypes = [C.c_char_p, ModelParams]
    lib.llama_model_free.argtypes = [C.c_void_p]
    lib.llama_init_from_model.restype = C.c_void_p
    lib.llama_init_from_model.argtypes = [C.c_void_p, ContextParams]
    lib.llama_model_get_vocab.restype = C.c_void_p
    lib.llama_model_get_vocab.argtypes = [C.c_void_p]
    lib.llama_vocab_n_tokens.argtypes = [C.c_void_p]
    lib.llama_tokenize.argtypes = [
        C.c_void_p,
        C.c_char_p,
        C.c_int32,
        C.POINTER(C.c_int32),
        C.c_int32,
        C.c_bool,
        C.c_bool,
    ]
    lib.llama_batch_get_one.restype = Batch
    lib.llama_batch_get_one.argtypes = [C.POINTER(C.c_int32), C.c_int32]
    lib.llama_decode.argtypes = [C.c_void_p, Batch]
    lib.llama_get_logits_ith.restype = C.POINTER(C.c_float)
    lib.llama_get_logits_ith.argtypes = [C.c_void_p, C.c_int32]
    lib.llama_free.argtypes = [C.c_void_p]
    return lib


class Peer:
    """A model in libllama."""

    def __init__(self, path: Path) -> None:
        self.lib = library()
        self.model = self.lib.llama_model_load_from_file(
            os.fsencode(path), self.lib.llama_model_default_params()
        )
        if not self.model:
            sys.exit(f"{path}: libllama cannot load it")
        self.vocab = self.lib.llama_model_get_vocab(self.model)
        self.vocabulary = self.lib.llama_vocab_n_tokens(self.vocab)

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.lib.llama_model_free(self.model)

    def tokens(self, text: str) -> list[int]:
        """The tokens of a text, with the start token if the model uses one."""
        raw = text.encode()
        out = (C.c_int32 * (len(raw) + 8))()
        return list(out[: self.lib.llama_tokenize(self.vocab, raw, len(raw), out, len(out), True, True)])

    def greedy(self, prompt: list[int], steps: int) -> tuple[list[int], np.ndarray]:
        """The tokens that follow `prompt`, and the logits that each was chosen from."""
        params = self.lib.llama_context_default_params()
        # The fields change often. These values show whether the layout is right.
        assert (
            params.n_ctx,
            params.rope_scaling_type,
            params.flash_attn_type,
            params.yarn_orig_ctx,
            params.type_k,
        ) == (512, -1, -1, 0, 1)
        params.n_ctx = params.n_batch = params.n_ubatch = CONTEXT
        params.n_threads = params.n_threads_batch = 1
        params.flash_attn_type = params.type_k = params.type_v = 0
        context = self.lib.llama_init_from_model(self.model, params)
        tokens, logits, now = [], np.empty((steps, self.vocabulary), np.float32), prompt
        for row in logits:
            ids = (C.c_int32 * len(now))(*now)
            if self.lib.llama_decode(context, self.lib.llama_batch_get_one(ids, len(now))) != 0:
                sys.exit("llama_decode failed")
            row[:] = np.ctypeslib.as_array(self.lib.llama_get_logits_ith(context, -1), (self.vocabulary,))
            now = [int(row.argmax())]
            tokens += now
        self.lib.llama_free(context)
        return tokens, logits


def qmill_logits(
    path: Path, device: str, texts: list[tuple[list[int], list[int]]], vocabulary: int
) -> tuple[str, list[np.ndarray]]:
    """The device's name, and for each prompt the logits that each token of its answer was chosen from."""
    lines = "".join(json.dumps([prompt, answer[:-1]]) + "\n" for prompt, answer in texts)
    ran = subprocess.run([PROGRAM, path, device], input=lines.encode(), capture_output=True)
    if ran.returncode:
        sys.exit(f"{PROGRAM} {path} {device}: {ran.stderr.decode()}")
    rows = np.frombuffer(ran.stdout, np.float32).reshape(-1, vocabulary)
    ends = np.cumsum([len(answer) for _, answer in texts])
    return ran.stderr.decode().strip(), np.split(rows, ends[:-1])


def leads(logits: np.ndarray) -> np.ndarray:
    """The difference between the best and the second best of each row."""
    two = np.partition(logits, -2, axis=1)[:, -2:]
    return two[:, 1] - two[:, 0]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", default=list(BOUNDS))
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="so many of the six")
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument(
        "--record", type=Path, metavar="FILE", help="write the table here (benches/record/logits.md)"
    )
    o = parser.parse_args()
    rows, failed = [], 0
    # Both real models, whose keys are all followed or known to have no effect.
    for path in sorted((peer.CACHE / "models").glob("*.gguf")):
        keys = subprocess.run([PROGRAM, path, "keys"], capture_output=True, text=True)
        good = keys.returncode == 0 and not keys.stdout
        failed += not good
        print(f'{path.name}: keys: {"held" if good else "FAILED: " + keys.stdout + keys.stderr}', flush=True)
    for name in o.models:
        path, bound = source(name), BOUNDS[name]
        with Peer(path) as model:
            prompts = [model.tokens(text) for text in PROMPTS[: o.prompts]]
            answers = [model.greedy(prompt, o.steps) for prompt in prompts]
        texts = [(prompt, tokens) for prompt, (tokens, _) in zip(prompts, answers)]
        for choice in peer.devices():
            device, found = qmill_logits(path, choice, texts, model.vocabulary)
            for (prompt, tokens), (_, theirs), mine in zip(texts, answers, found, strict=True):
                largest = np.abs(theirs).max(1)
                off = (np.abs(mine - theirs).max(1) / largest).max()
                same = mine.argmax(1) == tokens
                near = leads(theirs) <= bound * largest
                wrong = int((~same & ~near).sum())
                good = off <= bound and not wrong
                failed += not good
                rows.append(
                    [
                        name,
                        device,
                        f"{len(prompt)}",
                        f"{same.sum()} of {o.steps}",
                        f"{near.sum()}",
                        f"{wrong}",
                        f"{off:.1e}",
                        f"{bound:.0e}",
                    ]
                )
                verdict = "held" if good else "FAILED"
                print(
                    f"{name} on {device}: {len(prompt)} tokens, then {same.sum()} of {o.steps} the same, "
                    f"off by at most {off:.1e}: {verdict}",
                    flush=True,
                )
    if o.record:
        columns = ["model", "device", "prompt tokens", "same tokens", "near", "others", "off", "bound"]
        about = f"{peer.setting()}\n\n{ABOUT.format(o.steps)}"
        peer.write_table(o.record, about, columns, rows)
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
