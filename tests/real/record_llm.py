#!/usr/bin/env python3
"""Records libllama's results for small models in tests/data/llm, for tests that run without libllama.

Writes NAME.gguf (seeded models, one of each architecture), NAME.json, and tiny-shakespeare.json. The seeded
models are random, with weights large enough that every part matters. Weights and cache are F32, so that
libllama rounds no activations. A record has, for each of six prompts, the tokens that follow greedily, the
distance of each one's logit to the next best, and the logits after the prompt.

variants.json has models that differ from a seeded one: keys that are set or removed, tensors that are dropped
or added, with weights by a formula that tests share (`formula`). Each has the same kind of record, for fewer
prompts and steps.
"""

from __future__ import annotations

import fnmatch
import json
import sys
from pathlib import Path

import gguf
import numpy as np

from logits import Peer, leads
from peer import CACHE, ROOT

DATA = ROOT / "tests/data/llm"
VOCABULARY, WIDTH, CONTEXT = 96, 64, 256
STEPS = 64
FEW_STEPS = 24


def seeded(
    name: str,
    architecture: str,
    *,
    layers: int,
    heads: int,
    kv_heads: int,
    head: int,
    feed_forward: int,
    tied: bool = False,
    biases: bool = False,
    head_norms: bool = False,
    post_norms: bool = False,
    rope_divisors: bool = False,
    window: int = 0,
    experts: tuple[int, int] | None = None,
    cap: float = 0,
) -> None:
    random = np.random.default_rng(sum(name.encode()))
    w = gguf.GGUFWriter(DATA / f"{name}.gguf", architecture)
    w.add_name(f"seeded {name}")
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
    w.add_tokenizer_model("none")

    def matrix(tensor: str, *shape: int, gain: float = 1.5) -> None:
        data = random.standard_normal(shape, dtype=np.float32) * np.float32(gain / shape[-1] ** 0.5)
        w.add_tensor(tensor, data)

    def vector(tensor: str, length: int, middle: float = 1.0) -> None:
        w.add_tensor(tensor, (middle + 0.2 * random.standard_normal(length)).astype(np.float32))

    matrix("token_embd.weight", VOCABULARY, WIDTH, gain=0.5 if post_norms else 2.0 if tied else WIDTH**0.5)
    for i in range(layers):
        blk = f"blk.{i}."
        vector(blk + "attn_norm.weight", WIDTH)
        for part, rows in (("q", heads * head), ("k", kv_heads * head), ("v", kv_heads * head)):
            matrix(f"{blk}attn_{part}.weight", rows, WIDTH)
            if biases:
                vector(f"{blk}attn_{part}.bias", rows, 0.0)
        if head_norms:
            vector(blk + "attn_q_norm.weight", head, 1.5)
            vector(blk + "attn_k_norm.weight", head, 1.5)
        matrix(blk + "attn_output.weight", WIDTH, heads * head)
        if post_norms:
            vector(blk + "post_attention_norm.weight", WIDTH)
            vector(blk + "post_ffw_norm.weight", WIDTH)
        vector(blk + "ffn_norm.weight", WIDTH)
        if experts:
            matrix(blk + "ffn_gate_inp.weight", experts[0], WIDTH)
            for part, rows, cols in (
                ("gate", feed_forward, WIDTH),
                ("up", feed_forward, WIDTH),
                ("down", WIDTH, feed_forward),
            ):
                matrix(f"{blk}ffn_{part}_exps.weight", experts[0], rows, cols)
        else:
            matrix(blk + "ffn_gate.weight", feed_forward, WIDTH)
            matrix(blk + "ffn_up.weight", feed_forward, WIDTH)
            matrix(blk + "ffn_down.weight", WIDTH, feed_forward)
    if rope_divisors:
        w.add_tensor("rope_freqs.weight", np.linspace(1, 8, head // 2).astype(np.float32))
    vector("output_norm.weight", WIDTH)
    if not tied:
        matrix("output.weight", VOCABULARY, WIDTH, gain=3.0)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def prompts(vocabulary: int) -> list[list[int]]:
    """Six prompts, from one token to a few dozen."""
    random = np.random.default_rng(7)
    return [random.integers(3, vocabulary, length).tolist() for length in (1, 2, 5, 9, 17, 40)]


def record(model: Path, target: Path, prompts: list[list[int]], steps: int = STEPS) -> None:
    records = recorded(model, prompts, steps)
    lines = ",\n".join(json.dumps(found, separators=(",", ":")) for found in records)
    target.write_text(f"[\n{lines}\n]\n")
    print(target, *(found["tokens"][:8] for found in records))


def recorded(model: Path, prompts: list[list[int]], steps: int) -> list[dict]:
    records = []
    with Peer(model) as peer:
        for prompt in prompts:
            tokens, logits = peer.greedy(prompt, steps)
            ahead, first = leads(logits), logits[0][:1024]
            numbers = {
                "leads": [round(x, 4) for x in ahead.tolist()],
                "logits": [round(x, 4) for x in first.tolist()],
            }
            records.append({"prompt": prompt, "tokens": tokens} | numbers)
    return records


def formula(seed: int, count: int, middle: float, spread: float) -> np.ndarray:
    """`count` weights, evenly spaced from `middle - spread/2` to `middle + spread/2`, the same on every
    machine.
    """
    x = np.arange(count, dtype=np.uint32) + np.uint32(seed * 0x9E3779B9 & 0xFFFFFFFF)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
    x ^= x >> np.uint32(16)
    unit = (x >> np.uint32(8)).astype(np.float32) * np.float32(2**-24) - np.float32(0.5)
    return np.float32(middle) + unit * np.float32(spread)


def matrix(name: str, rows: int, cols: int, gain: float = 1.5) -> dict:
    """A tensor to add. `shape` is numpy's: the length of a row is last."""
    return {
        "name": name,
        "shape": [rows, cols],
        "seed": sum(name.encode()),
        "middle": 0.0,
        "spread": round(gain * (12 / cols) ** 0.5, 6),
    }


def vector(name: str, length: int, middle: float = 0.0) -> dict:
    return {"name": name, "shape": [length], "seed": sum(name.encode()), "middle": middle, "spread": 0.7}


def biases(layers: int, **lengths: int) -> list[dict]:
    return [vector(f"blk.{i}.{part}.bias", length) for i in range(layers) for part, length in lengths.items()]


def whole(
    head: int, heads: int, kv_heads: int, head_norms: bool = False, post_norms: bool = False
) -> list[dict]:
    """All tensors of a model of two layers with heads of this length."""
    embedding = matrix("token_embd.weight", VOCABULARY, WIDTH, 0.5 if post_norms else WIDTH**0.5)
    tensors = [
        embedding,
        vector("output_norm.weight", WIDTH, 1.0),
        matrix("output.weight", VOCABULARY, WIDTH, 3.0),
    ]
    norms = ["attn_norm", "ffn_norm"] + ["post_attention_norm", "post_ffw_norm"] * post_norms
    for i in range(2):
        blk = f"blk.{i}."
        tensors += [vector(blk + f"{norm}.weight", WIDTH, 1.0) for norm in norms]
        if head_norms:
            tensors += [vector(blk + f"attn_{part}_norm.weight", head, 1.5) for part in "qk"]
        tensors += [
            matrix(blk + f"attn_{part}.weight", count * head, WIDTH)
            for part, count in (("q", heads), ("k", kv_heads), ("v", kv_heads))
        ]
        tensors += [
            matrix(blk + "attn_output.weight", WIDTH, heads * head),
            matrix(blk + "ffn_down.weight", WIDTH, 96),
        ]
        tensors += [matrix(blk + f"ffn_{part}.weight", 96, WIDTH) for part in ("gate", "up")]
    return tensors


def shape_keys(architecture: str, head: int, heads: int, kv_heads: int, turned: int | None = None) -> dict:
    counts = {
        "attention.head_count": heads,
        "attention.head_count_kv": kv_heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "rope.dimension_count": turned or head,
    }
    return {f"{architecture}.{key}": ["u32", count] for key, count in counts.items()}


QKV = {"attn_q": 64, "attn_k": 32, "attn_v": 32}
QKV_32 = {"attn_q": 128, "attn_k": 64, "attn_v": 64}


def yarn(architecture: str, factor: float, original: int | None) -> dict:
    keys = {"type": ["str", "yarn"], "factor": ["f32", factor]}
    if original:
        keys["original_context_length"] = ["u32", original]
    return {f"{architecture}.rope.scaling.{key}": value for key, value in keys.items()}


# Three of Gemma's seven layers: libllama's GELU, from a table of f16, is 1e-3 off after seven.
THREE_LAYERS = {
    "set": {"gemma3.block_count": ["u32", 3], "gemma3.attention.sliding_window_pattern": ["u32", 2]},
    "drop": [f"blk.{i}.*" for i in range(3, 7)],
}
# For each: the seeded base model, what it is cut down to, the differences, and whether logits are
# nevertheless the same.
VARIANTS = {
    "legacy_linear_rope": {"base": "llama", "set": {"llama.rope.scale_linear": ["f32", 4.0]}},
    "both_linear_ropes": {
        "base": "llama",
        "set": {"llama.rope.scale_linear": ["f32", 4.0], "llama.rope.scaling.factor": ["f32", 2.0]},
    },
    "no_rope_scaling": {
        "base": "llama",
        "set": {"llama.rope.scaling.type": ["str", "none"], "llama.rope.scaling.factor": ["f32", 2.0]},
        "same": True,
    },
    "rope_attention_factor": {"base": "qwen3", "set": {"qwen3.rope.scaling.attn_factor": ["f32", 1.5]}},
    "cap_of_zero": {"base": "gemma3", "set": {"gemma3.final_logit_softcapping": ["f32", 0.0]}, "same": True},
    "cap_of_four": {
        "base": "gemma3",
        "cut": THREE_LAYERS,
        "set": {"gemma3.final_logit_softcapping": ["f32", 4.0]},
    },
    "cap_in_a_llama": {
        "base": "llama",
        "set": {"llama.final_logit_softcapping": ["f32", 0.01]},
        "same": True,
    },
    "window_of_zero": {
        "base": "gemma3",
        "cut": THREE_LAYERS,
        "set": {"gemma3.attention.sliding_window": ["u32", 0]},
    },
    "window_of_some_layers": {
        "base": "gemma3",
        "cut": THREE_LAYERS,
        "set": {"gemma3.attention.sliding_window_pattern": ["bools", [False, True, True]]},
    },
    "window_of_all_layers": {
        "base": "gemma3",
        "cut": THREE_LAYERS,
        "set": {"gemma3.attention.sliding_window_pattern": ["u32", 0]},
    },
    "biases_of_a_llama": {
        "base": "llama",
        "add": biases(2, **QKV, attn_output=64, ffn_gate=96, ffn_up=96, ffn_down=64),
    },
    "some_biases_of_a_llama": {
        "base": "llama",
        "add": biases(1, attn_k=32, ffn_up=96)
        + [vector("blk.1.ffn_gate.bias", 96), vector("blk.1.attn_v.bias", 32)],
    },
    "qwen2_without_biases": {
        "base": "qwen2",
        "drop": [f"blk.{i}.attn_{part}.bias" for i in range(2) for part in "qkv"],
    },
    "qwen2_with_a_bias_of_the_output": {
        "base": "qwen2",
        "drop": ["blk.1.attn_k.bias"],
        "add": [vector("output.bias", VOCABULARY)],
    },
    "qwen3_with_biases": {"base": "qwen3", "add": biases(2, **QKV_32)},
    "qwen3moe_with_biases": {"base": "qwen3moe", "add": biases(2, **QKV_32)},
    "gemma3_with_biases": {
        "base": "gemma3",
        "cut": THREE_LAYERS,
        "add": biases(3, attn_q=64, attn_k=16, attn_v=16),
    },
    "experts_without_a_length": {
        "base": "qwen3moe",
        "set": {"qwen3moe.feed_forward_length": ["u32", 64]},
        "remove": ["qwen3moe.expert_feed_forward_length"],
        "same": True,
    },
    "fused_qkv": {
        "base": "qwen3",
        "drop": [f"blk.{i}.attn_{part}.weight" for i in range(2) for part in "qkv"],
        "add": [matrix(f"blk.{i}.attn_qkv.weight", 256, WIDTH) for i in range(2)] + biases(1, attn_qkv=256),
    },
    "yarn": {"base": "qwen3", "set": yarn("qwen3", 4.0, 64)},
    "yarn_by_the_trained_context": {
        "base": "qwen2",
        "set": yarn("qwen2", 8.0, None) | {"qwen2.rope.scaling.attn_factor": ["f32", 0.8]},
    },
    "yarn_with_divisors": {"base": "llama", "set": yarn("llama", 2.5, 100)},
    "yarn_with_windows": {"base": "gemma3", "cut": THREE_LAYERS, "set": yarn("gemma3", 8.0, 32)},
    "yarn_that_shortens": {"base": "gemma3", "cut": THREE_LAYERS, "set": yarn("gemma3", 0.5, 64)},
    "heads_of_18": {
        "base": "llama",
        "set": shape_keys("llama", 18, 4, 2),
        "drop": ["*"],
        "add": whole(18, 4, 2),
    },
    "heads_of_22_with_norms": {
        "base": "qwen3",
        "set": shape_keys("qwen3", 22, 3, 1),
        "drop": ["*"],
        "add": whole(22, 3, 1, head_norms=True) + biases(2, attn_q=66, attn_v=22),
    },
    "heads_of_17": {
        "base": "gemma3",
        "set": shape_keys("gemma3", 17, 2, 2, 16)
        | {
            "gemma3.block_count": ["u32", 2],
            "gemma3.feed_forward_length": ["u32", 96],
            "gemma3.attention.sliding_window_pattern": ["u32", 2],
        },
        "drop": ["*"],
        "add": whole(17, 2, 2, head_norms=True, post_norms=True),
    },
}


def write_variant(variant: dict, target: Path) -> None:
    base = gguf.GGUFReader(DATA / f'{variant["base"]}.gguf')
    w = gguf.GGUFWriter(target, variant["base"])
    keys = {
        name: field
        for name, field in base.fields.items()
        if not name.startswith(("GGUF.", "general.architecture"))
    }
    cut = variant.get("cut", {"set": {}, "drop": []})
    changed = cut["set"] | variant.get("set", {})
    for name in list(changed) + variant.get("remove", []):
        keys.pop(name, None)
    for name, field in keys.items():
        w.add_key_value(name, field.contents(), field.types[0])
    types = {
        "u32": gguf.GGUFValueType.UINT32,
        "f32": gguf.GGUFValueType.FLOAT32,
        "str": gguf.GGUFValueType.STRING,
        "bools": gguf.GGUFValueType.ARRAY,
    }
    for name, (kind, value) in changed.items():
        w.add_key_value(name, value, types[kind], gguf.GGUFValueType.BOOL if kind == "bools" else None)
    dropped = cut["drop"] + variant.get("drop", [])
    for tensor in base.tensors:
        if not any(fnmatch.fnmatchcase(tensor.name, pattern) for pattern in dropped):
            w.add_tensor(tensor.name, tensor.data)
    for added in variant.get("add", []):
        data = formula(added["seed"], int(np.prod(added["shape"])), added["middle"], added["spread"])
        w.add_tensor(added["name"], data.reshape(added["shape"]))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def record_variants() -> None:
    (CACHE / "variants").mkdir(exist_ok=True)
    few = [prompts(VOCABULARY)[i] for i in (1, 3, 5)]
    lines = []
    for name, variant in VARIANTS.items():
        path = CACHE / f"variants/{name}.gguf"
        write_variant(variant, path)
        found = variant | {"records": recorded(path, few, FEW_STEPS)}
        lines.append(f'{json.dumps(name)}:{json.dumps(found, separators=(",", ":"))}')
        print(name, *(record["tokens"][:8] for record in found["records"]), flush=True)
    (DATA / "variants.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


def main() -> None:
    DATA.mkdir(exist_ok=True)
    if "--variants" in sys.argv:
        record_variants()
        return
    record(CACHE / "sources/tiny-F32.gguf", DATA / "tiny-shakespeare.json", prompts(1024))
    shape = {"layers": 2, "heads": 4, "kv_heads": 2, "head": 16, "feed_forward": 96}
    seeded("llama", "llama", **shape, rope_divisors=True)
    seeded("qwen2", "qwen2", **shape, biases=True, tied=True)
    seeded("qwen3", "qwen3", **(shape | {"head": 32}), head_norms=True)
    seeded(
        "qwen3moe", "qwen3moe", **(shape | {"head": 32, "feed_forward": 32}), head_norms=True, experts=(6, 2)
    )
    # One of the seven layers has no window.
    seeded(
        "gemma3",
        "gemma3",
        **(shape | {"layers": 7, "kv_heads": 1, "feed_forward": 64}),
        head_norms=True,
        post_norms=True,
        window=8,
        tied=True,
    )
    for name in ("llama", "qwen2", "qwen3", "qwen3moe", "gemma3"):
        record(DATA / f"{name}.gguf", DATA / f"{name}.json", prompts(VOCABULARY))
    record_variants()


if __name__ == "__main__":
    main()
