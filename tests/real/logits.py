#!/usr/bin/env python3
"""What libllama makes of token numbers: the greedy continuation of a prompt, with the logits at each step.

    logits.py MODEL --tokens 1,2,3 [--steps 64] [--all]

Prints JSON: the tokens that follow, and how far each one's logit is above the next best; with --all, the logits after the prompt.
The cache is f32 and flash attention is off, so that nothing is rounded but by f32 arithmetic (with weights in F32).
"""
from __future__ import annotations

import argparse
import ctypes as C
import json
import os
import sys

import numpy as np

from peer import ModelParams, llama


class ContextParams(C.Structure):
    """struct llama_context_params of llama.cpp with ggml 0.26, as far as it is set here; what follows goes from the defaults to the call as it is."""

    _fields_ = [
        ('n_ctx', C.c_uint32), ('n_batch', C.c_uint32), ('n_ubatch', C.c_uint32), ('n_seq_max', C.c_uint32),
        ('n_rs_seq', C.c_uint32), ('n_outputs_max', C.c_uint32), ('unread', C.c_uint32), ('n_threads', C.c_int32),
        ('n_threads_batch', C.c_int32), ('ctx_type', C.c_int), ('rope_scaling_type', C.c_int), ('pooling_type', C.c_int), ('attention_type', C.c_int),
        ('flash_attn_type', C.c_int), ('rope', C.c_float * 6), ('yarn_orig_ctx', C.c_uint32), ('defrag_thold', C.c_float),
        ('cb_eval', C.c_void_p), ('cb_eval_user_data', C.c_void_p), ('type_k', C.c_int), ('type_v', C.c_int),
        ('rest', C.c_uint64 * 32),
    ]  # fmt: skip


class Batch(C.Structure):
    """struct llama_batch."""

    _fields_ = [
        ('n_tokens', C.c_int32), ('token', C.POINTER(C.c_int32)), ('embd', C.c_void_p), ('pos', C.c_void_p),
        ('n_seq_id', C.c_void_p), ('seq_id', C.c_void_p), ('logits', C.c_void_p),
    ]  # fmt: skip


def library() -> C.CDLL:
    lib = llama(False)
    lib.llama_model_default_params.restype = ModelParams
    lib.llama_context_default_params.restype = ContextParams
    lib.llama_model_load_from_file.restype = C.c_void_p
    lib.llama_model_load_from_file.argtypes = [C.c_char_p, ModelParams]
    lib.llama_init_from_model.restype = C.c_void_p
    lib.llama_init_from_model.argtypes = [C.c_void_p, ContextParams]
    lib.llama_model_get_vocab.restype = C.c_void_p
    lib.llama_model_get_vocab.argtypes = [C.c_void_p]
    lib.llama_vocab_n_tokens.argtypes = [C.c_void_p]
    lib.llama_batch_get_one.restype = Batch
    lib.llama_batch_get_one.argtypes = [C.POINTER(C.c_int32), C.c_int32]
    lib.llama_decode.argtypes = [C.c_void_p, Batch]
    lib.llama_get_logits_ith.restype = C.POINTER(C.c_float)
    lib.llama_get_logits_ith.argtypes = [C.c_void_p, C.c_int32]
    lib.llama_free.argtypes = [C.c_void_p]
    return lib


class Peer:
    def __init__(self, path: str, context: int = 512) -> None:
        self.lib, self.context = library(), context
        self.model = self.lib.llama_model_load_from_file(os.fsencode(path), self.lib.llama_model_default_params())
        if not self.model:
            sys.exit(f'{path}: libllama cannot load it')
        self.vocabulary = self.lib.llama_vocab_n_tokens(self.lib.llama_model_get_vocab(self.model))

    def greedy(self, prompt: list[int], steps: int) -> dict:
        """Tokens that follow `prompt`, the lead of each over the next best, and the logits after the prompt."""
        params = self.lib.llama_context_default_params()
        # The fields change often; these values tell whether they are where they are taken to be.
        assert (params.n_ctx, params.rope_scaling_type, params.flash_attn_type, params.yarn_orig_ctx, params.type_k) == (512, -1, -1, 0, 1)
        params.n_ctx, params.n_batch, params.n_ubatch = self.context, self.context, self.context
        params.n_threads = params.n_threads_batch = 1
        params.flash_attn_type = params.type_k = params.type_v = 0
        context = self.lib.llama_init_from_model(self.model, params)
        tokens, leads, first, now = [], [], [], prompt
        for _ in range(steps):
            ids = (C.c_int32 * len(now))(*now)
            if self.lib.llama_decode(context, self.lib.llama_batch_get_one(ids, len(now))) != 0:
                sys.exit('llama_decode failed')
            logits = np.ctypeslib.as_array(self.lib.llama_get_logits_ith(context, -1), (self.vocabulary,))
            first = first or logits.tolist()
            best = int(logits.argmax())
            tokens.append(best)
            leads.append(round(float(logits[best] - np.delete(logits, best).max()), 4))
            now = [best]
        self.lib.llama_free(context)
        return {'prompt': prompt, 'tokens': tokens, 'leads': leads, 'logits': first}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('model')
    parser.add_argument('--tokens', required=True)
    parser.add_argument('--steps', type=int, default=64)
    parser.add_argument('--all', action='store_true')
    o = parser.parse_args()
    result = Peer(o.model).greedy([int(x) for x in o.tokens.split(',')], o.steps)
    if not o.all:
        del result['logits']
    print(json.dumps(result))


if __name__ == '__main__':
    main()
