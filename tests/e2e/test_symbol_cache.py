"""What is kept of a large symbol table from one process to the next (TVG_CACHE): used when it is right, worth nothing when anything about it is odd. Whatever
happens to it, the same products are recorded."""
import ctypes
import os
import struct
import sys
import time

import pytest

from guardlib import OUT, build, counts, environment, trace_of
from tvg_testlib import BUILD, run

SHIM = BUILD / "guard" / "libtvgshim.so"
FILLERS = 30000
HEAD = 8 + 3 * 8 + 4 * 8 + 8  # bytes before the count, which the numbers follow: shim/intercept/symbol_cache.c


@pytest.fixture(scope="module")
def library():
    OUT.mkdir(parents=True, exist_ok=True)
    filler, path = OUT / "filler.s", OUT / "libguard_engine_large.so"
    filler.write_text(".text\n" + "".join(f".type filler_{i},@function\nfiller_{i}: ret\n.size filler_{i}, 1\n" for i in range(FILLERS)) +
                      '.section .note.GNU-stack,"",@progbits\n')
    path.unlink(missing_ok=True)
    build(path.name, ["engine.c", str(filler)], "-shared", "-fPIC", "-O2")
    time.sleep(max(0, 3.1 - (time.time() - path.stat().st_ctime)))  # what was written just now is not kept
    return path


def recorded(library, folder, cache, **extra):
    """Runs eleven products of the library's own; gives how many were recorded."""
    code = f"import ctypes, os; ctypes.CDLL({str(library)!r}).engine_run(11, 30); print(os.getpid())"
    done = run([sys.executable, "-c", code], env=environment(folder, LD_PRELOAD=SHIM, TVG_CACHE=cache, **extra), check=True)
    return counts(trace_of(folder, int(done.stdout)))[30]


def only_file(cache):
    (path, ) = cache.iterdir()
    return path


def checksum(data):
    hashed = ctypes.CDLL("libxxhash.so.0").XXH3_64bits
    hashed.restype, hashed.argtypes = ctypes.c_uint64, (ctypes.c_char_p, ctypes.c_size_t)
    return struct.pack("<Q", hashed(data, len(data)))


def head_and_numbers(path):
    data = path.read_bytes()
    (count, ) = struct.unpack_from("<I", data, HEAD)
    assert len(data) == HEAD + 4 + 4 * count + 8 and data[-8:] == checksum(data[:-8])
    return data[:HEAD], list(struct.unpack_from(f"<{count}I", data, HEAD + 4))


def test_a_large_table_is_looked_through_once(library, tmp_path):
    cache = tmp_path / "cache"
    assert recorded(library, tmp_path / "first", cache) == 11
    path = only_file(cache)
    before = path.stat()
    assert before.st_mode & 0o777 == 0o600 and cache.stat().st_mode & 0o777 == 0o700
    assert len(head_and_numbers(path)[1]) == 5  # the names of tests/guard/engine.spec
    assert recorded(library, tmp_path / "second", cache) == 11
    after = only_file(cache).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_what_is_kept_is_what_is_used(library, tmp_path):
    """A file that names none of the symbols, in order otherwise, is believed: else the test above shows nothing."""
    cache = tmp_path / "cache"
    recorded(library, tmp_path / "first", cache)
    path = only_file(cache)
    data = head_and_numbers(path)[0] + struct.pack("<I", 0)
    path.write_bytes(data + checksum(data))
    code = f"import ctypes; ctypes.CDLL({str(library)!r}).engine_run(11, 30)"
    run([sys.executable, "-c", code], env=environment(tmp_path / "second", LD_PRELOAD=SHIM, TVG_CACHE=cache), check=True)
    assert not list((tmp_path / "second").iterdir())


def shifted(path):
    head, numbers = head_and_numbers(path)
    data = head + struct.pack(f"<{1 + len(numbers)}I", len(numbers), *(number + 7 for number in numbers))
    path.write_bytes(data + checksum(data))


def beyond(path):
    head, numbers = head_and_numbers(path)
    data = head + struct.pack("<II", 1, 0xfffffff0)
    path.write_bytes(data + checksum(data))


def flipped(path):
    data = bytearray(path.read_bytes())
    data[HEAD + 4] ^= 1
    path.write_bytes(data)


SPOILERS = {"other symbols": shifted, "a number beyond the table": beyond, "a flipped bit": flipped, "cut off": lambda path: os.truncate(path, 90),
            "empty": lambda path: os.truncate(path, 0), "too long": lambda path: path.write_bytes(path.read_bytes() + bytes(40000)),
            "writable by others": lambda path: (path.write_bytes(empty_list(path)), path.chmod(0o666)),
            "a folder": lambda path: (path.unlink(), path.mkdir()), "a link": lambda path: (path.unlink(), path.symlink_to("/dev/zero"))}


def empty_list(path):
    data = head_and_numbers(path)[0] + struct.pack("<I", 0)
    return data + checksum(data)


@pytest.mark.parametrize("how", SPOILERS)
def test_what_is_odd_is_worth_nothing(how, library, tmp_path):
    cache = tmp_path / "cache"
    recorded(library, tmp_path / "first", cache)
    SPOILERS[how](only_file(cache))
    assert recorded(library, tmp_path / "second", cache) == 11


def test_another_file_is_another(library, tmp_path):
    """The same bytes, written anew: nothing is known of them."""
    cache = tmp_path / "cache"
    recorded(library, tmp_path / "first", cache)
    path = only_file(cache)
    path.write_bytes(empty_list(path))
    copy = tmp_path / "libguard_engine_copy.so"
    copy.write_bytes(library.read_bytes())
    assert recorded(copy, tmp_path / "second", cache) == 11
    assert only_file(cache) == path, "of a file that was written a moment ago nothing is kept"


@pytest.mark.parametrize("cache", ["none", "/proc/no-such-folder", "relative"])
def test_no_folder_is_no_loss(cache, library, tmp_path):
    assert recorded(library, tmp_path / "t", cache, HOME=str(tmp_path)) == 11
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_the_users_own_folder_is_the_default(library, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    assert recorded(library, tmp_path / "without", None, HOME=home, XDG_CACHE_HOME=None) == 11
    assert not list(home.iterdir()), "a home without .cache is left as it is"
    (home / ".cache").mkdir()
    assert recorded(library, tmp_path / "with", None, HOME=home, XDG_CACHE_HOME=None) == 11
    assert only_file(home / ".cache" / "tvg").suffix == ".symbols"
