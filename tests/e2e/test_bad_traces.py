"""Damaged, cut-off and foreign files in `tvg check` and `tvg dump`: what is whole is given, op by op; check says 2 and where; nothing crashes.
Blocks are found here by FORMAT.md's layout, not by the reader under test."""
import json
import os
import random
import struct

import pytest
import trace_blocks
from tvg_testlib import dump, run_under_shim, tvg

HOST = """
import numpy as np
a = np.ones((8, 8), np.float32)
b = np.ones((8, 16), np.float32)
for _ in range(10000):
    a @ b
    a @ a.T
"""
OPS, DICT = 1, 2
PRIME = 0x9E3779B185EBCA87


class Trace:
    def __init__(self, path):
        self.path, self.data = path, path.read_bytes()
        self.header = 32 + struct.unpack_from("<I", self.data, 12)[0]
        self.blocks = []  # (offset, end, kind, ops in it)
        contents = trace_blocks.blocks(path)
        at = self.header
        for kind, content in contents:
            end = at + 24 + struct.unpack_from("<I", self.data, at + 8)[0]
            self.blocks.append((at, end, kind, content["n"] if kind == OPS else 0))
            at = end
        assert at == len(self.data)
        self.ops = sum(block[3] for block in self.blocks)
        self.lines = dump(path)


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    made = Trace(run_under_shim(HOST, tmp_path_factory.mktemp("bad-traces")).trace)
    assert made.ops == len(made.lines) == 20000
    assert sum(block[2] == OPS for block in made.blocks) >= 4
    return made


def check(path, expected):
    done = tvg("check", path, "--json", check=False)
    assert done.returncode == expected, (done.returncode, done.stdout, done.stderr)
    return json.loads(done.stdout)[0] if done.stdout.strip() not in ("", "[]") else None


def same_ops(lines, reference):
    """Equal but for the running number; times are by anchors, of which damage may have taken some."""
    assert len(lines) == len(reference)
    for line, other in zip(lines, reference):
        assert [line[key] for key in ("op", "thread", "a", "b", "c", "function", "m", "n", "k", "flop")] == \
               [other[key] for key in ("op", "thread", "a", "b", "c", "function", "m", "n", "k", "flop")]
        assert line["duration_ns"] == pytest.approx(other["duration_ns"], rel=1e-3, abs=0.2)


def test_a_whole_trace(trace):
    found = check(trace.path, 0)
    assert found["whole"] is True and found["ops"] == 20000 and found["distinct_ops"] == 2
    assert found["blocks"] == sum(block[2] != DICT for block in trace.blocks)
    assert "whole: 20000 ops" in tvg("check", trace.path).stdout


def test_cut_off_anywhere(trace, tmp_path):
    """At each block's edge (no damage to see but the missing end) and within each block."""
    path = tmp_path / "cut.tvg"
    for index, (start, end, kind, _) in enumerate(trace.blocks):
        whole = sum(block[3] for block in trace.blocks[:index])
        for cut in sorted({start, start + 1, start + 23, start + 24, (start + end) // 2, end - 1}):
            path.write_bytes(trace.data[:cut])
            found = check(path, 0 if cut == start else 2)
            assert found["ops"] == whole
            assert found["damage"]["cut_off"] is (cut != start)
            assert found["damage"]["no_end"] is True
            assert found["damage"]["places"] == 0
            if cut != start:
                assert found["damage"]["first_offset"] == start
                assert found["damage"]["bytes_skipped"] == cut - start
    lines = [json.loads(line) for line in tvg("dump", path).stdout.splitlines()]
    same_ops(lines, trace.lines)  # the last cut took the END block alone


def test_a_damaged_block_costs_that_block_alone(trace, tmp_path):
    path = tmp_path / "bit.tvg"
    before = 0
    for start, end, kind, ops in trace.blocks:
        for at in (start, start + 5, start + 9, start + 13, start + 17, start + 24, end - 1):  # header: magic, kind, length, checks; payload
            data = bytearray(trace.data)
            data[at] ^= 0x10
            path.write_bytes(data)
            found = check(path, 2)
            assert found["ops"] == trace.ops - ops
            assert found["damage"]["bytes_skipped"] == end - start
            assert found["damage"]["first_offset"] == start
            assert found["damage"]["places"] == (0 if found["damage"]["cut_off"] else 1)
        if ops:
            if before + ops < trace.ops:  # a later block of the ring shows the gap
                assert found["damage"]["records_missing"] >= ops
            done = tvg("dump", path)
            assert "warning" in done.stderr
            same_ops([json.loads(line) for line in done.stdout.splitlines()], trace.lines[:before] + trace.lines[before + ops:])
            assert str(start) in tvg("check", path, check=False).stdout
        before += ops


def test_garbage_between_and_behind_blocks(trace, tmp_path):
    path = tmp_path / "garbage.tvg"
    noise = random.Random(5)
    start = trace.blocks[len(trace.blocks) // 2][0]
    for garbage in (b"\0" * 5000, noise.randbytes(300000), b"TBLK" * 5000, trace.data[start:start + 100]):
        path.write_bytes(trace.data[:start] + garbage + trace.data[start:])
        found = check(path, 2)
        assert found["ops"] == trace.ops
        assert found["damage"]["bytes_skipped"] == len(garbage)
        path.write_bytes(trace.data + garbage)
        found = check(path, 2)
        assert found["ops"] == trace.ops
        assert found["damage"]["bytes_skipped"] == len(garbage)


def test_a_block_that_comes_twice_counts_once(trace, tmp_path):
    path = tmp_path / "twice.tvg"
    start, end = next((start, end) for start, end, kind, _ in trace.blocks if kind == OPS)
    path.write_bytes(trace.data[:end] + trace.data[start:end] + trace.data[end:])
    assert check(path, 2)["ops"] == trace.ops


def test_dictionary_entry_lost(trace, tmp_path):
    """The ops stay, their shape is said to be unknown."""
    start, end = next((start, end) for start, end, kind, _ in trace.blocks if kind == DICT)
    path = tmp_path / "dict.tvg"
    path.write_bytes(trace.data[:start] + trace.data[end:])
    found = check(path, 2)
    assert found["ops"] == trace.ops and found["damage"]["unexplained_ids"] == 1
    unknown = [line for line in dump(path) if line["function"] == "?"]
    assert len(unknown) == 10000 and all(line["kind"] == "other" and line["flop"] == 0 for line in unknown)


@pytest.mark.parametrize("command", ["check", "dump", "ops", "report", "coverage"])
def test_random_damage_never_crashes(trace, tmp_path, command):
    noise = random.Random(command)
    path = tmp_path / "random.tvg"
    for _ in range(25):
        data = bytearray(trace.data)
        for _ in range(noise.choice([1, 10, 1000])):
            data[noise.randrange(trace.header if noise.random() < .95 else 0, len(data))] = noise.randrange(256)
        if noise.random() < .3:
            data = data[:noise.randrange(len(data))]
        path.write_bytes(data)
        done = run_tvg(command, path)
        assert done.returncode in (0, 2), (done.returncode, done.stderr)
        if done.returncode == 2 and command != "check":
            assert done.stderr.startswith(f"tvg {command}: ")


def run_tvg(command, path):
    return tvg(command, path, check=False, timeout=60)


def xxh3_of_24(data):
    """XXH3_64 of 24 bytes, from its specification (length 17..128): a second implementation than the one under test."""
    secret = bytes.fromhex("b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f")
    mask = (1 << 64) - 1

    def mix(at, key):
        low, high = struct.unpack_from("<QQ", data, at)
        secret_low, secret_high = struct.unpack_from("<QQ", secret, key)
        product = (low ^ secret_low) * (high ^ secret_high)
        return (product & mask) ^ (product >> 64)

    total = (24 * PRIME + mix(0, 0) + mix(8, 16)) & mask
    total = ((total ^ total >> 37) * 0x165667919E3779F9) & mask
    return total ^ total >> 32


def test_a_newer_version_says_so(trace, tmp_path):
    assert struct.unpack_from("<Q", trace.data, 24)[0] == xxh3_of_24(trace.data[:24]), "FORMAT.md says what is at byte 24"
    data = bytearray(trace.data)
    data[8:12] = struct.pack("<I", 2)
    data[24:32] = struct.pack("<Q", xxh3_of_24(data[:24]))
    path = tmp_path / "newer.tvg"
    path.write_bytes(data)
    for command in ("check", "dump", "report", "ops", "coverage"):
        done = run_tvg(command, path)
        assert done.returncode == 2 and done.stdout.strip() in ("", "[]")
        assert "version 2" in done.stderr and "newer tvg" in done.stderr


def test_files_that_are_no_traces(trace, tmp_path):
    fifo = tmp_path / "pipe.tvg"
    os.mkfifo(fifo)  # must not be waited on
    (tmp_path / "empty.tvg").write_bytes(b"")
    (tmp_path / "text.tvg").write_text("hello " * 100)
    (tmp_path / "header.tvg").write_bytes(trace.data[:40])
    (tmp_path / "loop.tvg").symlink_to("loop.tvg")
    for name, words in {"pipe.tvg": "regular", "empty.tvg": "empty", "text.tvg": "not a tvg trace", "header.tvg": "cut off", "loop.tvg": "loop.tvg",
                        "missing.tvg": "check the path"}.items():
        for command in ("check", "dump"):
            done = tvg(command, tmp_path / name, check=False, timeout=20)
            assert done.returncode == 2 and words in done.stderr and name in done.stderr, (name, done.stderr)
            assert done.stdout.strip() == ""
    os.unlink(fifo)
    folder = tmp_path / "run"
    folder.mkdir()
    done = tvg("check", folder, check=False)
    assert done.returncode == 2 and "without traces" in done.stderr


def test_a_folder_is_its_traces(trace, tmp_path):
    for name in ("b.tvg", "a.tvg"):
        (tmp_path / name).write_bytes(trace.data)
    (tmp_path / "other.txt").write_text("not looked at")
    assert [line.split(": ")[0] for line in tvg("check", tmp_path).stdout.splitlines()] == [str(tmp_path / "a.tvg"), str(tmp_path / "b.tvg")]
    assert len(tvg("dump", "--limit", "7", tmp_path).stdout.splitlines()) == 14
    (tmp_path / "b.tvg").write_bytes(trace.data[:-1])
    assert tvg("check", tmp_path, check=False).returncode == 2


def test_file_of_foreign_rings_is_left_alone(trace, tmp_path):
    """A rings file beside a trace that is not of its process adds nothing; neither does one of zeros or a folder."""
    cut = trace.data[:trace.blocks[-1][0]]
    path = tmp_path / "killed.tvg"
    path.write_bytes(cut)
    rings = tmp_path / "killed.tvg.rings"
    for content in (b"", b"\0" * 300000, b"TVGRINGS" + b"\1\0\0\0" + b"\xff" * 300000):
        rings.write_bytes(content)
        assert check(path, 0)["ops"] == trace.ops
    rings.unlink()
    rings.mkdir()
    assert check(path, 0)["ops"] == trace.ops
