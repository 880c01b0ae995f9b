#!/usr/bin/env python3
"""qmill's tokenizer against libllama's on difficult text, token for token.

The models are two real ones, and small ones for which tests/golden/tokens.json records libllama's results:
the trained Llama of tests/data with several splittings, and with a SentencePiece vocabulary instead of its
own (tests/golden/sentence-piece.gguf, only its keys). tests/golden/splittings.json has the same for every
name of a splitting that qmill knows, with a vocabulary of pairs that occur in these texts across all borders
of words (tests/golden/pairs.gguf), which shows differences that a trained vocabulary hides; for overlapping
tokens; and for Phi-3. --record writes these files.
"""

from __future__ import annotations

import argparse
import ctypes as C
import functools
import json
import os
import random
import struct
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import peer
from container import ARRAY, BOOL, F32, I32, STRING, U32, Header, read_header, string, value, write_tensors
from files import PACKAGED, TINY
from peer import ROOT

TOKENS = Path(os.environ.get("QMILL_TOKENS", ROOT / "target/release/examples/tokens")).resolve()
GOLDEN = ROOT / "tests/golden"
SPLITTINGS = ["gpt-2", "llama-bpe", "qwen2", "smollm", "default"]
# Each list has the names of one splitting. The first is recorded; the others must give the same.
NAMES = [
    ['llama-bpe', 'llama3', 'llama-v3', 'falcon3', 'falcon-h1', 'pixtral', 'midm-2.0', 'lfm2'],
    ['smaug-bpe', 'dbrx', 'chatglm-bpe', 'glm4'],
    ['qwen2', 'deepseek-r1-qwen', 'kormo', 'f2llmv2', 'megrez', 'stablelm2', 'hunyuan', 'solar-open',
        'grok-2'],
    ['qwen35'],
    ['gpt-4o', 'llama4', 'kanana2', 'minimax-m2'],
    ['tekken'],
    ['seed-coder'],
    ['deepseek-v3', 'hunyuan-dense', 'joyai-llm'],
    ['deepseek-llm'],
    ['deepseek-coder'],
    ['smollm', 'starcoder', 'refact', 'command-r', 'codeshell', 'exaone', 'minerva-7b', 'mellum2'],
    ['gpt-2', 'phi-2', 'olmo', 'mpt', 'jais', 'exaone4', 'gigachat', 'trillion', 'granite-docling', 'a.x-4.0',
        'mellum'],
    ['falcon'],
    ['bloom', 'poro-chat', 'gpt3-finnish'],
    ['viking'],
    ['default'],
]  # fmt: skip
OVERLAPPING = [
    "QZXWV",
    "aQZXWVb",
    "QZXQZXWV",
    "ZXWVQZX",
    "QZXWVZXWVQZX",
    "abcabcabc",
    "abcd",
    "ab bc cd",
    "xabcdx",
    "a<s>bc</s>",
]
SPACED = [
    "<|user|>\nHi<|end|>\n<|assistant|>\n",
    "<s> x",
    "<|endoftext|>  x",
    "</s>  x",
    "<|end|> \t\n\u000b\u00a0x",
    "<|end|>  <|user|> a",
    "<|user|>",
    " <|user|> ",
]

TEXTS = [
    '', ' ', '  ', '   ', '\n', '\n\n', ' \n', '\n ', '\t', '\t\tx', 'a', ' a', 'a ', 'Hello, world!',
    ' Hello', 'Hello  world   !',
    "I'm sure you're right, they'll say it's John's; we've told 'em, I'd not. Don't!",
    "I'M SURE YOU'RE RIGHT, THEY'LL SAY IT'S JOHN'S; WE'VE TOLD 'EM, I'D NOT.",
    "'s't're've'm'll'd 'S'T'Re'vE'M'lL'D 'x ''s '' '",
    '1 12 123 1234 12345 123456 1234567', '3.14159 -273.15 1e-5 0xFF 1,000,000', '１２３４ ½ ² Ⅳ ٣٤٥٦ ४५६ 五十 ①②',
    'x1y22z333w4444',
    'a   ', '   a', ' a  b   c    d     e', 'a\n\n\nb\n \n  c\r\n\r\nd\r\r e', '\r\n\r\n  x\r\ny \n',
    'end of line   \nnext \t\n\tline\n',
    'for (int i = 0; i < n; ++i) {\n\tsum += a[i] * b[i]; // \u00b5s\n}\n',
    'def f(x):\n    return x**2 if x else None\n\n\nclass A:\n        pass',
    'https://example.org/a_b-c?d=e&f=%20#g', '<div class="x">&amp;</div>', '!!!???...---===___***',
    '$100 + 20% <= ~^|`@#', '"\u201cquoted\u201d" \u2018x\u2019 \u2014 \u2013 \u2026',
    'na\u00efve caf\u00e9 cafe\u0301 \u00c5ngstr\u00f6m A\u030angstro\u0308m \u00df \u1e9e \u0132 \u017f',
    '\u0141\u00f3d\u017a \u0130stanbul \u0131 \u01c5',
    'Привет, мир! Ёлка', 'Γειά σου Κόσμε ΣΑΣ ς', 'שלום עולם', 'مرحبا بالعالم ٪', 'नमस्ते दुनिया',
    'สวัสดีชาวโลก', '你好，世界！这是一个测试。', 'こんにちは世界 カタカナ ﾊﾝｶｸ', '안녕하세요 세계', 'ជំរាបសួរ',
    '😀 😃😄 👍🏽 👩‍👩‍👧‍👦 🇩🇪🇫🇷 ❤️ ☃', '\U0001d54f\U0001d7d9 \U00020000\U0002a6d6',
    '\u00a0nbsp\u2003em\u3000ideographic\u200bzero\u2028line\u0085next', '\u202fx\u205f y \u1680z',
    'a\u0000b\u0001\u0007\u001b[0m\u007f', '\ue000\uf8ff\U0010ffff\ufffd\ufeff', '\u0378\u0530',
    'x\u0301\u0302\u0303 \u0301', '\u2581 \u2581\u2581x', '▁the ▁',
    '<|endoftext|>', '<|endoftext|>ROMEO:<|endoftext|>\n', ' <|endoftext|> ', '<|endoftext',
    '<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n',
    '<s>x</s>', '<bos><start_of_turn>user\nhi<end_of_turn>\n', '<unk><pad><0x0A>', '<think> a</think>',
    '<unused5>[multimodal]', '</s></s> </s>',
    'ROMEO:\nBut, soft! what light through yonder window breaks?\nIt is the east, and Juliet is the sun.\n',
    'supercalifragilisticexpialidocious' * 3,
    'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '        ' * 9 + 'x', '\n' * 17, '=' * 70, 'ab' * 40,
]  # fmt: skip


class Libllama:
    """libllama's tokenizers."""

    def __init__(self) -> None:
        lib = self.lib = peer.llama(False)
        lib.llama_model_default_params.restype = peer.ModelParams
        lib.llama_model_load_from_file.restype = C.c_void_p
        lib.llama_model_load_from_file.argtypes = [C.c_char_p, peer.ModelParams]
        lib.llama_model_get_vocab.restype = C.c_void_p
        lib.llama_model_get_vocab.argtypes = lib.llama_model_free.argtypes = [C.c_void_p]
        lib.llama_tokenize.argtypes = [
            C.c_void_p,
            C.c_char_p,
            C.c_int32,
            C.POINTER(C.c_int32),
            C.c_int32,
            C.c_bool,
            C.c_bool,
        ]

    def tokens(self, path: Path, texts: list[str], special: bool = False) -> list[list[int]]:
        params = self.lib.llama_model_default_params()
        params.words[9] |= 1  # vocab_only
        model = self.lib.llama_model_load_from_file(os.fsencode(path), params)
        if not model:
            raise RuntimeError(f"libllama does not load {path}")
        vocab, answers = self.lib.llama_model_get_vocab(model), []
        for text in texts:
            raw = text.encode()
            room = 4 * len(raw) + 8
            out = (C.c_int32 * room)()
            count = self.lib.llama_tokenize(vocab, raw, len(raw), out, room, special, True)
            if count < 0:
                raise RuntimeError(f"libllama: {-count} tokens for {text!r}")
            answers.append(list(out[:count]))
        self.lib.llama_model_free(model)
        return answers


def qmill(path: Path, texts: list[str]) -> list[tuple[list[int], str]]:
    lines = "\n".join(map(json.dumps, texts)) + "\n"
    ran = subprocess.run([TOKENS, path], input=lines.encode(), stdout=subprocess.PIPE, check=True)
    return list(map(json.loads, ran.stdout.splitlines()))


def strings(raw: bytes) -> list[str]:
    """The elements of an array of strings in a header."""
    out, at = [], 16
    while at < len(raw):
        (size,) = struct.unpack_from("<Q", raw, at)
        out.append(raw[at + 8 : at + 8 + size].decode())
        at += 8 + size
    return out


def array(kind: int, elements: list) -> bytes:
    body = (
        [string(element) for element in elements]
        if kind == STRING
        else [value(kind, element)[4:] for element in elements]
    )
    return struct.pack("<IIQ", ARRAY, kind, len(elements)) + b"".join(body)


def alphabet() -> dict[str, int]:
    """The bytes that GPT-2's characters represent."""
    printing = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printing]
    return {chr(byte): byte for byte in printing} | {chr(256 + i): byte for i, byte in enumerate(others)}


def sentence_piece(keys: dict[str, bytes]) -> dict[str, bytes]:
    """The tiny model's keys with a SentencePiece vocabulary of the same size: its own tokens as far as they
    are text, and all bytes.
    """
    own, letters = strings(keys["tokenizer.ggml.tokens"]), alphabet()
    tokens = [
        ("<unk>", 2),
        ("<s>", 3),
        ("</s>", 3),
        *((f"<0x{byte:02X}>", 6) for byte in range(256)),
        ("<think>", 4),
    ]
    for name in own[1:]:
        try:
            text = bytes(letters[character] for character in name).decode().replace(" ", "▁")
        except UnicodeDecodeError:
            continue
        # Control characters are byte tokens.
        if len(tokens) < len(own) and text.isprintable():
            tokens.append((text, 1))
    # The tiny model has few letters outside ASCII; there is room for those.
    extra = ["é", "▁é", "ö", "世", "界", "世界", "▁▁", "▁▁▁▁", "😀"]
    tokens[len(own) - len(extra) :] = [(text, 1) for text in extra]
    assert len(tokens) == len(own) and len(dict(tokens)) == len(own)
    keys = {key: raw for key, raw in keys.items() if not key.startswith("tokenizer.")}
    return keys | {
        "tokenizer.ggml.model": value(STRING, "llama"),
        "tokenizer.ggml.tokens": array(STRING, [text for text, _ in tokens]),
        "tokenizer.ggml.scores": array(F32, [-float(i) for i in range(len(tokens))]),
        "tokenizer.ggml.token_type": array(I32, [kind for _, kind in tokens]),
    }


@functools.cache
def pairs() -> dict[str, bytes]:
    """Keys of a model with all bytes, and with pairs that are frequent in the texts across word borders."""
    names = {byte: character for character, byte in alphabet().items()}
    text = [names[byte] for byte in "\n".join(TEXTS + scrambled(60)).encode()]
    tokens, merges = sorted(set(names.values())), []
    for _ in range(600):
        counts = Counter(zip(text, text[1:], strict=False))
        (left, right), _ = min(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        merges.append(f"{left} {right}")
        if left + right not in tokens:
            tokens.append(left + right)
        joined, at = [], 0
        while at < len(text):
            both = text[at : at + 2] == [left, right]
            joined.append(left + right if both else text[at])
            at += 2 if both else 1
        text = joined
    # Words that no merge produces: is a word that is a token used as it is?
    words = [
        "HelloĠworld",
        "ĠHello",
        "Hello",
        "ĠSURE",
        "returnĠx",
        "ĠJuliet",
        "12",
        "123",
        "!!!???...---===___***",
    ]
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>"]
    tokens = [token for token in tokens if token not in special]
    tokens += [word for word in words if word not in tokens] + special
    return {
        "general.architecture": value(STRING, "llama"),
        "tokenizer.ggml.model": value(STRING, "gpt2"),
        "tokenizer.ggml.tokens": array(STRING, tokens),
        "tokenizer.ggml.token_type": array(
            I32, [3 if token in special[:3] else 4 if token == "<think>" else 1 for token in tokens]
        ),
        "tokenizer.ggml.merges": array(STRING, merges),
        "tokenizer.ggml.bos_token_id": value(U32, len(tokens) - 4),
        "tokenizer.ggml.eos_token_id": value(U32, len(tokens) - 4),
    }


def overlapping() -> dict[str, bytes]:
    """Added tokens that overlap."""
    added = ["QZX", "ZXWV", "abc", "bcd", "cab", "ab", "<s>", "</s>"]
    tokens = [*sorted(alphabet()), "ĠĠ", *added]
    return {
        "general.architecture": value(STRING, "llama"),
        "tokenizer.ggml.model": value(STRING, "gpt2"),
        "tokenizer.ggml.pre": value(STRING, "gpt-2"),
        "tokenizer.ggml.tokens": array(STRING, tokens),
        "tokenizer.ggml.token_type": array(I32, [4 if token in added else 1 for token in tokens]),
        "tokenizer.ggml.merges": array(STRING, ["Ġ Ġ"]),
    }


def phi(keys: dict[str, bytes]) -> dict[str, bytes]:
    """A SentencePiece vocabulary with Phi-3's name and tokens, which strip the white space after them."""
    tokens = strings(sentence_piece(keys)["tokenizer.ggml.tokens"])
    places = {"<|user|>": 300, "<|assistant|>": 301, "<|end|>": 302, "<|endoftext|>": 303}
    for token, place in places.items():
        tokens[place] = token
    kinds = [2, 3, 3] + [6] * 256 + [4] + [1] * (len(tokens) - 260)
    for place in places.values():
        kinds[place] = 3
    return sentence_piece(keys) | {
        "general.name": value(STRING, "Phi-3 mini"),
        "tokenizer.ggml.tokens": array(STRING, tokens),
        "tokenizer.ggml.token_type": array(I32, kinds),
    }


def header_only(path: Path, keys: dict[str, bytes]) -> Path:
    path.write_bytes(Header(list(keys.items()), []).dump())
    return path


def splittings(folder: Path) -> dict[str, tuple[Path, list[str]]]:
    """Files without tensors, by name, and the texts recorded for each."""
    with TINY.open("rb") as source:
        tiny = dict(read_header(source).values)
    own = {key: raw for key, raw in tiny.items() if key.startswith(("general.", "llama."))}
    files = {
        name: (
            header_only(
                folder / f"pre-{name}.gguf", own | pairs() | {"tokenizer.ggml.pre": value(STRING, name)}
            ),
            TEXTS,
        )
        for names in NAMES
        for name in names
    }
    files["overlapping"] = (header_only(folder / "overlapping.gguf", own | overlapping()), OVERLAPPING)
    files["phi-3"] = (header_only(folder / "phi-3.gguf", own | phi(tiny)), SPACED)
    return files


def small_models(folder: Path) -> dict[str, Path]:
    """The tiny model with other tokenizers, by name."""
    with TINY.open("rb") as source:
        header = read_header(source)
        own = dict(header.values)
        spm = sentence_piece(own)
        variants = {name: own | {"tokenizer.ggml.pre": value(STRING, name)} for name in SPLITTINGS}
        variants["llama"] = spm
        variants["llama without a space"] = spm | {"tokenizer.ggml.add_space_prefix": value(BOOL, False)}
        paths = {name: folder / f"{i}.gguf" for i, name in enumerate(variants)}
        for name, keys in variants.items():
            with paths[name].open("wb") as out:
                out.write(Header(list(keys.items()), header.tensors).dump())
                write_tensors(out, source, header, header.tensors)
    return paths


def write_json(path: Path, lists: dict[str, list]) -> None:
    parts = [
        json.dumps(name) + ": [\n" + ",\n".join(map(json.dumps, rows)) + "\n]" for name, rows in lists.items()
    ]
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n")


def record_splittings(libllama: Libllama, files: dict[str, tuple[Path, list[str]]]) -> None:
    first = [names[0] for names in NAMES] + ["overlapping", "phi-3"]
    answers = {"names": NAMES, "texts": TEXTS, "overlapping texts": OVERLAPPING, "phi-3 texts": SPACED}
    begun = {name: libllama.tokens(files[names[0]][0], [""], True)[0] for names in NAMES for name in names}
    answers["begun"] = sorted(name for name, tokens in begun.items() if tokens)
    write_json(GOLDEN / "splittings.json", answers | {name: libllama.tokens(*files[name]) for name in first})
    header_only(GOLDEN / "pairs.gguf", pairs())


def record(answers: dict[str, list[list[int]]]) -> None:
    with TINY.open("rb") as source:
        keys = sentence_piece(dict(read_header(source).values))
    (GOLDEN / "sentence-piece.gguf").write_bytes(Header(list(keys.items()), []).dump())
    rows = [json.dumps(text) for text in TEXTS]
    parts = ['"texts": [\n' + ",\n".join(rows) + "\n]"]
    parts += [
        json.dumps(name) + ": [\n" + ",\n".join(map(json.dumps, lists)) + "\n]"
        for name, lists in answers.items()
    ]
    (GOLDEN / "tokens.json").write_text("{\n" + ",\n".join(parts) + "\n}\n")


def scrambled(count: int) -> list[str]:
    """Texts assembled from parts of the others, seeded."""
    pieces = [text[i : i + 3] for text in TEXTS for i in range(0, len(text), 3)]
    choose = random.Random(1)
    return ["".join(choose.choices(pieces, k=choose.randrange(1, 12))) for _ in range(count)]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-n", type=int, default=3000, help="texts put together from pieces, for each model")
    parser.add_argument("--record", action="store_true", help="write what libllama answers to tests/golden")
    o = parser.parse_args()
    libllama, different = Libllama(), 0
    plays = (ROOT / "tests/data/held-out.txt").read_text()
    texts = TEXTS + [plays] + scrambled(o.n)
    with tempfile.TemporaryDirectory() as folder:
        small = small_models(Path(folder))
        if o.record:
            record({name: libllama.tokens(path, TEXTS) for name, path in small.items()})
            record_splittings(libllama, splittings(Path(folder)))
        more = {name: path for name, (path, _) in splittings(Path(folder)).items()}
        texts += OVERLAPPING + SPACED
        for name, path in (
            small | more | {name: PACKAGED[name] for name in ("smollm2", "gemma3") if PACKAGED[name].exists()}
        ).items():
            before = different
            for text, (mine, decoded), theirs in zip(
                texts, qmill(path, texts), libllama.tokens(path, texts), strict=True
            ):
                if mine != theirs:
                    different += 1
                    if different <= 10:
                        print(f"{name}: {text!r}\n  qmill    {mine}\n  libllama {theirs}")
            print(f"{name}: {len(texts)} texts, {different - before} different")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
