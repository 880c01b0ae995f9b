#!/usr/bin/env python3
"""Bad input and failures: qmill must print what is wrong, exit with a nonzero code, and leave nothing behind.

Cases: damaged headers and truncated files; a folder, an unreadable file; a full disk; Ctrl-C, SIGTERM and
SIGKILL midway; an output that exists or is the input. A check fails if qmill crashes, panics, hangs, or
leaves an unexpected file.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Iterator

import peer
from container import read_header
from files import TINY, sha256, source
from peer import QMILL

# The most memory that a header may make qmill allocate, far more than a 7 MB file justifies.
ADDRESS_SPACE_BYTES = 2 << 30
NOBODY = 65534
# The time after which a run counts as hanging. The longest takes a second or two.
PATIENCE_SECONDS = 30
# Names, and functions of an empty folder that raise AssertionError.
CHECKS: dict[str, Callable[[Path], None]] = {}


def qmill(*words: str | Path, **options) -> subprocess.CompletedProcess[str]:
    return peer.qmill(*words, timeout=PATIENCE_SECONDS, **options)


def fault(check: Callable[[Path], None]) -> Callable[[Path], None]:
    CHECKS[check.__name__.replace("_", " ")] = check
    return check


class Skip(Exception):
    pass


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def refused(done: subprocess.CompletedProcess[str], folder: Path, expected: list[str]) -> None:
    """Checks that qmill printed one line, exited with its own code, and left the folder with `expected`."""
    assert done.returncode > 0, f"exit code {done.returncode}: {done.stderr.strip()}"
    assert "panicked" not in done.stderr, done.stderr
    assert done.stderr.strip(), "no message"
    assert left(folder) == expected, f"left {left(folder)}: {done.stderr.strip()}"


def limited() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (ADDRESS_SPACE_BYTES, ADDRESS_SPACE_BYTES))


def small_files() -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))


def mutations(model: bytes, header: int, count: int) -> Iterator[tuple[str, bytes]]:
    rng = random.Random(2)
    extremes = [
        0,
        1,
        0x7F,
        0xFF,
        0x7FFFFFFF,
        0xFFFFFFFF,
        1 << 32,
        (1 << 63) - 1,
        (1 << 64) - 16,
        (1 << 64) - 1,
    ]
    for number in range(count):
        # Half of them among the first keys, half anywhere: most of the header is the vocabulary.
        at = rng.randrange(4, 1024 if number % 2 else header)
        if number % 5 == 4:
            at = rng.randrange(header - 3000, header)  # the tensors' descriptions
        kind = rng.choice(["bit", "byte", "u32", "u64", "insert", "delete", "repeat"])
        size = rng.randrange(1, 33)
        before, after = model[:at], model[at:]
        match kind:
            case "bit":
                damaged = before + bytes([after[0] ^ 1 << rng.randrange(8)]) + after[1:]
            case "byte":
                damaged = before + rng.randbytes(1) + after[1:]
            case "u32":
                damaged = before + (rng.choice(extremes) & 0xFFFFFFFF).to_bytes(4, "little") + after[4:]
            case "u64":
                damaged = before + rng.choice(extremes).to_bytes(8, "little") + after[8:]
            case "insert":
                damaged = before + rng.randbytes(size) + after
            case "delete":
                damaged = before + after[size:]
            case _:
                damaged = before + after[:size] + after
        yield f"{kind} at byte {at}", damaged


@fault
def damaged_headers(folder: Path) -> None:
    model = TINY.read_bytes()
    with TINY.open("rb") as file:
        header = read_header(file).bytes
    path, out = folder / "in.gguf", folder / "out.gguf"
    accepted = 0
    for what, damaged in mutations(model, header, 300):
        path.write_bytes(damaged)
        done = qmill("quantize", path, out, "Q4_0", preexec_fn=limited)
        try:
            if done.returncode == 0:
                accepted += 1
                with out.open("rb") as file:
                    after = read_header(file)
                end = after.bytes + max((tensor.offset + tensor.bytes for tensor in after.tensors), default=0)
                assert end <= out.stat().st_size, "an output shorter than its tensors"
                out.unlink()
            else:
                refused(done, folder, ["in.gguf"])
        except (AssertionError, ValueError) as error:
            raise AssertionError(f"{what}: {error}") from None
    print(f"             (300 headers: {accepted} still described a model, {300 - accepted} were refused)")


@fault
def cut_file(folder: Path) -> None:
    model = TINY.read_bytes()
    for size in (0, 3, 4, 20, 24, 1000, 29000, len(model) // 2, len(model) - 1):
        (folder / "in.gguf").write_bytes(model[:size])
        refused(qmill("quantize", folder / "in.gguf", folder / "out.gguf", "Q8_0"), folder, ["in.gguf"])


@fault
def no_such_file(folder: Path) -> None:
    refused(qmill("quantize", folder / "in.gguf", folder / "out.gguf", "Q8_0"), folder, [])


@fault
def folder_as_input(folder: Path) -> None:
    (folder / "in.gguf").mkdir()
    refused(qmill("quantize", folder / "in.gguf", folder / "out.gguf", "Q8_0"), folder, ["in.gguf"])


@fault
def folder_as_output(folder: Path) -> None:
    (folder / "out.gguf").mkdir()
    for force in ([], ["--force"]):
        refused(qmill("quantize", *force, TINY, folder / "out.gguf", "Q8_0"), folder, ["out.gguf"])


@fault
def no_such_output_folder(folder: Path) -> None:
    refused(qmill("quantize", TINY, folder / "nowhere/out.gguf", "Q8_0"), folder, [])


def as_nobody(folder: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs qmill as a user without privileges, because root may do everything."""
    if os.geteuid() != 0:
        return qmill(*words)
    with tempfile.TemporaryDirectory() as reachable:
        os.chmod(reachable, 0o755)
        program = shutil.copy(QMILL, reachable)
        command = [program, *map(str, words)]
        rights = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS, **rights)


@fault
def unreadable_file(folder: Path) -> None:
    shutil.copy(TINY, folder / "in.gguf")
    folder.chmod(0o777)
    (folder / "in.gguf").chmod(0)
    refused(
        as_nobody(folder, "quantize", folder / "in.gguf", folder / "out.gguf", "Q8_0"), folder, ["in.gguf"]
    )


@fault
def unwritable_folder(folder: Path) -> None:
    shutil.copy(TINY, folder / "in.gguf")
    (folder / "in.gguf").chmod(0o644)
    folder.chmod(0o555)
    refused(
        as_nobody(folder, "quantize", folder / "in.gguf", folder / "out.gguf", "Q8_0"), folder, ["in.gguf"]
    )


@fault
def file_size_limit(folder: Path) -> None:
    done = qmill("quantize", TINY, folder / "out.gguf", "Q8_0", preexec_fn=small_files, restore_signals=False)
    refused(done, folder, [])


@fault
def full_disk(folder: Path) -> None:
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=1m", "qmill", folder], capture_output=True
        ).returncode
    ):
        raise Skip("needs the right to mount a tmpfs")
    try:
        refused(qmill("quantize", TINY, folder / "out.gguf", "Q8_0"), folder, [])
    finally:
        subprocess.run(["umount", folder], check=True)


def stopped(folder: Path, number: signal.Signals, expected: list[str]) -> None:
    """Sends a signal in the middle of about ten seconds of work."""
    words = [str(QMILL), "quantize", "--force", str(source("seeded-F16")), str(folder / "out.gguf"), "IQ4_XS"]
    running = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        part = folder / ".out.gguf.qmill-part"
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (part.exists() and part.stat().st_size):
            assert running.poll() is None and time.monotonic() < deadline, "no sign of work"
            time.sleep(0.01)
        time.sleep(0.3)
        assert running.poll() is None, "finished before it could be stopped"
        running.send_signal(number)
        _, error = running.communicate(timeout=PATIENCE_SECONDS)
    finally:
        running.kill()
    assert running.returncode != 0, "exit code 0"
    assert "panicked" not in error, error
    assert left(folder) == expected, f"left {left(folder)}"


@fault
def interrupted(folder: Path) -> None:
    stopped(folder, signal.SIGINT, [])


@fault
def terminated(folder: Path) -> None:
    stopped(folder, signal.SIGTERM, [])


@fault
def interrupted_over_an_older_output(folder: Path) -> None:
    (folder / "out.gguf").write_text("older")
    stopped(folder, signal.SIGINT, ["out.gguf"])
    assert (folder / "out.gguf").read_text() == "older", "the older output changed"


@fault
def killed(folder: Path) -> None:
    """After SIGKILL, the next run tidies up."""
    stopped(folder, signal.SIGKILL, [".out.gguf.qmill-part"])
    done = qmill("quantize", source("seeded-F16"), folder / "out.gguf", "Q8_0")
    assert done.returncode == 0, done.stderr
    assert left(folder) == ["out.gguf"], f"left {left(folder)}"
    done = qmill("quantize", source("seeded-F16"), folder / "again.gguf", "Q8_0")
    assert sha256(folder / "out.gguf") == sha256(
        folder / "again.gguf"
    ), "the run after SIGKILL wrote other bytes"


@fault
def existing_output(folder: Path) -> None:
    out = folder / "out.gguf"
    out.write_text("mine")
    refused(qmill("quantize", TINY, out, "Q8_0"), folder, ["out.gguf"])
    assert out.read_text() == "mine", "overwritten without --force"
    refused(qmill("dequantize", TINY, out, "F32"), folder, ["out.gguf"])
    assert out.read_text() == "mine", "overwritten without --force"
    done = qmill("quantize", "--force", TINY, out, "Q8_0")
    assert done.returncode == 0 and out.read_bytes()[:4] == b"GGUF", f"--force: {done.stderr}"


@fault
def failure_over_an_older_output(folder: Path) -> None:
    out = folder / "out.gguf"
    out.write_text("older")
    done = qmill("quantize", "--force", TINY, out, "Q8_0", preexec_fn=small_files, restore_signals=False)
    refused(done, folder, ["out.gguf"])
    assert out.read_text() == "older", "the older output changed"


@fault
def output_is_input(folder: Path) -> None:
    model = folder / "in.gguf"
    shutil.copy(TINY, model)
    (folder / "hard.gguf").hardlink_to(model)
    (folder / "soft.gguf").symlink_to(model)
    names = left(folder)
    for name in [*names, "../" + folder.name + "/in.gguf"]:
        for force in ([], ["--force"]):
            refused(qmill("quantize", *force, model, folder / name, "Q8_0"), folder, names)
            assert sha256(model) == sha256(TINY), f"the input changed through {name}"


@fault
def dry_run(folder: Path) -> None:
    done = qmill("quantize", "--dry-run", TINY, folder / "out.gguf", "Q4_K_M")
    assert done.returncode == 0, done.stderr
    assert left(folder) == [], f"left {left(folder)}"


@fault
def broken_pipe(folder: Path) -> None:
    running = subprocess.Popen(
        [str(QMILL), "inspect", str(TINY)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    running.stdout.close()
    error = running.stderr.read()
    running.wait(timeout=20)
    assert not error.strip(), f"not quiet: {error.strip()}"


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="checks whose name contains this")
    o = parser.parse_args()
    source("seeded-F16")
    passed = failed = skipped = 0
    for name, check in CHECKS.items():
        if o.only not in name:
            continue
        with tempfile.TemporaryDirectory(prefix="qmill-faults-") as folder:
            os.chmod(folder, 0o755)
            try:
                check(Path(folder))
                passed, result = passed + 1, "held"
            except Skip as reason:
                skipped, result = skipped + 1, f"SKIPPED ({reason})"
            except (AssertionError, ValueError, subprocess.TimeoutExpired) as error:
                failed, result = failed + 1, f"FAILED: {error}"
        print(f"{name:34} {result}", flush=True)
    print(f"faults: {passed} passed, {failed} failed, {skipped} skipped")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
