"""Reads and writes GGUF files in a simple way: positions in the header, differences of two files, split
models.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Iterable

from peer import FORMATS

# ggml_type of all tensors; qmill copies integers and F64.
TYPES = FORMATS | {"I8": 24, "I16": 25, "I32": 26, "I64": 27, "F64": 28}
TYPE_NAMES = {number: name for name, number in TYPES.items()}
# Weights and bytes of a block.
BLOCKS = {
    'F32': (1, 4), 'F16': (1, 2), 'BF16': (1, 2), 'Q1_0': (128, 18), 'Q2_0': (64, 18), 'Q4_0': (32, 18),
    'Q4_1': (32, 20),
    'Q5_0': (32, 22), 'Q5_1': (32, 24), 'Q8_0': (32, 34), 'Q2_K': (256, 84), 'Q3_K': (256, 110),
    'Q4_K': (256, 144),
    'Q5_K': (256, 176), 'Q6_K': (256, 210), 'IQ1_S': (256, 50), 'IQ1_M': (256, 56), 'IQ2_XXS': (256, 66),
    'IQ2_XS': (256, 74),
    'IQ2_S': (256, 82), 'IQ3_XXS': (256, 98), 'IQ3_S': (256, 110), 'IQ4_NL': (32, 18), 'IQ4_XS': (256, 136),
    'TQ1_0': (256, 54),
    'TQ2_0': (256, 66), 'MXFP4': (32, 17), 'NVFP4': (64, 36), 'I8': (1, 1), 'I16': (1, 2), 'I32': (1, 4),
    'I64': (1, 8),
    'F64': (1, 8),
}  # fmt: skip
ALIGNMENT = 32
# Bytes copied or compared at a time.
CHUNK = 1 << 24

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
SCALAR_BYTES = {U8: 1, I8: 1, U16: 2, I16: 2, U32: 4, I32: 4, F32: 4, BOOL: 1, U64: 8, I64: 8, F64: 8}


def padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


@dataclass
class Tensor:
    name: str
    shape: tuple[int, ...]
    format: str
    offset: int = 0

    @property
    def bytes(self) -> int:
        weights, size = BLOCKS[self.format]
        return math.prod(self.shape) // weights * size


@dataclass
class Header:
    """Everything before the tensors' bytes. A value is kept as in the file: the number of its type, then its
    bytes.
    """

    values: list[tuple[str, bytes]]
    tensors: list[Tensor]
    bytes: int = 0

    def dump(self) -> bytes:
        """The bytes of the header, with consecutive tensors."""
        out = [struct.pack("<4sIQQ", b"GGUF", 3, len(self.tensors), len(self.values))]
        for key, value in self.values:
            out += [string(key), value]
        offset = 0
        for tensor in self.tensors:
            dims = len(tensor.shape)
            out += [
                string(tensor.name),
                struct.pack(f"<I{dims}QIQ", dims, *tensor.shape, TYPES[tensor.format], offset),
            ]
            offset += padded(tensor.bytes)
        header = b"".join(out)
        return header.ljust(padded(len(header)), b"\0")


def string(text: str) -> bytes:
    raw = text.encode(errors="surrogateescape")
    return struct.pack("<Q", len(raw)) + raw


def value(kind: int, content: int | float | str) -> bytes:
    """A scalar or string as in `Header.values`."""
    code = {U16: "H", U32: "I", I32: "i", F32: "f", BOOL: "?"}
    return struct.pack("<I", kind) + (
        string(content) if kind == STRING else struct.pack("<" + code[kind], content)
    )


def read_header(file: BinaryIO) -> Header:
    """Reads from the start of the file. Raises ValueError if that is not a header."""
    try:
        return _read_header(file)
    except (struct.error, KeyError, MemoryError, OverflowError, OSError) as error:
        raise ValueError(f"{file.name}: no readable GGUF header: {error!r}") from None


def _read_header(file: BinaryIO) -> Header:
    def take(layout: str) -> tuple:
        return struct.unpack("<" + layout, file.read(struct.calcsize("<" + layout)))

    def text() -> str:
        return file.read(*take("Q")).decode(errors="surrogateescape")

    def skip(kind: int) -> None:
        if kind == STRING:
            text()
        elif kind == ARRAY:
            element, count = take("IQ")
            if element == STRING:
                for _ in range(count):
                    text()
            else:
                file.seek(count * SCALAR_BYTES[element], 1)
        else:
            file.seek(SCALAR_BYTES[kind], 1)

    magic, _, tensor_count, value_count = take("4sIQQ")
    if magic != b"GGUF":
        raise ValueError(f"{file.name}: no GGUF file")
    values = []
    for _ in range(value_count):
        key, start = text(), file.tell()
        skip(*take("I"))
        size = file.tell() - start
        file.seek(start)
        values.append((key, file.read(size)))
    tensors = []
    for _ in range(tensor_count):
        name = text()
        shape = take("Q" * take("I")[0])
        number, offset = take("IQ")
        tensors.append(Tensor(name, shape, TYPE_NAMES[number], offset))
    return Header(values, tensors, padded(file.tell()))


def first_difference(mine: Path, peers: Path) -> str:
    """Describes the first difference of two files: a key, a tensor's description, a block of a tensor, or
    padding.
    """
    with mine.open("rb") as a, peers.open("rb") as b:
        m, p = read_header(a), read_header(b)
        for what, x, y in (("keys", m.values, p.values), ("tensors", m.tensors, p.tensors)):
            for ours, theirs in zip(x, y):
                if ours != theirs:
                    return f"{what}: {brief(ours)} where libllama has {brief(theirs)}"
            if len(x) != len(y):
                return f"{len(x)} {what} where libllama has {len(y)}"
        for tensor in m.tensors:
            a.seek(m.bytes + tensor.offset)
            b.seek(p.bytes + tensor.offset)
            x, y = a.read(tensor.bytes), b.read(tensor.bytes)
            if x != y:
                at = first_unequal(x, y)
                block, byte = divmod(at, BLOCKS[tensor.format][1])
                parts = f"{brief(x[at:at + 8])}, not {brief(y[at:at + 8])}"
                return f"{tensor.name} ({tensor.format}): block {block}, byte {byte}: {parts}"
        a.seek(0), b.seek(0)
        for start in range(0, peers.stat().st_size, CHUNK):
            x, y = a.read(CHUNK), b.read(CHUNK)
            if x != y and len(x) == len(y):
                return f"padding, at byte {start + first_unequal(x, y)} of the file"
    return f"{mine.stat().st_size} bytes where libllama has {peers.stat().st_size}"


def first_unequal(x: bytes, y: bytes) -> int:
    """The index of the first differing byte of two unequal strings, by binary search."""
    low, high = 0, min(len(x), len(y))
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if x[low : middle + 1] == y[low : middle + 1] else (low, middle)
    return low


def brief(thing: object) -> str:
    text = thing.hex(" ") if isinstance(thing, bytes) else str(thing)
    return text if len(text) <= 120 else text[:117] + "..."


def copy_bytes(source: BinaryIO, out: BinaryIO, size: int) -> None:
    while size:
        part = source.read(min(size, CHUNK))
        out.write(part)
        size -= len(part)


def write_tensors(out: BinaryIO, source: BinaryIO, header: Header, tensors: Iterable[Tensor]) -> None:
    for tensor in tensors:
        source.seek(header.bytes + tensor.offset)
        copy_bytes(source, out, tensor.bytes)
        out.write(bytes(padded(tensor.bytes) - tensor.bytes))


def split(path: Path, prefix: Path, count: int) -> Path:
    """Writes the model in `count` files `prefix-0000i-of-0000N.gguf`, as gguf-split would; returns the first.

    The first has the model's keys. All have the keys of the split and a share of the tensors, in order.
    """
    with path.open("rb") as source:
        header = read_header(source)
        share = -(-len(header.tensors) // count)
        for part in range(count):
            keys = [
                ("split.no", value(U16, part)),
                ("split.count", value(U16, count)),
                ("split.tensors.count", value(I32, len(header.tensors))),
            ]
            tensors = header.tensors[part * share : (part + 1) * share]
            with split_name(prefix, part, count).open("wb") as out:
                out.write(Header((header.values if part == 0 else []) + keys, tensors).dump())
                write_tensors(out, source, header, tensors)
    return split_name(prefix, 0, count)


def split_name(prefix: Path, part: int, count: int) -> Path:
    return prefix.with_name(f"{prefix.name}-{part + 1:05}-of-{count:05}.gguf")
