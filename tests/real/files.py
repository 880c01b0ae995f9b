#!/usr/bin/env python3
"""Whole files: qmill writes the same bytes as libllama's quantizer with the same arguments.

Four models, each in F32, F16 and BF16: SmolLM2-135M and Gemma-3-270M (packaged quantized; dequantized first),
the small trained Llama in tests/data, and a seeded Llama whose rows are multiples of 256. Then flags, on
single files and on split models. Where libllama refuses, qmill must refuse and leave nothing. libllama's
outputs take most of the time; their checksums are cached, and files are created again only to locate a
difference.

Without --all, eight mixes of each model, with the float formats in rotation.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import peer
from container import first_difference, read_header, split
from peer import CACHE, MIXES, ROOT, Ggml

FLOATS = ("F16", "BF16", "F32")
SHORT = ("Q4_0", "Q8_0", "Q2_K", "Q3_K_M", "Q4_K_M", "Q5_K_M", "Q6_K", "IQ4_XS")
TINY = ROOT / "tests/data/tiny-shakespeare-f16.gguf"
PACKAGED = {"smollm2": CACHE / "models/smollm2.gguf", "gemma3": CACHE / "models/gemma3.gguf", "tiny": TINY}
WORK = CACHE / "work"

# Models, mixes, and flags for them.
FLAGS = [
    ('tiny-F16', 'Q4_K_M', ['--pure']),
    ('tiny-BF16', 'Q2_K', ['--pure']),
    ('tiny-F16', 'Q4_K_M', ['--leave-output-tensor']),
    ('tiny-F16', 'Q4_K_M', ['--output-tensor-type', 'q8_0']),
    ('tiny-F16', 'Q3_K_S', ['--output-tensor-type', 'F32', '--token-embedding-type', 'bf16']),
    ('tiny-F16', 'Q5_K_M', ['--token-embedding-type', 'Q3_K']),
    ('tiny-F16', 'F16', ['--output-tensor-type', 'q6_k']),
    ('tiny-F16', 'Q8_0', ['--pure', '--token-embedding-type', 'iq4_nl']),
    ('tiny-F16', 'Q4_K_M', ['--tensor-type', 'attn_v=q8_0']),
    ('tiny-F16', 'Q4_K_M', ['--tensor-type', r'blk\.[01]\.ffn_down=Q5_K', '--tensor-type', 'ffn=q2_K']),
    ('tiny-F16', 'Q3_K_M', ['--tensor-type', 'ATTN_K=Q6_K', '--pure']),
    ('tiny-F16', 'Q4_K_M', ['--tensor-type', r'\.(1|3)\..*(attn_v|ffn_down)=f16']),
    ('tiny-F16', 'Q4_0', ['--tensor-type', 'output=tq2_0', '--tensor-type', 'token_embd=mxfp4']),
    ('tiny-F16', 'BF16', ['--tensor-type', 'attn_v=q8_0']),
    ('tiny-F16', 'Q4_K_M', ['--prune-layers', '1']),
    ('tiny-F16', 'Q3_K_M', ['--prune-layers', '0,2']),
    ('tiny-F16', 'COPY', ['--prune-layers', '3']),
    ('tiny-F16', 'Q4_K_M', ['--override-kv', 'general.name=str:another', '--override-kv',
        'llama.rope.freq_base=float:20000.5']),
    ('tiny-F16', 'Q8_0', ['--override-kv', 'some.count=int:-3', '--override-kv', 'some.flag=bool:true']),
    ('smollm2', 'Q8_0', []),  # refused: already quantized
    ('smollm2', 'COPY', []),
    ('smollm2', 'Q8_0', ['--allow-requantize']),
    ('smollm2', 'Q4_1', ['--allow-requantize']),
    ('smollm2', 'Q3_K_L', ['--allow-requantize', '--pure']),
    ('smollm2-F16', 'Q4_K_M', ['--output-tensor-type', 'q4_k']),
    ('smollm2-F16', 'Q4_K_M', ['--token-embedding-type', 'q4_k']),
    ('smollm2-F16', 'Q4_K_M', ['--tensor-type', 'ffn_up=q1_0']),
    ('smollm2-F16', 'Q5_K_S', ['--prune-layers', '3,4,29']),
    ('gemma3', 'COPY', []),
    ('gemma3', 'Q8_0', ['--allow-requantize']),
    ('gemma3-F16', 'Q4_0', ['--token-embedding-type', 'q8_0', '--leave-output-tensor']),
    ('tiny-split', 'Q4_K_M', []),
    ('tiny-split', 'Q4_K_M', ['--keep-split']),
    ('tiny-split', 'COPY', []),
    ('tiny-split', 'COPY', ['--keep-split']),
    ('tiny-split', 'Q3_K_M', ['--keep-split', '--prune-layers', '0']),
    ('tiny-F16', 'Q4_K_M', ['--keep-split']),
]  # fmt: skip


class Failure(Exception):
    pass


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def make(command: list[str | Path], what: Path) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"cannot make {what}: {done.stdout}{done.stderr}")


def source(name: str) -> Path:
    """The model of this name (`gemma3`, `gemma3-F16`, `seeded-BF16`, `tiny-split`), created by libllama or
    here if needed.
    """
    model, _, kind = name.partition("-")
    if name == "tiny-F16" or not kind:
        return PACKAGED[model]
    folder = CACHE / "sources"
    folder.mkdir(exist_ok=True)
    if kind == "split":
        return split(TINY, folder / name, 3)
    path = folder / f"{name}.gguf"
    if path.exists():
        return path
    if model == "seeded":
        make([sys.executable, ROOT / "tests/real/seeded_llama.py", path, kind], path)
    else:
        partial = path.with_suffix(".part")
        make(
            [sys.executable, peer.__file__, "quantize", "--allow-requantize", PACKAGED[model], partial, kind],
            path,
        )
        partial.rename(path)
    return path


@dataclass
class Case:
    """The same arguments for both sides. `qmill dequantize` is libllama's requantizing to a float format."""

    source: str
    mix: str
    flags: list[str]
    dequantize: bool = False

    def __str__(self) -> str:
        return " ".join([self.source, "to" if self.dequantize else "", self.mix, *self.flags]).replace(
            "  ", " "
        )

    def words(self, folder: Path, mine: bool) -> list[str | Path]:
        out = folder / ("out" if "--keep-split" in self.flags else "out.gguf")
        if self.dequantize and mine:
            return ["dequantize", source(self.source), out, self.mix]
        flags = ["--allow-requantize", *self.flags] if self.dequantize else self.flags
        return ["quantize", *flags, source(self.source), out, self.mix]


# The files that a side left in its folder, with checksums; None if it refused.
Outcome = dict[str, str] | None


class References:
    """libllama's outcomes, cached between runs."""

    def __init__(self) -> None:
        self.path = CACHE / "references.json"
        self.known: dict[str, Outcome] = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.checksums: dict[str, str] = {}

    def key(self, case: Case) -> str:
        if case.source not in self.checksums:
            first = source(case.source)
            files = sorted(first.parent.glob("tiny-split-*")) if case.source == "tiny-split" else [first]
            self.checksums[case.source] = "+".join(map(sha256, files))
        return " ".join(
            [
                peer.PACKAGE,
                self.checksums[case.source],
                case.mix,
                *case.flags,
                *(["requantize"] if case.dequantize else []),
            ]
        )

    def outcome(self, case: Case) -> Outcome:
        key = self.key(case)
        if key not in self.known:
            self.known[key] = self.make(case)
            self.path.write_text(json.dumps(self.known, indent=1))
        return self.known[key]

    @staticmethod
    def make(case: Case) -> Outcome:
        """Runs libllama. Its files stay in the folder `peer` until the next run."""
        folder = empty(WORK / "peer")
        done = peer.run(*case.words(folder, mine=False))
        if done.returncode not in (0, 1):
            raise Failure(f"libllama crashed: {done.stderr.strip()[-300:]}")
        return contents(folder) if done.returncode == 0 else None


def empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def contents(folder: Path) -> dict[str, str]:
    return {path.name: sha256(path) for path in sorted(folder.iterdir())}


def check(case: Case, references: References) -> tuple[str, str]:
    """A word for the table and the output's checksum, or qmill's reason for refusing. Fails if the two sides
    differ.
    """
    folder = empty(WORK / "mine")
    done = peer.qmill(*case.words(folder, mine=True))
    mine, error = contents(folder), done.stderr.strip()
    if "panicked" in error or done.returncode < 0:
        raise Failure(f"qmill crashed ({done.returncode}): {error[-300:]}")
    theirs = references.outcome(case)
    if theirs is None:
        if done.returncode == 0:
            raise Failure("qmill accepts what libllama refuses")
        if mine or not error:
            raise Failure(f"refused, but left {sorted(mine)} and said {error!r}")
        return "both refuse", error.splitlines()[-1]
    if done.returncode != 0:
        raise Failure(f"qmill exited with {done.returncode}: {error[-300:]}")
    if mine.keys() != theirs.keys():
        raise Failure(f"wrote {sorted(mine)} where libllama writes {sorted(theirs)}")
    if mine != theirs:
        if not (WORK / "peer").exists() or contents(WORK / "peer") != theirs:
            references.make(case)
        name = next(name for name in mine if mine[name] != theirs[name])
        try:
            difference = first_difference(WORK / "mine" / name, WORK / "peer" / name)
        except ValueError as error:
            difference = str(error)
        raise Failure(f"{name}: {difference}")
    if case.mix == "Q4_K_M":
        loaded = peer.run("load", folder / min(mine))
        if loaded.returncode != 0:
            raise Failure(f"libllama cannot load it: {loaded.stderr.strip()[-300:]}")
    return "same", "+".join(mine.values())


def check_nvfp4() -> tuple[str, str]:
    """libllama has no mix for NVFP4: compares each tensor with libggml's codec, and lets libllama load the
    file.
    """
    out = empty(WORK / "mine") / "out.gguf"
    done = peer.qmill("quantize", source("tiny-F32"), out, "NVFP4")
    if done.returncode != 0:
        raise Failure(f"qmill exited with {done.returncode}: {done.stderr.strip()}")
    ggml = Ggml()
    with source("tiny-F32").open("rb") as a, out.open("rb") as b:
        before, after = read_header(a), read_header(b)
        weights = {tensor.name: tensor for tensor in before.tensors}
        for tensor in after.tensors:
            original = weights[tensor.name]
            wanted = "F32" if len(tensor.shape) < 2 else "Q6_K" if tensor.name == "output.weight" else "NVFP4"
            if tensor.format != wanted:
                raise Failure(f"{tensor.name} is {tensor.format}, not {wanted}")
            a.seek(before.bytes + original.offset)
            b.seek(after.bytes + tensor.offset)
            if b.read(tensor.bytes) != ggml.quantize(wanted, a.read(original.bytes), original.shape[0]):
                raise Failure(f"{tensor.name}: not the bytes of ggml_quantize_chunk")
    loaded = peer.run("load", out)
    if loaded.returncode != 0:
        raise Failure(f"libllama cannot load it: {loaded.stderr.strip()[-300:]}")
    return "same", sha256(out)


def cases(every: bool) -> list[Case]:
    listed = [Case(model, kind, [], dequantize=True) for model in ("smollm2", "gemma3") for kind in FLOATS]
    for shift, model in enumerate(("tiny", "seeded", "smollm2", "gemma3")):
        for index, mix in enumerate(MIXES if every else SHORT):
            kinds = FLOATS if every or model == "tiny" else [FLOATS[(index + shift) % 3]]
            listed += [Case(f"{model}-{kind}", mix, []) for kind in kinds]
    if not every:  # the refusal on rows of 576
        listed.append(Case("smollm2-F16", "Q1_0", []))
    return listed + [Case(*flags) for flags in FLAGS]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--all", action="store_true", help="every mix from every float format")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases whose line contains this")
    parser.add_argument(
        "--record", type=Path, metavar="CSV", help="write every case, its result and its checksum here"
    )
    o = parser.parse_args()
    references, rows, failed = References(), [], 0
    checks = [(str(case), lambda case=case: check(case, references)) for case in cases(o.all)] + [
        ("tiny-F32 NVFP4", check_nvfp4)
    ]
    for name, call in checks:
        if o.only not in name:
            continue
        try:
            result, detail = call()
        except (Failure, subprocess.TimeoutExpired) as failure:
            failed += 1
            result, detail = "FAILED", str(failure)
        rows.append((name, result, detail))
        print(f"{result:12} {name}" + ("" if result == "same" else f": {detail}"), flush=True)
    shutil.rmtree(WORK, ignore_errors=True)
    if o.record:
        o.record.parent.mkdir(parents=True, exist_ok=True)
        with o.record.open("w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("case", "result", "sha256 or reason"), *rows])
    print(f"files: {len(rows) - failed} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
