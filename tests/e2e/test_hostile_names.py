"""Names inside a trace (ops, libraries, threads, meters, notes, marks, manifest, command line) that hold escape sequences, newlines, bidirectional
controls, C1 controls and broken UTF-8: no command lets them through to a terminal, and everything that is said to be JSON is."""
import json
import subprocess
import unicodedata

import pytest
from tvg_testlib import ROOT, TVG, compile_c, run

BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    program = compile_c("hostile_trace.c", f"-I{ROOT}", *map(str, (ROOT / "trace").glob("*.c")), "-lmsgpackc", "-llz4", "-D_GNU_SOURCE")
    path = tmp_path_factory.mktemp("hostile") / "run.tvg"
    run([program, path], check=True)
    return path


def shown(*arguments, code=0):
    """stdout and stderr of a command as text; both are valid UTF-8 and hold nothing that a terminal obeys."""
    done = subprocess.run([TVG, *arguments], capture_output=True, timeout=60)
    assert done.returncode == code, (done.returncode, done.stdout[:500], done.stderr[:500])
    for stream in (done.stdout, done.stderr):
        text = stream.decode("utf-8")  # strict
        obeyed = [char for char in text if char != "\n" and (unicodedata.category(char) == "Cc" or char in BIDI)]
        assert not obeyed, (arguments, obeyed[:5], text[:300])
    return done.stdout.decode(), done.stderr.decode()


def nothing_hostile(value):
    """The same of every string of parsed JSON: what a consumer prints is harmless too."""
    if isinstance(value, dict):
        for key, inner in value.items():
            nothing_hostile(key)
            nothing_hostile(inner)
    elif isinstance(value, list):
        for inner in value:
            nothing_hostile(inner)
    elif isinstance(value, str):
        assert not [char for char in value if unicodedata.category(char) == "Cc" or char in BIDI], value


@pytest.mark.parametrize("command", [["report"], ["report", "--full"], ["ops"], ["coverage"]])
def test_text(trace, command):
    out, _ = shown(*command, trace)
    assert "owned" in out, "the hostile names were not shown at all: the test tells nothing"


def test_check_and_its_line_structure(trace):
    out, _ = shown("check", trace, code=2)  # ops were lost
    assert "2 ops were lost" in out


@pytest.mark.parametrize("command", [["report", "--json"], ["ops", "--json"], ["coverage", "--json"]])
def test_json(trace, command):
    out, _ = shown(*command, trace)
    document = json.loads(out)
    nothing_hostile(document)
    assert "owned" in out


def test_dump_is_a_line_of_json_an_op(trace):
    lines = shown("dump", trace)[0].splitlines()
    assert len(lines) == 40
    for line in lines:
        nothing_hostile(json.loads(line))
    assert "owned" in lines[0]


@pytest.mark.parametrize("option", ["--folded", "--counters"])
def test_what_was_sampled(trace, option):
    shown("dump", option, trace)


def test_a_file_full_of_false_marks_does_not_take_forever(trace, tmp_path):
    """The reader looks at each place that could begin a block once: 4 million false ones are a matter of a second."""
    data = trace.read_bytes()
    header = 32 + int.from_bytes(data[12:16], "little")
    path = tmp_path / "marks.tvg"
    path.write_bytes(data[:header] + b"TBLK" * 4_000_000 + data[header:])
    done = subprocess.run([TVG, "check", "--json", path], capture_output=True, timeout=12)
    assert done.returncode == 2
    found = json.loads(done.stdout)[0]
    assert found["ops"] == 40 and found["damage"]["bytes_skipped"] == 16_000_000 and found["damage"]["places"] == 1
