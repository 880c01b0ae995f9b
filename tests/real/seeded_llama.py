#!/usr/bin/env python3
"""Writes a Llama-shaped model with seeded random weights: gaussian, one in a thousand sixteen times as large.

Rows are multiples of 256, so that K-quants are used. The same arguments give the same bytes. The defaults
have 107 million weights; --layers 11 makes 1.0 GB in F16, --layers 22 makes 2.0 GB.
"""

import argparse
import math
import multiprocessing
from pathlib import Path

import numpy as np

from container import F32, STRING, U32, Header, Tensor, padded, value

# Weights generated at a time.
CHUNK = 1 << 24


def header(
    layers: int,
    width: int,
    feed_forward: int,
    heads: int,
    kv_heads: int,
    vocabulary: int,
    context: int,
    tied: bool,
    format: str,
) -> Header:
    head = width // heads
    values = [
        ("general.architecture", value(STRING, "llama")),
        ("general.name", value(STRING, f"seeded llama {layers}x{width}")),
        ("llama.block_count", value(U32, layers)),
        ("llama.context_length", value(U32, context)),
        ("llama.embedding_length", value(U32, width)),
        ("llama.feed_forward_length", value(U32, feed_forward)),
        ("llama.attention.head_count", value(U32, heads)),
        ("llama.attention.head_count_kv", value(U32, kv_heads)),
        ("llama.attention.layer_norm_rms_epsilon", value(F32, 1e-5)),
        ("llama.rope.dimension_count", value(U32, head)),
        ("llama.vocab_size", value(U32, vocabulary)),
        ("general.file_type", value(U32, {"F32": 0, "F16": 1, "BF16": 32}[format])),
        ("tokenizer.ggml.model", value(STRING, "no_vocab")),
    ]
    tensors = [Tensor("token_embd.weight", (width, vocabulary), format)]
    for layer in range(layers):
        tensors += [
            Tensor(f"blk.{layer}.attn_norm.weight", (width,), "F32"),
            Tensor(f"blk.{layer}.ffn_down.weight", (feed_forward, width), format),
            Tensor(f"blk.{layer}.ffn_gate.weight", (width, feed_forward), format),
            Tensor(f"blk.{layer}.ffn_up.weight", (width, feed_forward), format),
            Tensor(f"blk.{layer}.ffn_norm.weight", (width,), "F32"),
            Tensor(f"blk.{layer}.attn_k.weight", (width, kv_heads * head), format),
            Tensor(f"blk.{layer}.attn_output.weight", (width, width), format),
            Tensor(f"blk.{layer}.attn_q.weight", (width, width), format),
            Tensor(f"blk.{layer}.attn_v.weight", (width, kv_heads * head), format),
        ]
    tensors.append(Tensor("output_norm.weight", (width,), "F32"))
    if not tied:
        tensors.append(Tensor("output.weight", (width, vocabulary), format))
    return Header(values, tensors)


def encode(weights: np.ndarray, format: str) -> np.ndarray:
    if format == "F16":
        return weights.astype(np.float16)
    if format == "BF16":  # to nearest, ties to even
        bits = weights.view(np.uint32)
        return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
    return weights


def write_tensor(path: Path, at: int, tensor: Tensor, seed: list[int]) -> None:
    rng = np.random.default_rng(seed)
    count, scale = math.prod(tensor.shape), np.float32(1 / math.sqrt(tensor.shape[0]))
    with path.open("r+b") as out:
        out.seek(at)
        for start in range(0, count, CHUNK):
            weights = rng.standard_normal(min(CHUNK, count - start), np.float32) * scale
            weights[rng.integers(0, len(weights), len(weights) // 1000)] *= 16
            out.write(encode(weights, tensor.format).data)


def write(path: Path, model: Header, seed: int, jobs: int = 1) -> None:
    partial, head = path.with_suffix(".part"), model.dump()
    tasks, at = [], len(head)
    for index, tensor in enumerate(model.tensors):
        tasks.append((partial, at, tensor, [seed, index]))
        at += padded(tensor.bytes)
    with partial.open("wb") as out:
        out.write(head)
        # The padding is zeros.
        out.truncate(at)
    # The largest first, so that none is left over at the end.
    tasks.sort(key=lambda task: -task[2].bytes)
    with multiprocessing.Pool(jobs) as pool:
        pool.starmap(write_tensor, tasks, chunksize=1)
    partial.rename(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("output", type=Path)
    parser.add_argument("format", choices=["F32", "F16", "BF16"])
    for name, default in (
        ("layers", 2),
        ("width", 2048),
        ("feed-forward", 5632),
        ("heads", 32),
        ("kv-heads", 8),
        ("vocabulary", 4096),
        ("context", 256),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--tied", action="store_true", help="the embedding is the output matrix too")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1, help="processes, each of which needs 300 MB")
    o = parser.parse_args()
    write(
        o.output,
        header(
            o.layers,
            o.width,
            o.feed_forward,
            o.heads,
            o.kv_heads,
            o.vocabulary,
            o.context,
            o.tied,
            o.format,
        ),
        o.seed,
        o.jobs,
    )


if __name__ == "__main__":
    main()
