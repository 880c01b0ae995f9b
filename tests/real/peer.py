#!/usr/bin/env python3
"""Calls llama.cpp's own quantizer in its shared libraries, as the reference for qmill.

As a program, it replaces llama-quantize and takes the same arguments (`peer.py quantize [flags] IN OUT TYPE
[threads]`), so that tests can give one list of arguments to both sides; `peer.py load FILE...` loads models
as llama.cpp does before running them. As a module, it has the codecs of libggml-base (`Ggml`), the tables of
names, and paths. The libraries come from the npm package @node-llama-cpp/linux-x64 (setup.py), built for
plain x86-64 without fused multiply-add.
"""

from __future__ import annotations

import argparse
import ctypes as C
import datetime
import glob
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("QMILL_REAL_CACHE", ROOT / "target/real")).resolve()
PACKAGE = "@node-llama-cpp/linux-x64@3.22.1"
BIN = CACHE / "npm/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"
QMILL = Path(os.environ.get("QMILL", ROOT / "target/release/qmill")).resolve()
CODEC = Path(os.environ.get("QMILL_CODEC", ROOT / "target/release/examples/codec")).resolve()

# llama_ftype of each mix that needs no importance matrix. COPY keeps the input's.
MIXES = {
    'F32': 0, 'F16': 1, 'BF16': 32, 'Q1_0': 40, 'Q2_0': 41, 'Q4_0': 2, 'Q4_1': 3, 'Q5_0': 8, 'Q5_1': 9,
    'Q8_0': 7, 'Q2_K': 10,
    'Q3_K_S': 11, 'Q3_K_M': 12, 'Q3_K_L': 13, 'Q4_K_S': 14, 'Q4_K_M': 15, 'Q5_K_S': 16, 'Q5_K_M': 17,
    'Q6_K': 18, 'IQ4_NL': 25,
    'IQ4_XS': 30, 'TQ1_0': 36, 'TQ2_0': 37, 'MXFP4_MOE': 38, 'COPY': 0,
}  # fmt: skip

# ggml_type of each format.
FORMATS = {
    'F32': 0, 'F16': 1, 'BF16': 30, 'Q1_0': 41, 'Q2_0': 42, 'Q4_0': 2, 'Q4_1': 3, 'Q5_0': 6, 'Q5_1': 7,
    'Q8_0': 8, 'Q2_K': 10,
    'Q3_K': 11, 'Q4_K': 12, 'Q5_K': 13, 'Q6_K': 14, 'IQ1_S': 19, 'IQ1_M': 29, 'IQ2_XXS': 16, 'IQ2_XS': 17,
    'IQ2_S': 22,
    'IQ3_XXS': 18, 'IQ3_S': 21, 'IQ4_NL': 20, 'IQ4_XS': 23, 'TQ1_0': 34, 'TQ2_0': 35, 'MXFP4': 39,
    'NVFP4': 40,
}  # fmt: skip


def library(pattern: str) -> C.CDLL:
    found = glob.glob(str(BIN / pattern))
    if not found:
        sys.exit(f"{BIN}: no {pattern}; run tests/real/setup.py")
    return C.CDLL(found[0], mode=C.RTLD_GLOBAL)


class Ggml:
    """The codecs of libggml-base, on bytes."""

    class Traits(C.Structure):
        """struct ggml_type_traits."""

        _fields_ = [
            ('name', C.c_char_p), ('block', C.c_int64), ('block_interleave', C.c_int64),
            ('bytes', C.c_size_t), ('is_quantized', C.c_bool),
            ('to_float', C.CFUNCTYPE(None, C.c_char_p, C.c_void_p, C.c_int64)),
        ]  # fmt: skip

    def __init__(self) -> None:
        self.lib = library("libggml-base.so")
        self.lib.ggml_version.restype = C.c_char_p
        self.lib.ggml_get_type_traits.restype = C.POINTER(self.Traits)
        self.lib.ggml_quantize_chunk.restype = C.c_size_t
        self.lib.ggml_quantize_chunk.argtypes = [
            C.c_int,
            C.c_char_p,
            C.c_void_p,
            *[C.c_int64] * 3,
            C.c_char_p,
        ]
        self.lib.ggml_validate_row_data.restype = C.c_bool
        self.lib.ggml_validate_row_data.argtypes = [C.c_int, C.c_char_p, C.c_size_t]
        # ggml_init fills the tables for f16 conversion and NVFP4.
        self.lib.ggml_init.restype = C.c_void_p
        self.lib.ggml_init.argtypes = [C.c_size_t, C.c_void_p, C.c_bool]
        self.lib.ggml_free.argtypes = [C.c_void_p]
        self.lib.ggml_free(self.lib.ggml_init(1024, None, True))

    def version(self) -> str:
        return self.lib.ggml_version().decode()

    def traits(self, name: str) -> Traits:
        return self.lib.ggml_get_type_traits(FORMATS[name]).contents

    def quantize(self, name: str, weights: bytes, row: int, imatrix: bytes | None = None) -> bytes:
        """The blocks of f32 `weights`, in rows of `row`."""
        traits, rows = self.traits(name), len(weights) // 4 // row
        out = C.create_string_buffer(rows * row // traits.block * traits.bytes)
        self.lib.ggml_quantize_chunk(FORMATS[name], weights, out, 0, rows, row, imatrix)
        return out.raw

    def dequantize(self, name: str, blocks: bytes) -> bytes:
        """The weights of `blocks` as f32."""
        if name == "F32":  # ggml has no function for it
            return blocks
        traits = self.traits(name)
        weights = len(blocks) // traits.bytes * traits.block
        out = C.create_string_buffer(weights * 4)
        traits.to_float(blocks, out, weights)
        return out.raw

    def is_valid(self, name: str, blocks: bytes) -> bool:
        return self.lib.ggml_validate_row_data(FORMATS[name], blocks, len(blocks))


class TensorOverride(C.Structure):
    """struct llama_model_tensor_override."""

    _fields_ = [("pattern", C.c_char_p), ("type", C.c_int)]


class KvOverride(C.Structure):
    """struct llama_model_kv_override; `value` is a union of i64, f64, bool and char[128]."""

    _fields_ = [
        ("tag", C.c_int),
        ("key", C.c_char * 128),
        ("_align", C.c_int64 * 0),
        ("value", C.c_char * 128),
    ]


class QuantizeParams(C.Structure):
    """struct llama_model_quantize_params of llama.cpp with ggml 0.25 and 0.26."""

    _fields_ = [
        ('nthread', C.c_int32), ('ftype', C.c_int), ('output_tensor_type', C.c_int),
        ('token_embedding_type', C.c_int),
        ('allow_requantize', C.c_bool), ('quantize_output_tensor', C.c_bool), ('only_copy', C.c_bool),
        ('pure', C.c_bool),
        ('keep_split', C.c_bool), ('dry_run', C.c_bool), ('imatrix', C.c_void_p),
        ('kv_overrides', C.POINTER(KvOverride)),
        ('tt_overrides', C.POINTER(TensorOverride)), ('prune_layers', C.POINTER(C.c_int32)),
        ('max_buf_size', C.c_size_t),
    ]  # fmt: skip


class ModelParams(C.Structure):
    """struct llama_model_params, passed unread from llama_model_default_params to the loader.

    It is passed in memory. As the last argument it may be longer than the real one, whose fields change
    often.
    """

    _fields_ = [("words", C.c_uint64 * 64)]


LOG = C.CFUNCTYPE(None, C.c_int, C.c_char_p, C.c_void_p)
LOG_ERROR = 4


def llama(verbose: bool) -> C.CDLL:
    def show(level: int, text: bytes, _: object) -> None:
        if verbose or level == LOG_ERROR:
            sys.stderr.write(text.decode("utf-8", "replace"))

    log = LOG(show)
    library("libggml-base.so").ggml_log_set(log, None)
    backends = library("libggml.v*.so")
    backends.ggml_backend_load_all_from_path.argtypes = [C.c_char_p]
    backends.ggml_backend_load_all_from_path(os.fsencode(BIN))
    lib = library("libllama.v*.so")
    lib.llama_log_set(log, None)
    lib.keep_alive = log
    lib.llama_backend_init()
    return lib


def kv_override(text: str) -> KvOverride:
    key, _, rest = text.partition("=")
    kind, _, value = rest.partition(":")
    match kind:
        case "int":
            tag, raw = 0, bytes(C.c_int64(int(value)))
        case "float":
            tag, raw = 1, bytes(C.c_double(float(value)))
        case "bool":
            tag, raw = 2, bytes(C.c_bool(value == "true"))
        case _:
            tag, raw = 3, value.encode()
    override = KvOverride(tag=tag, key=key.encode())
    # Assigning to a char array would stop at the first zero byte.
    C.memmove(C.addressof(override) + KvOverride.value.offset, raw, len(raw))
    return override


def quantize(o: argparse.Namespace) -> int:
    lib = llama(o.verbose)
    lib.llama_model_quantize_default_params.restype = QuantizeParams
    lib.llama_model_quantize.argtypes = [C.c_char_p, C.c_char_p, C.POINTER(QuantizeParams)]
    p = lib.llama_model_quantize_default_params()
    p.ftype, p.only_copy, p.nthread = MIXES[o.type.upper()], o.type.upper() == "COPY", o.threads
    p.allow_requantize, p.quantize_output_tensor = o.allow_requantize, not o.leave_output_tensor
    p.pure, p.keep_split = o.pure, o.keep_split
    if o.output_tensor_type:
        p.output_tensor_type = FORMATS[o.output_tensor_type.upper()]
    if o.token_embedding_type:
        p.token_embedding_type = FORMATS[o.token_embedding_type.upper()]
    if o.tensor_type:
        pairs = [text.split("=", 1) for text in o.tensor_type]
        overrides = [
            TensorOverride(pattern.lower().encode(), FORMATS[name.upper()]) for pattern, name in pairs
        ]
        p.tt_overrides = (TensorOverride * (len(pairs) + 1))(*overrides, TensorOverride(None, 0))
    if o.override_kv:
        p.kv_overrides = (KvOverride * (len(o.override_kv) + 1))(
            *map(kv_override, o.override_kv), KvOverride()
        )
    if o.prune_layers:
        layers = sorted(map(int, o.prune_layers.split(",")))
        p.prune_layers = (C.c_int32 * (len(layers) + 1))(*layers, -1)
    start = time.perf_counter()
    status = lib.llama_model_quantize(os.fsencode(o.input), os.fsencode(o.output), C.byref(p))
    print(f"{time.perf_counter() - start:.3f}")
    return status


def load(o: argparse.Namespace) -> int:
    lib = llama(o.verbose)
    lib.llama_model_default_params.restype = ModelParams
    lib.llama_model_load_from_file.restype = C.c_void_p
    lib.llama_model_load_from_file.argtypes = [C.c_char_p, ModelParams]
    lib.llama_model_n_params.restype = C.c_uint64
    lib.llama_model_n_params.argtypes = lib.llama_model_free.argtypes = [C.c_void_p]
    for path in o.files:
        model = lib.llama_model_load_from_file(os.fsencode(path), lib.llama_model_default_params())
        if not model:
            return 1
        print(f"{path}: {lib.llama_model_n_params(model)} weights")
        lib.llama_model_free(model)
    return 0


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs this file as a program, so that a failed assertion in llama.cpp ends only that process."""
    return subprocess.run([sys.executable, __file__, *map(str, words)], capture_output=True, text=True)


def qmill(*words: str | Path, timeout: float = 900, **options) -> subprocess.CompletedProcess[str]:
    """Runs qmill, on the device that QMILL_DEVICE names if the command computes."""
    command = [str(QMILL), *map(str, words)]
    if "QMILL_DEVICE" in os.environ and words[0] in ("quantize", "dequantize"):
        command += ["--device", os.environ["QMILL_DEVICE"]]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, **options)


def devices() -> list[str]:
    """The values of `--device` here: the CPU, and a GPU if there is one, or a software adapter."""
    if '"index"' in qmill("devices", "--json").stdout:
        return ["cpu", "gpu"]
    print("not run on a GPU, for want of one")
    return ["cpu"]


def setting() -> str:
    """Date and versions of a measurement."""
    revision = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()
    return f"{datetime.date.today()}, qmill {revision}, {PACKAGE}, ggml {Ggml().version()}"


def write_table(path: Path, about: str, columns: list[str], rows: list[list[str]]) -> None:
    """A record in Markdown."""
    table = ["| " + " | ".join(row) + " |" for row in (columns, *rows)]
    table.insert(1, "|" + "---|" * len(columns))
    path.write_text("\n".join([about, "", *table]) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    q = commands.add_parser("quantize")
    q.set_defaults(call=quantize)
    q.add_argument("input"), q.add_argument("output"), q.add_argument("type")
    q.add_argument("threads", type=int, nargs="?", default=2)
    for flag in ("allow-requantize", "leave-output-tensor", "pure", "keep-split", "verbose"):
        q.add_argument(f"--{flag}", action="store_true")
    for flag in ("output-tensor-type", "token-embedding-type", "prune-layers"):
        q.add_argument(f"--{flag}")
    for flag in ("tensor-type", "override-kv"):
        q.add_argument(f"--{flag}", action="append")
    l = commands.add_parser("load")
    l.set_defaults(call=load)
    l.add_argument("files", nargs="+"), l.add_argument("--verbose", action="store_true")
    o = parser.parse_args()
    return o.call(o)


if __name__ == "__main__":
    sys.exit(main())
