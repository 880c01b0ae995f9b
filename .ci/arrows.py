#!/usr/bin/env python3
"""Fails where imports between source files point the wrong way. `arrows.py --draw` prints all imports.

There are two rules. Between the rooms of `ROOMS` (the folders of `src/`), a file imports only from rooms
further down the list. Among files there is no circle: every file can be read before those that import it.

An import is a path that starts with `crate`, `super`, `self`, the crate's name or a child module, in a `use`
or anywhere else in the code. A name that a module re-exports (`pub use`) is an import of the file that
defines it. Tests within a file are ignored.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# From top to bottom. Rooms on one line do not import each other.
ROOMS = [
    ["main"],
    ["cli"],
    ["report"],
    ["bench"],
    ["fit"],
    ["eval"],
    ["llm"],
    ["stream"],
    ["hf"],
    ["device"],
    ["gpu"],
    ["cpu", "gguf", "mix"],
    ["format"],
    ["threads"],
    ["error"],
]
# `Error` has variants with types of these rooms, without using them.
CARRIED = {("error", "format"), ("error", "mix"), ("error", "gguf")}


def code(path):
    """A file's text without comments, strings and test modules."""
    text = path.read_text()
    text = re.split(r"#\[cfg\(test\)\]\s*(?:pub(?:\([^)]*\))?\s+)?mod ", text)[0]
    # A raw string, a string, a character, or a comment, whichever starts first.
    pattern = r'''\br(#*)".*?"\1|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\\n])'|//[^\n]*'''
    return re.sub(pattern, lambda match: "" if match[0].startswith("//") else '""', text, flags=re.S)


def modules():
    """Every module file, by its path from the crate's root."""
    found = {}
    for path in (ROOT / "src").rglob("*.rs"):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        found[() if parts == ("lib",) else parts] = path
    return found


def trees(text):
    """The paths of a use tree, each as (segments, the name in this file)."""
    text = text.strip()
    if text.startswith("{"):
        depth, start = 0, 1
        for i, c in enumerate(text):
            depth += (c == "{") - (c == "}")
            if (c == "," and depth == 1) or (c == "}" and depth == 0):
                if text[start:i].strip():
                    yield from trees(text[start:i])
                start = i + 1
        return
    if match := re.match(r"(\w+)\s*::\s*", text):
        for segments, name in trees(text[match.end() :]):
            yield [match[1], *segments], name or match[1]
        return
    if match := re.match(r"(\w+)(?:\s+as\s+(\w+))?$", text):
        if match[1] == "self":
            yield [], match[2]
        else:
            yield [match[1]], match[2] or match[1]
        return
    if text == "*":
        yield ["*"], None


def inline_modules(text):
    """The start and end of each `mod name { … }`, which adds a level to `super`."""
    for match in re.finditer(r"\bmod\s+(\w+)\s*\{", text):
        depth = 0
        for end in range(match.end() - 1, len(text)):
            depth += (text[end] == "{") - (text[end] == "}")
            if depth == 0:
                break
        yield match[1], match.start(), end


class Tree:
    def __init__(self):
        self.files = modules()
        self.texts = {module: code(path) for module, path in self.files.items()}
        self.uses = {module: list(self.use_statements(module)) for module in self.files}
        # The path behind each name that a module has imported.
        self.names = {
            module: {name: path for path, name, _ in uses if name} for module, uses in self.uses.items()
        }

    def start(self, module, segments, inline):
        """The path from the crate's root; None for a path of another crate."""
        first = segments[0]
        if first in ("crate", "qmill"):
            return tuple(segments[1:])
        base = list(module) + inline
        if first == "self":
            return tuple(base + segments[1:])
        if first == "super":
            while segments and segments[0] == "super":
                base, segments = base[:-1], segments[1:]
            return tuple(base + segments)
        # A child module.
        if (*module, first) in self.files:
            return (*module, *segments)
        return None

    def use_statements(self, module):
        text = self.texts[module]
        nested = list(inline_modules(text))
        for match in re.finditer(r"\b(pub(?:\([^)]*\))?\s+)?use\s+([^;]+);", text):
            inline = [name for name, start, end in nested if start < match.start() < end]
            for segments, name in trees(match[2]):
                if segments and (path := self.start(module, segments, inline)) is not None:
                    yield path, name, bool(match[1])

    def resolve(self, path, seen=()):
        """The module that defines what a path names."""
        for length in range(len(path), -1, -1):
            if path[:length] in self.files:
                module, rest = path[:length], path[length:]
                break
        if not rest or (module, rest) in seen:
            return module
        name = rest[0]
        if name in self.names[module] and self.names[module][name] != path:
            return self.resolve(self.names[module][name] + rest[1:], (*seen, (module, rest)))
        return module

    def imports(self, module):
        text = self.texts[module]
        nested = list(inline_modules(text))
        paths = {path for path, _, is_passed_on in self.uses[module] if not is_passed_on}
        children = [file[-1] for file in self.files if file and file[:-1] == module]
        starts = "|".join(["crate", "super", "self", "qmill", *children])
        for match in re.finditer(rf"(?<![\w:])(?:{starts})(?:::\w+)+", text):
            inline = [name for name, start, end in nested if start < match.start() < end]
            if re.search(r"\buse\s+[^;]*$", text[: match.start()]):
                continue
            paths.add(self.start(module, match[0].split("::"), inline))
        found = {self.resolve(path) for path in paths if path}
        return {to for to in found if to != module and to}


def room(module):
    return module[0] if module else "lib"


def circles(arrows):
    """Sets of files that import each other in a circle (Tarjan's strongly connected components)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for to in sorted(arrows[node]):
            if to not in index:
                visit(to)
                low[node] = min(low[node], low[to])
            elif to in stack:
                low[node] = min(low[node], index[to])
        if low[node] == index[node]:
            at = stack.index(node)
            if len(stack) - at > 1:
                found.append(stack[at:])
            del stack[at:]

    sys.setrecursionlimit(10_000)
    for node in sorted(arrows):
        if node not in index:
            visit(node)
    return found


def main():
    tree = Tree()
    arrows = {module: tree.imports(module) for module in tree.files}
    name = lambda module: "/".join(module) or "lib"
    if "--draw" in sys.argv:
        for module in sorted(arrows):
            for to in sorted(arrows[module]):
                print(f"{name(module)} -> {name(to)}")
    rank = {room: i for i, rooms in enumerate(ROOMS) for room in rooms}
    faults = []
    for module in sorted(arrows):
        for to in sorted(arrows[module]):
            here, there = room(module), room(to)
            if here == there or "lib" in (here, there) or (here, there) in CARRIED:
                continue
            if rank[here] >= rank[there]:
                faults.append(f"{name(module)} imports {name(to)}: {there} is not below {here}")
    needed = {
        module: {to for to in found if (room(module), room(to)) not in CARRIED}
        for module, found in arrows.items()
    }
    for circle in circles(needed):
        inside = [f"{name(a)} -> {name(b)}" for a in circle for b in sorted(needed[a]) if b in circle]
        faults.append("a circle: " + ", ".join(inside))
    for fault in faults:
        print(fault, file=sys.stderr)
    if len(arrows) < 100 or sum(map(len, arrows.values())) < 1000:
        sys.exit("fewer than 100 files or 1000 imports: the script overlooks some")
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
