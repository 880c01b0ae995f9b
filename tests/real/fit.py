#!/usr/bin/env python3
"""Whether types that are chosen for a size (`qmill quantize --like`) are better than the fixed mixes.

For each model and file type: the divergence of the predictions from those of the base, of the fixed mix and
of the chosen types, whose file is never larger. Fails where the ratio of the two is above its limit, or the
recipe gives libllama's quantizer other bytes.

The tiny model has its own F16 weights. The other two come quantized, and such weights lie on the lattice of
their type, where that type loses nothing: each gets uniform noise as wide as one step of its sub-block. That
makes them worse models, with weights distributed like real ones.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np

import peer
from peer import CACHE, ROOT, qmill

# Of the tiny model what it was not trained on; of the others as much code and prose.
HELD_OUT = ROOT / "tests/data/held-out.txt"
MIXED = [("argparse.py", 20000, 4000), ("statistics.py", 10000, 4000), (HELD_OUT, 0, 4000)]
MIXED += [(ROOT / "LICENSE-APACHE", 1000, 4000), ("tarfile.py", 30000, 4000), (HELD_OUT, 9000, 4000)]
WORK = CACHE / "fit"
SEED = 20261129
TYPES = ["Q3_K_M", "Q4_K_S", "Q4_K_M", "Q5_K_M"]
# Most that the ratio may be, by model and sensitivity.
LIMITS = {
    ("tiny", "table"): [0.92, 1.03, 0.90, 0.92],
    ("tiny", "measured"): [0.65, 0.82, 0.68, 0.88],
    ("smollm2", "table"): [0.55, 0.60, 0.75, 0.80],
    ("gemma3", "table"): [1.03] * 4,
}
# Tokens in a chunk, and chunks; 0 for all.
CHUNKS = {"tiny": (256, 0), "smollm2": (512, 8), "gemma3": (512, 8)}


def steps(data: np.ndarray, kind: gguf.GGMLQuantizationType) -> np.ndarray:
    """The step of each weight's sub-block, in the order of the weights."""
    name, (weights, size) = kind.name, gguf.GGML_QUANT_SIZES[kind]
    blocks = data.reshape(-1).view(np.uint8).reshape(-1, size)

    def f16(at: int) -> np.ndarray:
        return np.ascontiguousarray(blocks[:, at : at + 2]).view(np.float16).astype(np.float32)

    if name in ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"):
        return np.abs(np.repeat(f16(0), weights, axis=1)).reshape(-1)
    if name == "Q6_K":
        scales = np.ascontiguousarray(blocks[:, 192:208]).view(np.int8).astype(np.float32)
        return np.abs(np.repeat(f16(208) * scales, 16, axis=1)).reshape(-1)
    if name in ("Q4_K", "Q5_K"):
        six = blocks[:, 4:16].astype(np.int32)
        low = six[:, :4] & 63
        high = (six[:, 8:12] & 15) | (six[:, :4] >> 6 << 4)
        return np.abs(np.repeat(f16(0) * np.concatenate([low, high], axis=1), 32, axis=1)).reshape(-1)
    sys.exit(f"no steps of {name}")


def base(name: str) -> Path:
    """The F16 file of a model, dithered where it comes quantized."""
    if name == "tiny":
        return ROOT / "tests/data/tiny-shakespeare-f16.gguf"
    made, source = WORK / f"{name}-dithered-f16.gguf", CACHE / f"models/{name}.gguf"
    if made.exists():
        return made
    floats = WORK / f"{name}-f32.gguf"
    run(["dequantize", "--device", "cpu", "--force", source, floats, "F32"])
    quantized = {tensor.name: tensor for tensor in gguf.GGUFReader(source).tensors}
    random = np.random.default_rng(SEED)
    for tensor in gguf.GGUFReader(floats, "r+").tensors:
        before = quantized[tensor.name]
        if before.tensor_type.name in ("F32", "F16", "BF16"):
            continue
        step = steps(before.data, before.tensor_type)
        noise = (random.random(step.size, dtype=np.float32) - np.float32(0.5)) * step
        flat = tensor.data.reshape(-1)
        assert np.shares_memory(flat, tensor.data), "the noise has to reach the file"
        flat += noise
    run(["quantize", "--device", "cpu", "--force", floats, made, "F16"])
    floats.unlink()
    return made


def text(name: str) -> Path:
    """The text that a model reads. Python's own modules are its code."""
    if name == "tiny":
        return HELD_OUT
    mixed = WORK / "mixed.txt"
    modules = Path(argparse.__file__).parent
    parts = [(modules / path).read_text()[start:][:length] for path, start, length in MIXED]
    mixed.write_text("\n".join(parts))
    return mixed


def run(arguments: list[str | Path]) -> str:
    done = subprocess.run([str(peer.QMILL), *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"qmill {' '.join(map(str, arguments))}:\n{done.stderr}")
    return done.stdout


def divergence(model: Path, name: str, device: str) -> dict:
    context, chunks = CHUNKS[name]
    return json.loads(
        run(
            ["perplexity", "-m", model, "-f", text(name), "--base", base(name), "-c", str(context)]
            + ["--base-logits", WORK / f"{name}-{device}.logits"]
            + ["--chunks", str(chunks), "--device", device, "--exact", "--json"]
        )
    )["base"]


def same_bytes(name: str, file_type: str, recipe: Path, ours: Path) -> bool:
    """Whether libllama's quantizer makes the same file of the recipe."""
    theirs = WORK / "theirs.gguf"
    command = [sys.executable, ROOT / "tests/real/peer.py", "quantize"]
    for rule in recipe.read_text().split():
        command += ["--tensor-type", rule]
    done = subprocess.run([*command, base(name), theirs, file_type], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"libllama: {done.stderr[-2000:]}")
    same = hashlib.sha256(theirs.read_bytes()).digest() == hashlib.sha256(ours.read_bytes()).digest()
    theirs.unlink()
    return same


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", default="tiny,smollm2,gemma3", help="by default all three")
    parser.add_argument("--device", default=os.environ.get("QMILL_DEVICE", "cpu"), help="where models run")
    parser.add_argument("--types", default=",".join(TYPES), help="by default all four")
    parser.add_argument("--record", type=Path, help="a Markdown file to write")
    options = parser.parse_args()
    WORK.mkdir(parents=True, exist_ok=True)
    rows, failed = [], False
    for (name, sensitivity), limits in LIMITS.items():
        if name not in options.models.split(","):
            continue
        for file_type, limit in zip(TYPES, limits):
            if file_type not in options.types.split(","):
                continue
            mix, ours, recipe = (WORK / f"{name}-{file_type}{end}" for end in (".gguf", "-fit.gguf", ".txt"))
            if not mix.exists():
                run(["quantize", "--device", "cpu", base(name), mix, file_type])
            told = run(
                ["quantize", "--device", options.device, "--like", file_type, "--json", "--force"]
                + ["--sensitivity", sensitivity, "--state", WORK / f"{name}-{sensitivity}.json"]
                + ["--recipe-out", recipe, base(name), ours]
            )
            fit = json.loads(told.splitlines()[-1])["fit"]
            # Noise has to have moved the weights off their lattices.
            assert not any(tensor["lattice"] for tensor in fit["tensors"]), "weights on a lattice"
            before, after = divergence(mix, name, options.device), divergence(ours, name, options.device)
            ratio = after["kl_divergence"] / before["kl_divergence"]
            sizes = mix.stat().st_size, ours.stat().st_size
            same = same_bytes(name, file_type, recipe, ours)
            ok = ratio <= limit and sizes[1] <= sizes[0] and same and fit["loss"] <= fit["mix_loss"]
            failed |= not ok
            row = (
                f"| {name} | {sensitivity} | {file_type} | {sizes[0]} | {sizes[1]} "
                f"| {fit['loss'] / fit['mix_loss']:.2f} | {before['kl_divergence']:.5f} "
                f"| {after['kl_divergence']:.5f} | {ratio:.3f} | {limit} "
                f"| {100 * before['same_top']:.1f} | {100 * after['same_top']:.1f} |"
            )
            rows.append(row)
            fault = "" if ok else "  FAILED" + ("" if same else ": libllama makes other bytes")
            print(row + fault, flush=True)
            ours.unlink()
    if options.record:
        heads = (
            "| model | sensitivity | like | bytes of the mix | chosen | loss ratio | KLD of the mix | chosen "
            "| ratio | at most | same top %, mix | chosen |\n" + "|---" * 12 + "|\n"
        )
        text = (
            f"# Types for a size against the fixed mixes, {datetime.date.today()}\n\n"
            f"`tests/real/fit.py`, on {options.device}. Divergence of the "
            "predictions from the base's in nats. SmolLM2 and Gemma 3 come quantized and are dithered (seed "
            f"{SEED}).\n\n" + heads + "\n".join(rows) + "\n"
        )
        options.record.parent.mkdir(parents=True, exist_ok=True)
        options.record.write_text(text)
    sys.exit(failed)


if __name__ == "__main__":
    main()
