#!/usr/bin/env python3
"""Records in tests/data/llm what libllama makes of small models, for tests that need no libllama.

Writes NAME.gguf (seeded models, one of each architecture) and NAME.json, and tiny-shakespeare.json. The seeded models are random,
with weights large enough that every part matters. Weights are F32 and so is the cache, so that libllama rounds no activations. A
record has, for each of six prompts, the tokens that follow greedily, how far each one's logit is above the next best, and the
logits after the prompt.
"""
from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np

from logits import Peer, leads
from peer import CACHE, ROOT

DATA = ROOT / 'tests/data/llm'
VOCABULARY, WIDTH, CONTEXT = 96, 64, 256
STEPS = 64


def seeded(name: str, architecture: str, *, layers: int, heads: int, kv_heads: int, head: int, feed_forward: int, tied: bool = False,
           biases: bool = False, head_norms: bool = False, post_norms: bool = False, rope_divisors: bool = False, window: int = 0,
           experts: tuple[int, int] | None = None, cap: float = 0) -> None:  # fmt: skip
    random = np.random.default_rng(sum(name.encode()))
    w = gguf.GGUFWriter(DATA / f'{name}.gguf', architecture)
    w.add_name(f'seeded {name}')
    w.add_block_count(layers)
    w.add_context_length(CONTEXT)
    w.add_embedding_length(WIDTH)
    w.add_feed_forward_length(feed_forward)
    w.add_head_count(heads)
    w.add_head_count_kv(kv_heads)
    w.add_key_length(head)
    w.add_value_length(head)
    w.add_layer_norm_rms_eps(1e-6)
    w.add_rope_freq_base(50000.0)
    w.add_rope_dimension_count(head)
    w.add_vocab_size(VOCABULARY)
    if window:
        w.add_sliding_window(window)
    if experts:
        w.add_expert_count(experts[0])
        w.add_expert_used_count(experts[1])
        w.add_expert_feed_forward_length(feed_forward)
    if cap:
        w.add_final_logit_softcapping(cap)
    w.add_tokenizer_model('none')

    def matrix(tensor: str, *shape: int, gain: float = 1.5) -> None:
        data = random.standard_normal(shape, dtype=np.float32) * np.float32(gain / shape[-1] ** 0.5)
        w.add_tensor(tensor, data)

    def vector(tensor: str, length: int, middle: float = 1.0) -> None:
        w.add_tensor(tensor, (middle + 0.2 * random.standard_normal(length)).astype(np.float32))

    matrix('token_embd.weight', VOCABULARY, WIDTH, gain=0.5 if post_norms else 2.0 if tied else WIDTH**0.5)
    for i in range(layers):
        blk = f'blk.{i}.'
        vector(blk + 'attn_norm.weight', WIDTH)
        for part, rows in (('q', heads * head), ('k', kv_heads * head), ('v', kv_heads * head)):
            matrix(f'{blk}attn_{part}.weight', rows, WIDTH)
            if biases:
                vector(f'{blk}attn_{part}.bias', rows, 0.0)
        if head_norms:
            vector(blk + 'attn_q_norm.weight', head, 1.5)
            vector(blk + 'attn_k_norm.weight', head, 1.5)
        matrix(blk + 'attn_output.weight', WIDTH, heads * head)
        if post_norms:
            vector(blk + 'post_attention_norm.weight', WIDTH)
            vector(blk + 'post_ffw_norm.weight', WIDTH)
        vector(blk + 'ffn_norm.weight', WIDTH)
        if experts:
            matrix(blk + 'ffn_gate_inp.weight', experts[0], WIDTH)
            for part, rows, cols in (('gate', feed_forward, WIDTH), ('up', feed_forward, WIDTH), ('down', WIDTH, feed_forward)):
                matrix(f'{blk}ffn_{part}_exps.weight', experts[0], rows, cols)
        else:
            matrix(blk + 'ffn_gate.weight', feed_forward, WIDTH)
            matrix(blk + 'ffn_up.weight', feed_forward, WIDTH)
            matrix(blk + 'ffn_down.weight', WIDTH, feed_forward)
    if rope_divisors:
        w.add_tensor('rope_freqs.weight', np.linspace(1, 8, head // 2).astype(np.float32))
    vector('output_norm.weight', WIDTH)
    if not tied:
        matrix('output.weight', VOCABULARY, WIDTH, gain=3.0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def prompts(vocabulary: int) -> list[list[int]]:
    """Six, from a token to a few dozen."""
    random = np.random.default_rng(7)
    return [random.integers(3, vocabulary, length).tolist() for length in (1, 2, 5, 9, 17, 40)]


def record(model: Path, target: Path, prompts: list[list[int]], steps: int = STEPS) -> None:
    records = []
    with Peer(model) as peer:
        for prompt in prompts:
            tokens, logits = peer.greedy(prompt, steps)
            ahead, first = leads(logits), logits[0][:1024]
            numbers = {'leads': [round(x, 4) for x in ahead.tolist()], 'logits': [round(x, 4) for x in first.tolist()]}
            records.append({'prompt': prompt, 'tokens': tokens} | numbers)
    lines = ',\n'.join(json.dumps(found, separators=(',', ':')) for found in records)
    target.write_text(f'[\n{lines}\n]\n')
    print(target, *(found['tokens'][:8] for found in records))


def main() -> None:
    DATA.mkdir(exist_ok=True)
    record(CACHE / 'sources/tiny-F32.gguf', DATA / 'tiny-shakespeare.json', prompts(1024))
    shape = {'layers': 2, 'heads': 4, 'kv_heads': 2, 'head': 16, 'feed_forward': 96}
    seeded('llama', 'llama', **shape, rope_divisors=True)
    seeded('qwen2', 'qwen2', **shape, biases=True, tied=True)
    seeded('qwen3', 'qwen3', **(shape | {'head': 32}), head_norms=True)
    seeded('qwen3moe', 'qwen3moe', **(shape | {'head': 32, 'feed_forward': 32}), head_norms=True, experts=(6, 2))
    # Of seven layers one is without a window.
    seeded('gemma3', 'gemma3', **(shape | {'layers': 7, 'kv_heads': 1, 'feed_forward': 64}), head_norms=True, post_norms=True, window=8, tied=True)
    for name in ('llama', 'qwen2', 'qwen3', 'qwen3moe', 'gemma3'):
        record(DATA / f'{name}.gguf', DATA / f'{name}.json', prompts(VOCABULARY))


if __name__ == '__main__':
    main()
