#!/usr/bin/env python3
"""Compares every codec of qmill with libggml itself, byte for byte, on random weights of many distributions.

Encoders: the bytes must equal `ggml_quantize_chunk` without an importance matrix. Decoders: the f32 must
equal libggml's `to_float` bit for bit, of encoded blocks and of random bytes (all NaNs are equal), and those
of the `gguf` package if it has the format. Formats that qmill only decodes are encoded by libggml, with an
importance matrix of ones. Blocks whose scale overflows f16 are not compared: no file may contain them.
"""

import argparse
import functools
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from typing import Callable

import gguf
import numpy as np

from container import BLOCKS, first_unequal
from peer import CODEC, FORMATS, Ggml

ROW = 1024
# libggml searches a grid for these: a hundred times slower than the others, and it aborts on degenerate
# weights.
GRID_FORMATS = ("IQ1_S", "IQ1_M", "IQ2_XXS", "IQ2_XS", "IQ2_S", "IQ3_XXS", "IQ3_S")
GRID_DISTRIBUTIONS = ("gaussian", "f16 gaussian", "bf16 gaussian", "heavy tails", "uniform", "small", "large")
Rng = np.random.Generator


def gaussian(rng: Rng, n: int) -> np.ndarray:
    return rng.standard_normal(n, np.float32)


def constants(rng: Rng, n: int) -> np.ndarray:
    return np.repeat(gaussian(rng, n // 16), 16) * rng.choice([0.0, 1.0, -1.0], n // 256).repeat(256)


def half_integers(rng: Rng, n: int) -> np.ndarray:
    """Codes and ties between codes: the largest of each 16 is a power of two, and so is the scale."""
    x = rng.integers(-256, 257, n) / 2
    x[::16] = rng.choice([-1.0, 1.0], n // 16) * 2.0 ** rng.integers(3, 8, n // 16)
    return x * np.exp2(rng.integers(-12, 4, n // 256)).repeat(256)


def below_powers_of_two(rng: Rng, n: int) -> np.ndarray:
    """Powers of two and magnitudes up to 64 ulp below, where log2f rounds up to an integer."""
    bits = np.exp2(rng.integers(-30, 12, n)).astype(np.float32).view(np.uint32) - rng.integers(
        0, 65, n, np.uint32
    )
    return bits.view(np.float32) * rng.choice([-1, 1], n) * rng.choice([1, 1 / 16], n)


def scales(rng: Rng, n: int) -> np.ndarray:
    """A separate scale for every 16 weights, over five decades."""
    return gaussian(rng, n) * (10 ** rng.uniform(-4, 1, n // 16)).repeat(16)


def zeros(rng: Rng, n: int) -> np.ndarray:
    """Runs of 16 and 256 zeros of both signs between other weights."""
    x = gaussian(rng, n) * rng.integers(0, 2, n // 16).repeat(16) * rng.integers(0, 2, n // 256).repeat(256)
    return np.where((x == 0) & (rng.random(n) < 0.5), -0.0, x)


def spikes(rng: Rng, n: int) -> np.ndarray:
    return gaussian(rng, n) * np.where(rng.random(n) < 1 / 200, 1000, 1)


DISTRIBUTIONS: dict[str, Callable[[Rng, int], np.ndarray]] = {
    "gaussian": gaussian,
    "f16 gaussian": lambda rng, n: gaussian(rng, n).astype(np.float16),
    "bf16 gaussian": lambda rng, n: (gaussian(rng, n).view(np.uint32) & 0xFFFF0000).view(np.float32),
    "heavy tails": lambda rng, n: rng.standard_t(2, n),
    "uniform": lambda rng, n: rng.uniform(-1, 1, n),
    "positive": lambda rng, n: rng.uniform(0.5, 1, n),
    "negative": lambda rng, n: rng.uniform(-1, -0.5, n),
    "small": lambda rng, n: gaussian(rng, n) * 1e-3,
    "tiny": lambda rng, n: gaussian(rng, n) * (10 ** rng.uniform(-18, -6, n // 32)).repeat(32),
    "subnormal": lambda rng, n: gaussian(rng, n) * (10 ** rng.uniform(-45, -36, n // 32)).repeat(32),
    "large": lambda rng, n: gaussian(rng, n) * 1e4,
    "huge": lambda rng, n: gaussian(rng, n) * (10 ** rng.uniform(3, 18, n // 256)).repeat(256),
    "constants": constants,
    "half integers": half_integers,
    "below powers of two": below_powers_of_two,
    "scales": scales,
    "zeros": zeros,
    "ternary": lambda rng, n: rng.integers(-1, 2, n) * rng.random(n // 256).repeat(256),
    "spikes": spikes,
}


class Difference(Exception):
    pass


def qmill(direction: str, name: str, data: bytes, plant_fault: bool) -> bytes:
    done = subprocess.run([str(CODEC), direction, name], input=data, capture_output=True)
    if done.returncode != 0:
        raise Difference(f"qmill cannot {direction}: {done.stderr.decode().strip()}")
    if plant_fault:
        middle = len(done.stdout) // 2
        return done.stdout[:middle] + bytes([done.stdout[middle] ^ 1]) + done.stdout[middle + 1 :]
    return done.stdout


def weights_of(name: str, distribution: str, n: int) -> bytes:
    rng = np.random.default_rng([FORMATS[name], list(DISTRIBUTIONS).index(distribution)])
    return DISTRIBUTIONS[distribution](rng, n).astype("<f4").tobytes()


def random_blocks(name: str, n: int) -> bytes:
    rng = np.random.default_rng([FORMATS[name], 1000])
    weights, size = BLOCKS[name]
    return rng.bytes(n // weights * size)


def compare_blocks(ggml: Ggml, name: str, what: str, mine: bytes, theirs: bytes) -> None:
    """Fails on the first block that differs and that libggml considers valid."""
    if mine == theirs:
        return
    if len(mine) != len(theirs):
        raise Difference(f"{what}: {len(mine)} bytes where libggml has {len(theirs)}")
    size = BLOCKS[name][1]
    x, y = (np.frombuffer(data, np.uint8).reshape(-1, size) for data in (mine, theirs))
    bad = [
        int(block)
        for block in np.flatnonzero((x != y).any(axis=1))
        if ggml.is_valid(name, y[block].tobytes())
    ]
    if bad:
        ours, libs = x[bad[0]].tobytes(), y[bad[0]].tobytes()
        byte = first_unequal(ours, libs)
        raise Difference(
            f"{what}: {len(bad)} of {len(x)} blocks; first is block {bad[0]}, byte {byte}: "
            f'{ours[byte:byte + 8].hex(" ")}, not {libs[byte:byte + 8].hex(" ")}'
        )


def compare_weights(name: str, what: str, mine: bytes, theirs: bytes) -> None:
    if mine == theirs:
        return
    if len(mine) != len(theirs):
        raise Difference(f"{what}: {len(mine)} bytes where there are {len(theirs)}")
    x, y = (np.frombuffer(data, "<f4") for data in (mine, theirs))
    bad = np.flatnonzero((x.view(np.uint32) != y.view(np.uint32)) & ~(np.isnan(x) & np.isnan(y)))
    if len(bad):
        block, weight = divmod(int(bad[0]), BLOCKS[name][0])
        raise Difference(
            f"{what}: {len(bad)} weights; first is block {block}, weight {weight}: "
            f"{x[bad[0]]!r}, not {y[bad[0]]!r}"
        )


class Check:
    """All comparisons of one format."""

    def __init__(self, name: str, n: int, plant_fault: bool) -> None:
        self.name, self.n, self.ggml = name, n, Ggml()
        self.qmill = functools.partial(qmill, plant_fault=plant_fault)

    def decoder(self, what: str, blocks: bytes) -> None:
        mine = self.qmill("dequantize", self.name, blocks)
        compare_weights(
            self.name, f"{what}, decoded, against libggml", mine, self.ggml.dequantize(self.name, blocks)
        )
        kind = getattr(gguf.GGMLQuantizationType, self.name, None)
        if kind in gguf.quants._type_traits:
            with np.errstate(all="ignore"):
                numpys = gguf.quants.dequantize(
                    np.frombuffer(blocks, np.uint8).reshape(-1, BLOCKS[self.name][1]), kind
                )
            compare_weights(
                self.name, f"{what}, decoded, against gguf.quants", mine, numpys.astype("<f4").tobytes()
            )

    def run(self) -> int:
        """The number of weights compared."""
        by_grid = self.name in GRID_FORMATS
        distributions, encoded = (GRID_DISTRIBUTIONS, self.n // 20) if by_grid else (DISTRIBUTIONS, self.n)
        each = -(-encoded // len(distributions) // ROW) * ROW
        for distribution in distributions:
            weights = weights_of(self.name, distribution, each)
            blocks = self.ggml.quantize(
                self.name, weights, ROW, np.ones(ROW, "<f4").tobytes() if by_grid else None
            )
            if not by_grid:
                compare_blocks(
                    self.ggml, self.name, distribution, self.qmill("quantize", self.name, weights), blocks
                )
            self.decoder(distribution, blocks)
        self.decoder("random bytes", random_blocks(self.name, self.n))
        return each * len(distributions) + self.n


def result(name: str, n: int, plant_fault: bool) -> tuple[bool, str]:
    try:
        total = Check(name, n, plant_fault).run()
        return (
            True,
            f"{name:8} same  {total:>10} weights "
            f'{"decoded" if name in GRID_FORMATS else "encoded and decoded"}',
        )
    except Difference as difference:
        return False, f"{name:8} DIFFERS  {difference}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("formats", nargs="*", default=list(FORMATS), help="all 28 if none is named")
    parser.add_argument("-n", type=float, default=2e6, help="weights for each format (default: 2e6)")
    parser.add_argument(
        "--plant-fault",
        action="store_true",
        help="flip a bit of all that qmill writes, and expect every format to differ",
    )
    o = parser.parse_args()
    print(f'libggml {Ggml().version()}, gguf {version("gguf")}')
    passed = 0
    with ProcessPoolExecutor() as pool:
        for same, line in pool.map(
            functools.partial(result, n=int(o.n), plant_fault=o.plant_fault), o.formats
        ):
            passed += same != o.plant_fault
            if same or not o.plant_fault:
                print(line, flush=True)
    print(
        f'codecs{" with a planted fault" if o.plant_fault else ""}: '
        f"{passed} passed, {len(o.formats) - passed} failed"
    )
    return passed < len(o.formats)


if __name__ == "__main__":
    sys.exit(main())
