"""An independent reader of trace files, written from trace/FORMAT.md alone: blocks as (kind, map) pairs, for what no command prints.

Knows nothing of checksums (tvg check does); enough msgpack for the maps of version 1. kernels() gives GPU activity row by row.
"""
import pathlib
import struct

OPS, DICT, MANIFEST, COVERAGE, ENERGY, COUNTERS, STACKS, MARK, THREAD, LOST, KERNELS, END, SAMPLES, SYNC = range(1, 15)
NO_CAUSE = 0xFFFFFFFF


def _unpack(data, at):
    """One msgpack object at `at`: (object, next position)."""
    first = data[at]
    at += 1
    if first < 0x80:
        return first, at
    if first >= 0xE0:
        return first - 256, at
    if first < 0x90:
        return _map(data, at, first & 15)
    if first < 0xA0:
        return _array(data, at, first & 15)
    if first < 0xC0:
        return _text(data, at, first & 31)
    if first in (0xC0, 0xC2, 0xC3):
        return {0xC0: None, 0xC2: False, 0xC3: True}[first], at
    numbers = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
    if first in numbers:
        form = numbers[first]
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    sized = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I"}
    length = struct.unpack_from(sized[first], data, at)[0]
    at += struct.calcsize(sized[first])
    if first <= 0xC6:
        return bytes(data[at:at + length]), at + length
    if first <= 0xDB:
        return _text(data, at, length)
    return _array(data, at, length) if first <= 0xDD else _map(data, at, length)


def _text(data, at, length):
    return data[at:at + length].decode("utf-8", "replace"), at + length


def _array(data, at, length):
    items = []
    for _ in range(length):
        item, at = _unpack(data, at)
        items.append(item)
    return items, at


def _map(data, at, length):
    items = {}
    for _ in range(length):
        key, at = _unpack(data, at)
        items[key], at = _unpack(data, at)
    return items, at


def blocks(path):
    """All whole blocks of a trace: a list of (kind, map)."""
    data = pathlib.Path(path).read_bytes()
    assert data[:8] == b"TVGTRACE", f"{path} is no trace"
    at = 32 + struct.unpack_from("<I", data, 12)[0]
    found = []
    while at + 24 <= len(data):
        magic, kind, _, length = struct.unpack_from("<4sHHI", data, at)
        assert magic == b"TBLK", f"{path}: no block at {at}"
        if at + 24 + length > len(data):
            break
        found.append((kind, _unpack(data[at + 24:at + 24 + length], 0)[0]))
        at += 24 + length
    return found


def of_kind(path, kind):
    return [content for number, content in blocks(path) if number == kind]


def notes(path):
    """Coverage notes as (what, subject, detail)."""
    return [(note.get("what"), note.get("subject"), note.get("detail")) for note in of_kind(path, COVERAGE)]


def manifest(path):
    merged = {}
    for part in of_kind(path, MANIFEST):
        merged.update(part)
    return merged


def lengths(path):
    """Bytes of the trace by block kind, block headers included."""
    data = pathlib.Path(path).read_bytes()
    at, sums = 32 + struct.unpack_from("<I", data, 12)[0], {}
    while at + 24 <= len(data):
        _, kind, _, length = struct.unpack_from("<4sHHI", data, at)
        sums[kind] = sums.get(kind, 0) + 24 + length
        at += 24 + length
    return sums


def _lz4(data, size):
    """One LZ4 block, decompressed (its format: literals and matches in turn, lengths of 15 and more continued by bytes of 255)."""
    out, at = bytearray(), 0

    def continued(length):
        nonlocal at
        if length == 15:
            while True:
                more = data[at]
                at += 1
                length += more
                if more != 255:
                    break
        return length
    while True:
        token = data[at]
        at += 1
        literals = continued(token >> 4)
        out += data[at:at + literals]
        at += literals
        if at >= len(data):
            break
        distance = data[at] | data[at + 1] << 8
        at += 2
        match, begin = continued(token & 15) + 4, len(out) - distance
        while match:  # a match may reach into what it writes
            part = out[begin:begin + match]
            out += part
            begin, match = begin + len(part), match - len(part)
    assert len(out) == size, f"{len(out)} bytes of {size}"
    return bytes(out)


def _differences(column, count):
    """A column of zigzag varints."""
    size, data = column
    data = data if len(data) == size else _lz4(data, size)
    values, at = [], 0
    for _ in range(count):
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                break
        values.append(value >> 1 ^ -(value & 1))
    assert at == len(data)
    return values


KERNEL_KEYS = ("duration", "start", "launch", "bytes", "op", "cause", "tid", "stream", "graph", "replayed")
SYNC_KEYS = ("duration", "start", "kind", "tid", "device", "stream", "event")


def _rows(block, keys):
    """Rows of a block of columns; times are against the end of the row before."""
    count, row = block["count"], dict.fromkeys(keys, 0)
    columns = {key: _differences(block[key], count) if key in block else [0] * count for key in keys}
    for number in range(count):
        ended = row["start"] + row["duration"]
        row = {key: (row[key] if key != "start" else ended) + columns[key][number] for key in keys}
        yield row


def kernels(path):
    """GPU activity as the trace has it: a list of dicts with KERNEL_KEYS and `device`."""
    return [{**row, "device": block["device"]} for block in of_kind(path, KERNELS) for row in _rows(block, KERNEL_KEYS)]


def waits(path):
    """Calls that wait or order streams: a list of dicts with SYNC_KEYS; None where the process did not follow them."""
    blocks_found = of_kind(path, SYNC)
    return [row for block in blocks_found for row in _rows(block, SYNC_KEYS)] if blocks_found else None


def operations(path):
    """The dictionary: op id -> its description."""
    return {entry["id"]: entry for entry in of_kind(path, DICT) if "id" in entry}


def marks(path):
    """What the host said of its work, in order: (kind, value, mono_ns)."""
    return [(mark["kind"], mark["value"], mark["mono_ns"]) for mark in of_kind(path, MARK)]
