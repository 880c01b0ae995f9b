#!/usr/bin/env python3
"""Measures on a machine with a GPU what has to be measured there, within a time limit: on_a_gpu.sh says what.

QMILL and QMILL_TESTS name a built `qmill` and a built test executable (`it-…`), QMILL_REAL_CACHE the folder
of tests/real/setup.py, which has llama.cpp's package and a Python with numpy. Every step has a part of the
time; one that needs longer is stopped, and what it had measured is kept.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests/real"))
# For the last record.
RESERVE_S = 5
TYPES = ["Q4_K_M", "Q4_0", "Q8_0"]


class Shape(NamedTuple):
    """A Llama-shaped model with random weights."""

    name: str
    layers: int
    width: int
    feed_forward: int
    heads: int
    kv_heads: int
    vocabulary: int

    def weights(self) -> int:
        kv = self.width // self.heads * self.kv_heads
        layer = self.width * (2 * self.width + 2 * kv + 3 * self.feed_forward)
        return self.layers * layer + 2 * self.width * self.vocabulary


# The 8B shape, then the same with fewer layers where memory or disk are short.
SHAPES = [
    Shape(name, layers, 4096, 14336, 32, 8, 128256)
    for name, layers in (("8B", 32), ("8B's shape with 8 layers", 8), ("8B's shape with 2 layers", 2))
]
TINY = Shape("tiny", 2, 256, 512, 8, 4, 512)


class Plan(NamedTuple):
    """What is measured, and the most seconds of each step, of ten minutes."""

    seconds: dict[str, int]
    tests: list[str]
    # Formats, a shape, batches, and names of variants: the most wanted first.
    products: list[tuple[str, str, str, str]]
    cache: str
    # Formats, shapes and batches to tune.
    tune: tuple[str, str, str]
    shapes: list[Shape]
    # Tokens of a prompt and of its answer.
    tokens: list[tuple[int, int]]
    runs: int


MANY = "int8.cooperative,int8.cooperative_decoded,int8.tile,exact.tile"
MAIN = "Q4_K,Q4_0,Q8_0,Q6_K"
FULL = Plan(
    seconds={
        "tests": 120,
        "products": 120,
        "models": 110,
        "tokens": 130,
        "tune": 50,
        "tuned": 45,
        "fused": 20,
    },
    tests=["gpu::"],
    products=[
        (MAIN, "4096x14336", "512", MANY),
        (MAIN, "4096x14336", "1,8", "all"),
        ("Q4_K,Q4_0", "28672x4096", "512,2048", MANY),
        ("Q4_K,Q4_0", "4096x4096", "1,512", "all"),
        ("Q4_K,Q4_0", "1024x4096", "512", "all"),
        ("Q4_K", "4096x14336", "64,512", "all"),
    ],
    cache="96M",
    tune=("Q4_K,Q4_0,Q8_0,Q6_K", "4096x4096,28672x4096,4096x14336", "512"),
    shapes=SHAPES,
    tokens=[(512, 128), (2048, 1)],
    runs=3,
)
SMOKE = Plan(
    seconds=FULL.seconds,
    tests=["gpu::matmul::split_k"],
    products=[("Q4_K,Q4_0", "64x512", "9", MANY), ("Q4_K", "64x512", "1", "int8.subgroup,exact.subgroup")],
    cache="0",
    tune=("Q4_K", "64x512", "9"),
    shapes=[TINY],
    tokens=[(32, 4), (64, 1)],
    runs=1,
)


class Table(NamedTuple):
    columns: list[str]
    rows: list[list[str]]

    def text(self) -> list[str]:
        lines = ["| " + " | ".join(map(str, row)) + " |" for row in (self.columns, *self.rows)]
        return [lines[0], "|" + "---|" * len(self.columns), *lines[1:]]


class Session:
    """Runs steps until the time is over, and writes the record after each."""

    def __init__(self, o: argparse.Namespace) -> None:
        self.plan = SMOKE if o.smoke else FULL
        self.end = time.monotonic() + 60 * o.minutes
        # Of the seconds of the plan, which are for ten minutes.
        self.share = o.minutes / 10
        self.work = o.work
        self.work.mkdir(parents=True, exist_ok=True)
        self.smoke = o.smoke
        self.record = o.record or (self.work if o.smoke else ROOT / "benches/record")
        self.device, self.driver = "no device yet", ""
        self.qmill = Path()
        self.models: list[Path] = []
        self.shape: Shape | None = None
        self.sections: list[tuple[str, list[str]]] = []
        self.left_out: list[str] = []

    def left(self) -> float:
        return self.end - time.monotonic() - RESERVE_S

    def run(self, command: list, seconds: float, **environment: str) -> tuple[int | None, str, str]:
        """Runs a command for up to so many seconds. Returns its status, or None if it was stopped, and what
        it printed up to then.
        """
        seconds = min(seconds, self.left())
        if seconds < 1:
            return None, "", ""
        log = self.work / "log"
        with log.open("w+") as out, (self.work / "errors").open("w+") as err:
            settings = os.environ | {"NODEVICE_SELECT": "1"} | environment
            words = list(map(str, command))
            process = subprocess.Popen(
                words, stdout=out, stderr=err, env=settings, cwd=ROOT, start_new_session=True
            )
            try:
                status = process.wait(seconds)
            except subprocess.TimeoutExpired:
                status = None
                # The children too.
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            out.seek(0), err.seek(0)
            return status, out.read(), err.read()

    def leave_out(self, what: str, why: str) -> None:
        print(f"left out: {what}: {why}", flush=True)
        self.left_out.append(f"{what}: {why}")

    def step(self, name: str, title: str, work) -> None:
        seconds = min(self.plan.seconds[name] * self.share, self.left())
        if seconds < 1:
            self.leave_out(title, "no time was left")
        else:
            start = time.monotonic()
            print(f"== {title}, up to {seconds:.0f} s", flush=True)
            lines: list[str] = []
            self.sections.append((title, lines))
            try:
                work(seconds, lines)
            except Exception as error:  # The steps after this one still count.
                self.leave_out(title, f"{type(error).__name__}: {error}")
            lines += ["", f"({time.monotonic() - start:.0f} s)"]
        self.write()

    def write(self) -> None:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=ROOT, capture_output=True, text=True
        ).stdout.strip()
        today = datetime.date.today()
        lines = [
            f"# {self.device}, {today}",
            "",
            f"`benches/on_a_gpu.sh{' --smoke' if self.smoke else ''}` of {commit or 'unknown sources'}, "
            f"driver {self.driver}. A step that was stopped has what it had measured by then. Kernels are "
            "compared with the CPU reference before they are timed.",
        ]
        for title, text in self.sections:
            lines += ["", f"## {title}", "", *text]
        lines += ["", "## Left out", ""]
        lines += [f"- {what}" for what in self.left_out] or ["Nothing."]
        folder = self.record / re.sub(r"[^a-z0-9]+", "-", self.device.lower()).strip("-")
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / f"{today}-on-a-gpu.md"
        self.path.write_text("\n".join(lines) + "\n")

    # Steps.

    def find(self) -> None:
        """The executables, built if they are not there, and the device."""
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        self.qmill = Path(os.environ.get("QMILL", target / "release/qmill")).resolve()
        if not self.qmill.exists():
            print("building qmill", flush=True)
            self.run(["cargo", "build", "--release", "--locked", "--bin", "qmill"], 600)
        if not self.qmill.exists():
            sys.exit(f"there is no {self.qmill}, and it could not be built")
        os.environ["QMILL"] = str(self.qmill)
        _, text, errors = self.run([self.qmill, "devices", "--json"], 60)
        devices = json.loads(text)["devices"] if text else []
        if not devices:
            sys.exit(f"there is no GPU: {errors}")
        self.device = f"{devices[0]['name']} ({devices[0]['backend']})"
        self.driver = f"{devices[0].get('driver', '')} {devices[0].get('driver_info', '')}".strip()
        print(f"{self.device}, {self.driver}", flush=True)

    def test_executable(self) -> Path | None:
        if "QMILL_TESTS" in os.environ:
            return Path(os.environ["QMILL_TESTS"]).resolve()
        target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
        built = [path for kind in ("release", "debug") for path in (target / kind / "deps").glob("it-*")]
        built = [path for path in built if path.suffix == "" and os.access(path, os.X_OK)]
        if built:
            return max(built, key=lambda path: path.stat().st_mtime)
        if not shutil.which("cargo"):
            return None
        print("building the tests", flush=True)
        build = ["cargo", "test", "--release", "--locked", "--test", "it", "--no-run"]
        _, text, _ = self.run([*build, "--message-format=json"], self.left())
        found = re.findall(r'"executable":"([^"]*/it-[^"]*)"', text)
        return Path(found[-1]) if found else None

    def tests(self, seconds: float, lines: list[str]) -> None:
        executable = self.test_executable()
        if executable is None:
            return self.leave_out("the tests of kernels", "there is no test executable, and no cargo")
        status, text, _ = self.run([executable, *self.plan.tests], seconds, QMILL_REQUIRE_GPU="1")
        passed = re.findall(r"^test (\S+) \.\.\. ok", text, re.M)
        failed = re.findall(r"^test (\S+) \.\.\. FAILED", text, re.M)
        lines.append(f"`{' '.join(self.plan.tests)}`: {len(passed)} passed, {len(failed)} failed.")
        lines += [f"- FAILED: {name}" for name in failed]
        if failed:
            (self.work / "failed-tests.txt").write_text(text)
            lines.append(f"\nWhat they printed is in {self.work / 'failed-tests.txt'}.")
        if status is None:
            self.leave_out("the rest of the tests of kernels", f"stopped after {seconds:.0f} s")
        elif not passed and not failed:
            self.leave_out("the tests of kernels", f"the executable ended with {status}")

    def products(self, seconds: float, lines: list[str]) -> None:
        end = time.monotonic() + seconds
        rows, peaks, raw = [], None, self.work / "products.jsonl"
        raw.write_text("")
        columns = ["format", "shape", "vectors", "variant", "µs", "GB/s", "TFLOP/s", "of peak"]
        for formats, shape, batches, variants in self.plan.products:
            what = f"products of {formats}, {shape}, {batches} vectors, {variants}"
            left = end - time.monotonic()
            if left < 1:
                self.leave_out(what, "no time was left")
                continue
            command = [self.qmill, "bench", "--device", "gpu", "-r", "2", "-o", "jsonl"]
            command += ["--format", formats, "--shape", shape, "--batch", batches, "--variant", variants]
            command += ["--cache", self.plan.cache]
            # The peaks once.
            command += ["--no-peaks"] if rows else []
            status, text, errors = self.run(command, left)
            found = [json.loads(line) for line in text.splitlines() if line.endswith("}")]
            with raw.open("a") as out:
                out.writelines(json.dumps(record) + "\n" for record in found)
            peaks = peaks or next((r for r in found if r.get("peak_read_gb_s")), None)
            for record in found:
                rate, flops = record["gb_s"], (record["gflop_s"] or 0) / 1e3
                share = ""
                if peaks:
                    is_few = record["n"] <= 8
                    peak = peaks["peak_read_gb_s"] if is_few else peaks["peak_multiply_add_gflop_s"] / 1e3
                    share = f"{100 * (rate if is_few else flops) / peak:.0f} %"
                name = record["kernel"] or record["variant"]
                if record["variant"] in ("exact", "int8"):
                    name = f"{name} (the default)"
                row = [record["format"], f"{record['m']} x {record['k']}", record["n"], name]
                rows.append([*row, f"{record['median_ns'] / 1e3:.1f}", f"{rate:.0f}", f"{flops:.1f}", share])
            if status is None:
                self.leave_out(f"the rest of {what}", "stopped, its time was over")
            elif status != 0:
                self.leave_out(f"the rest of {what}", f"qmill ended with {status}: {errors.strip()[-300:]}")
        if peaks:
            lines += [
                f"Peaks: read {peaks['peak_read_gb_s']:.0f} GB/s, f32 multiply-add "
                f"{peaks['peak_multiply_add_gflop_s'] / 1e3:.1f} TFLOP/s, packed int8 dot "
                f"{peaks['peak_dot_gop_s'] / 1e3:.1f} TOP/s, a launch {peaks['launch_ns'] / 1e3:.2f} µs. "
                "*Of peak*: of reading up to 8 vectors, of multiply-add beyond.",
                "",
            ]
        lines += Table(columns, rows).text()

    def make_models(self, seconds: float, lines: list[str]) -> None:
        end = time.monotonic() + seconds
        free = shutil.disk_usage(self.work).free
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        # F16 and the three types; what is loaded is in memory once.
        fitting = [s for s in self.plan.shapes if 4.5 * s.weights() < free and 1.3 * s.weights() < memory]
        if not fitting:
            return self.leave_out("models", f"{free / 1e9:.0f} GB of disk, {memory / 1e9:.0f} GB of memory")
        if fitting[0] != self.plan.shapes[0]:
            self.leave_out(f"the shape {self.plan.shapes[0].name}", f"{free / 1e9:.0f} GB of disk are free")
        for shape in fitting:
            if self.make_model(shape, end - time.monotonic()):
                break
        if self.shape:
            names = ", ".join(path.stem for path in self.models)
            billions = self.shape.weights() / 1e9
            lines.append(f"{self.shape.name}, {billions:.2f} billion random weights: {names}.")

    def make_model(self, shape: Shape, seconds: float) -> bool:
        end = time.monotonic() + seconds
        source = self.work / f"{shape.layers}x{shape.width}-F16.gguf"
        paths = [source.with_name(source.name.replace("F16", name)) for name in TYPES]
        if not source.exists() and not all(path.exists() for path in paths):
            script = ROOT / "tests/real/seeded_llama.py"
            sizes = {"--layers": shape.layers, "--width": shape.width, "--feed-forward": shape.feed_forward}
            sizes |= {"--heads": shape.heads, "--kv-heads": shape.kv_heads, "--vocabulary": shape.vocabulary}
            sizes |= {"--context": 4096, "--jobs": len(os.sched_getaffinity(0))}
            words = [str(word) for pair in sizes.items() for word in pair]
            # The rest is for a smaller shape, which takes a fraction.
            status, _, errors = self.run([sys.executable, script, source, "F16", *words], 0.7 * seconds)
            if status != 0:
                source.with_suffix(".part").unlink(missing_ok=True)
                why = "it took too long" if status is None else errors.strip()[-300:]
                self.leave_out(f"the shape {shape.name}", why)
                return False
        for path in paths:
            if not path.exists():
                name = path.stem.rsplit("-", 1)[1]
                command = [self.qmill, "quantize", "--device", "gpu", source, path, name]
                status, _, errors = self.run(command, end - time.monotonic())
                if status != 0:
                    why = "no time was left" if status is None else errors.strip()[-300:]
                    self.leave_out(f"{shape.name} {name}", why)
                    continue
            self.models.append(path)
        self.shape = shape
        return bool(self.models)

    def rates(
        self, model: Path, prompt: int, answer: int, seconds: float, *more: str, **environment: str
    ) -> list[float]:
        """Tokens a second of qmill; empty if there was no time."""
        command = [self.qmill, "bench", "-m", model, "--device", "gpu", "-r", self.plan.runs, "-o", "json"]
        status, text, _ = self.run([*command, *more, "-p", prompt, "-n", answer], seconds, **environment)
        return [test["avg_ts"] for test in json.loads(text)] if status == 0 else []

    def tokens(self, seconds: float, lines: list[str]) -> None:
        end = time.monotonic() + seconds
        peer = self.find_peer(0.3 * seconds)
        columns = ["model", "test", "llama.cpp's Vulkan", "qmill", "ratio"]
        # Without a tuning file of the user's.
        empty = {"XDG_CACHE_HOME": str(self.work / "untuned")}
        rows = []
        for prompt, answer in self.plan.tokens:
            for model in self.models:
                left, what = end - time.monotonic(), f"{model.stem}, pp{prompt} and tg{answer}"
                if peer and left > 1:
                    script = ROOT / "tests/real/token_speed.py"
                    table = self.work / "tokens.md"
                    table.unlink(missing_ok=True)
                    words = [model, "-p", prompt, "-n", answer, "--runs", self.plan.runs, "--record", table]
                    status, _, errors = self.run([sys.executable, script, *words], left, **empty)
                    if status == 0:
                        found = [line.strip("| ").split(" | ") for line in table.read_text().splitlines()]
                        rows += [row for row in found if row[0] == model.name]
                        continue
                    why = "stopped, its time was over" if status is None else errors.strip()[-300:]
                    self.leave_out(f"llama.cpp beside qmill: {what}", why)
                    left = end - time.monotonic()
                rates = self.rates(model, prompt, answer, left, **empty) if left > 1 else []
                if not rates:
                    self.leave_out(what, "no time was left")
                for test, rate in zip((f"pp{prompt}", f"tg{answer}"), rates):
                    rows.append([model.name, test, "", f"{rate:.1f}", ""])
        lines += ["Tokens a second, medians; with the peer, from the slowest to the fastest.", ""]
        lines += Table(columns, rows).text()

    def find_peer(self, seconds: float) -> bool:
        import token_speed

        if token_speed.BIN.is_dir():
            return True
        status = None
        if shutil.which("npm"):
            install = "import token_speed; token_speed.install()"
            python = f"{ROOT / 'tests/real'}"
            status, _, _ = self.run([sys.executable, "-c", install], seconds, PYTHONPATH=python)
        if status != 0:
            self.leave_out("llama.cpp", f"its package {token_speed.PACKAGE} is not there")
        return status == 0

    def tune(self, seconds: float, lines: list[str]) -> None:
        formats, shapes, batches = self.plan.tune
        end = time.monotonic() + seconds
        # One product at a time: a run stores its table at its end.
        for format, shape in ((f, s) for f in formats.split(",") for s in shapes.split(",")):
            what, left = f"tuning {format}, {shape}", end - time.monotonic()
            if left < 1:
                self.leave_out(what, "no time was left")
                continue
            command = [self.qmill, "tune", "--device", "gpu", "--format", format, "--shape", shape]
            command += ["--batch", batches, "-r", "2", "--cache", self.plan.cache]
            status, text, errors = self.run(command, left, **self.tuned_environment())
            # Of exact vectors, then of int8.
            found = re.findall(r"^  best: (.*)$", text, re.M)
            lines += [f"- {format}, {shape}: {line}" for line in found]
            if status is None:
                self.leave_out(f"the rest of {what}", "stopped, its time was over")
            elif status != 0:
                self.leave_out(what, errors.strip()[-300:])

    def tuned_environment(self) -> dict[str, str]:
        return {"XDG_CACHE_HOME": str(self.work / "tuned")}

    def tuned(self, seconds: float, lines: list[str]) -> None:
        end, rows = time.monotonic() + seconds, []
        for prompt, answer in self.plan.tokens:
            for model in self.models:
                rates = self.rates(model, prompt, answer, end - time.monotonic(), **self.tuned_environment())
                if not rates:
                    self.leave_out(f"{model.stem} tuned, pp{prompt} and tg{answer}", "no time was left")
                for test, rate in zip((f"pp{prompt}", f"tg{answer}"), rates):
                    rows.append([model.name, test, f"{rate:.1f}"])
        lines += ["Tokens a second of qmill with that table, means.", ""]
        lines += Table(["model", "test", "qmill"], rows).text()

    def fused(self, seconds: float, lines: list[str]) -> None:
        end, rows, answer = time.monotonic() + seconds, [], self.plan.tokens[0][1]
        for model in self.models:
            row = [model.name, f"tg{answer}"]
            for more in ([], ["--fuse"]):
                left = end - time.monotonic()
                rates = self.rates(model, 0, answer, left, *more, **self.tuned_environment())
                row += [f"{rate:.1f}" for rate in rates]
            if len(row) < 4:
                self.leave_out(f"{model.stem}, fused, tg{answer}", "no time was left")
            rows.append((row + ["", ""])[:4])
        lines += ["Tokens a second of qmill without and with `--fuse`, means.", ""]
        lines += Table(["model", "test", "apart", "fused"], rows).text()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--smoke", action="store_true", help="tiny shapes, to see that each step works")
    parser.add_argument("--minutes", type=float, default=10, help="the time for everything")
    parser.add_argument("--work", type=Path, default=ROOT / "target/on_a_gpu", help="models and raw results")
    parser.add_argument("--record", type=Path, help="the folder of records [benches/record]")
    session = Session(parser.parse_args())
    session.find()
    session.step("tests", "Tests of kernels", session.tests)
    session.step("products", "Products", session.products)
    session.step("models", "Models", session.make_models)
    session.step("tokens", "Tokens", session.tokens)
    session.step("tune", "What tuning finds for prompts", session.tune)
    session.step("tuned", "Tokens, tuned", session.tuned)
    session.step("fused", "Tokens, with fused kernels", session.fused)
    print(f"the record is {session.path}")


if __name__ == "__main__":
    main()
