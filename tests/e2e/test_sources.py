"""The sources beside the ops, against what they say of themselves in the trace: manifest, energy meters, counters, call stacks."""
import json
import os
import re
import subprocess

import pytest

import trace_blocks
import tvg_testlib as testlib

BLAS = ("-lopenblas", "-pthread")


@pytest.fixture(scope="module")
def host():
    return testlib.compile_c("sources_host.c", *BLAS)


def ops_by_id(trace):
    """Op ids of the dictionary with their k, which tells the two functions of the host apart."""
    return {entry["id"]: entry["mnkb"][2] for entry in trace_blocks.of_kind(trace, trace_blocks.DICT)}


# --- manifest ---------------------------------------------------------------------------------------------------------------


def cpuinfo(key):
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.split(":")[0].strip() == key:
                return line.split(":", 1)[1].strip()
    return None


def test_manifest_says_what_proc_says(under_shim, host):
    run = under_shim([host, 1], env={"OMP_NUM_THREADS": 3, "RANK": 7, "OMP_SCHEDULE": "static", "API_TOKEN": "hunter2"})
    manifest = trace_blocks.manifest(run.trace)
    if os.uname().machine == "x86_64":
        assert manifest["cpu.model"] == cpuinfo("model name")
        assert manifest["cpu.id"] == f"{cpuinfo('vendor_id')}-{cpuinfo('cpu family')}-{cpuinfo('model')}"
        assert set(manifest["cpu.flags"].split()) <= set(cpuinfo("flags").split())
        assert ("avx2" in manifest["cpu.flags"].split()) == ("avx2" in cpuinfo("flags").split())
    assert int(manifest["cpu.allowed"]) == len(os.sched_getaffinity(0))
    assert int(manifest["cpu.online"]) == os.sysconf("SC_NPROCESSORS_ONLN")
    assert abs(int(manifest["memory.total"]) - os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) < 1 << 20
    assert manifest["kernel"] == os.uname().release
    assert manifest["env.OMP_NUM_THREADS"] == "3" and manifest["env.RANK"] == "7" and manifest["env.OMP_SCHEDULE"] == "static"
    assert "env.API_TOKEN" not in manifest
    assert "hunter2" not in repr(manifest)
    assert manifest["command"] == "sources_host"


def test_manifest_follows_the_affinity(under_shim, host):
    cpu = min(os.sched_getaffinity(0))
    run = under_shim(["taskset", "-c", cpu, host, 1])
    assert trace_blocks.manifest(run.trace)["cpu.allowed"] == "1"


def test_manifest_build_ids_are_those_of_the_files(under_shim, host):
    run = under_shim([host, 1])
    libraries = {key[len("library."):]: value for key, value in trace_blocks.manifest(run.trace).items() if key.startswith("library.")}
    listed = re.findall(r"=> (\S+) \(0x", subprocess.run(["ldd", host], capture_output=True, text=True, check=True).stdout)
    assert len(listed) >= 2
    for path in listed:
        notes = subprocess.run(["readelf", "-n", path], capture_output=True, text=True, check=True).stdout
        assert libraries[os.path.basename(path)] == re.search(r"Build ID: (\w+)", notes).group(1)


def test_manifest_keeps_no_arguments_but_the_script(under_shim, tmp_path):
    script = tmp_path / "secret_folder" / "infer.py"
    script.parent.mkdir()
    script.write_text(f"import ctypes, sys\nctypes.CDLL({str(one_call_library(tmp_path))!r}).one_call()\n")
    run = under_shim([testlib.PYTHON, "-u", script, "--password", "hunter2"])
    manifest = trace_blocks.manifest(run.trace)
    assert manifest["script"] == "infer.py"
    assert "hunter2" not in repr(manifest) and "secret_folder" not in repr(manifest)
    run = testlib.run_under_shim([testlib.PYTHON, "-c", script.read_text() + "'hunter2'"], tmp_path / "second")
    manifest = trace_blocks.manifest(run.trace)
    assert manifest["script"] == "-c" and "hunter2" not in repr(manifest)


def one_call_library(folder):
    source, library = folder / "one_call.c", folder / "libone_call.so"
    source.write_text("#include <cblas.h>\nvoid one_call(void) { float a[4] = {1, 2, 3, 4}, c[4];\n"
                      "cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, 2, 2, 2, 1, a, 2, a, 2, 0, c, 2); }\n")
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", library, source, "-lopenblas"], check=True)
    return library


# --- energy meters: a stand-in for /sys/class/powercap ---------------------------------------------------------------------------

RANGE = 262143328850


def powercap(root, zones):
    """Makes zones {"intel-rapl:0": ("package-0", microjoules)} below root, as the kernel shows them."""
    for zone, (name, value) in zones.items():
        folder = root / "sys/class/powercap" / zone
        folder.mkdir(parents=True)
        (folder / "name").write_text(name + "\n")
        (folder / "max_energy_range_uj").write_text(f"{RANGE}\n")
        (folder / "energy_uj").write_text(f"{value}\n")
    return root


def samples(trace):
    """{meter: [(ns, value), ...]} and {meter: boundary}."""
    values, boundaries = {}, {}
    for block in trace_blocks.of_kind(trace, trace_blocks.ENERGY):
        assert block["unit"] == "uJ" and block["range"] == RANGE
        values.setdefault(block["meter"], []).extend(zip(block["ns"], block["value"]))
        boundaries[block["meter"]] = block["boundary"]
    return values, boundaries


def test_meters_of_two_packages_dram_and_platform(under_shim, host, tmp_path):
    root = powercap(tmp_path / "root", {
        "intel-rapl:0": ("package-0", 1000), "intel-rapl:0:0": ("core", 1), "intel-rapl:0:1": ("uncore", 2), "intel-rapl:0:2": ("dram", 3000),
        "intel-rapl:1": ("package-1", 2000), "intel-rapl:1:0": ("dram", 4000), "intel-rapl:2": ("psys", 5000), "intel-rapl-mmio:0": ("package-0", 999)})
    run = under_shim([host, 10], env={"TVG_SYSFS_ROOT": root})
    values, boundaries = samples(run.trace)
    assert boundaries == {"package-0": "package", "package-1": "package", "dram-0": "dram", "dram-1": "dram", "psys": "platform"}
    assert {meter: set(value for _, value in list_) for meter, list_ in values.items()} == {
        "package-0": {1000}, "package-1": {2000}, "dram-0": {3000}, "dram-1": {4000}, "psys": {5000}}
    assert all(len(list_) >= 2 for list_ in values.values()), "a sample at the start and one at the end"
    assert ("source-on", "rapl", "") in trace_blocks.notes(run.trace)


def test_the_memory_mapped_meter_counts_where_it_is_the_only_one(under_shim, host, tmp_path):
    root = powercap(tmp_path / "root", {"intel-rapl-mmio:0": ("package-0", 77)})
    values, _ = samples(under_shim([host, 10], env={"TVG_SYSFS_ROOT": root}).trace)
    assert {value for _, value in values["package-0"]} == {77}


def test_a_wrap_is_kept_and_undone_by_the_report(tmp_path, under_shim, host):
    root = powercap(tmp_path / "root", {"intel-rapl:0": ("package-0", RANGE - 5_000_000)})
    meter = root / "sys/class/powercap/intel-rapl:0/energy_uj"
    command = ["sh", "-c", f"'{host}' 1 0 no 1500 & sleep 0.7; echo 24999999 > '{meter}'; wait"]
    run = under_shim(command, env={"TVG_SYSFS_ROOT": root})
    values, _ = samples(run.trace)
    raw = [value for _, value in values["package-0"]]
    assert raw[0] == RANGE - 5_000_000 and raw[-1] == 24_999_999
    # 5 J to the range's end, one step to 0, then 24.999999 J
    report = testlib.tvg_json("report", run.trace, "--json")
    assert report["totals"]["energy_j"]["basis"] == "measured"
    assert report["totals"]["energy_j"]["value"] == pytest.approx(30.0, rel=0.1)  # the run began before the first sample: longer before on a busy machine


def test_rare_ops_are_sampled_by_a_thread(under_shim, host, tmp_path):
    root = powercap(tmp_path / "root", {"intel-rapl:0": ("package-0", 5)})
    run = under_shim([host, 1, 0, "no", 3300], env={"TVG_SYSFS_ROOT": root})
    times = [ns for ns, _ in samples(run.trace)[0]["package-0"]]
    gaps = [later - earlier for earlier, later in zip(times, times[1:])]
    assert len(times) >= 4 and max(gaps) < 2e9


def test_no_thread_without_a_meter(under_shim, tmp_path):
    code = (f"import ctypes, os; ctypes.CDLL({str(one_call_library(tmp_path))!r}).one_call(); print(len(os.listdir('/proc/self/task')))")
    empty, with_meter = tmp_path / "empty", powercap(tmp_path / "root", {"intel-rapl:0": ("package-0", 5)})
    empty.mkdir()
    bare = int(testlib.run(code, check=True).stdout)
    assert int(under_shim(code, env={"TVG_SYSFS_ROOT": empty, "TVG_SOURCES": "rapl"}).stdout) == bare
    assert int(testlib.run_under_shim(code, tmp_path / "b", env={"TVG_SYSFS_ROOT": with_meter, "TVG_SOURCES": "rapl"}).stdout) == bare + 1
    assert int(testlib.run_under_shim(code, tmp_path / "c", env={"TVG_SYSFS_ROOT": with_meter, "TVG_SOURCES": "none"}).stdout) == bare


def test_no_meter_is_refused_with_the_reason(under_shim, host, tmp_path):
    (tmp_path / "root").mkdir()
    run = under_shim([host, 5], env={"TVG_SYSFS_ROOT": tmp_path / "root"})
    refused = [detail for what, subject, detail in trace_blocks.notes(run.trace) if (what, subject) == ("source-refused", "rapl")]
    assert len(refused) == 1 and "virtual machine" in refused[0]
    assert not trace_blocks.of_kind(run.trace, trace_blocks.ENERGY)


def test_a_forked_child_samples_anew(under_shim, host, tmp_path):
    root = powercap(tmp_path / "root", {"intel-rapl:0": ("package-0", 5)})
    run = under_shim([host, 20, 0, "fork"], env={"TVG_SYSFS_ROOT": root})
    assert len(run.traces) == 2
    for trace in run.traces:
        assert len(samples(trace)[0]["package-0"]) >= 2


# --- counters ---------------------------------------------------------------------------------------------------------------------


def counters(trace):
    """Events, and {op id: [calls, value...]} summed over blocks."""
    events, rows = None, {}
    for block in trace_blocks.of_kind(trace, trace_blocks.COUNTERS):
        assert events in (None, block["events"])
        events = block["events"]
        for row in block["rows"]:
            rows[row[0]] = [a + b for a, b in zip(rows.get(row[0], [0] * (len(row) - 1)), row[1:])]
    return events, rows


@pytest.mark.parametrize("threads", [0, 4])
def test_counters_count_every_call(under_shim, host, threads):
    calls = 6000
    run = under_shim([host, calls, threads], env={"TVG_SOURCES": "papi", "OMP_NUM_THREADS": 1})
    events, rows = counters(run.trace)
    shapes = ops_by_id(run.trace)
    assert {shapes[op]: row[0] for op, row in rows.items()} == {48: calls * max(threads, 1), 24: calls * max(threads, 1)}
    if "PAPI_TOT_INS" in events:
        column = events.index("PAPI_TOT_INS") + 1
        by_shape = {shapes[op]: row[column] / row[0] for op, row in rows.items()}
        assert 48 ** 3 / 64 < by_shape[24] < by_shape[48] < 48 ** 3 * 8
    else:
        column = events.index("perf::TASK-CLOCK") + 1
        by_shape = {shapes[op]: row[column] for op, row in rows.items()}
        assert by_shape[48] > by_shape[24] > 0, "twice the work takes more CPU time"
        assert sum(by_shape.values()) / 1e9 < run.seconds * max(threads, 1)


def test_counters_of_a_forked_child_are_its_own(under_shim, host):
    run = under_shim([host, 500, 0, "fork"], env={"TVG_SOURCES": "papi"})
    assert len(run.traces) == 2
    for trace in run.traces:
        _, rows = counters(trace)
        assert sorted(row[0] for row in rows.values()) == [500, 500]


def test_counters_are_off_by_default(under_shim, host):
    run = under_shim([host, 10])
    assert not trace_blocks.of_kind(run.trace, trace_blocks.COUNTERS) and not trace_blocks.of_kind(run.trace, trace_blocks.STACKS)


def test_an_unknown_source_is_said(under_shim, host):
    run = under_shim([host, 10], env={"TVG_SOURCES": "rpal"})
    assert any(what == "source-refused" and subject == "rpal" for what, subject, _ in trace_blocks.notes(run.trace))


# --- call stacks ----------------------------------------------------------------------------------------------------------------------


def stacks(trace):
    libraries, known, taken = {}, {}, []
    for block in trace_blocks.of_kind(trace, trace_blocks.STACKS):
        for index, path, _ in block["libs"]:
            assert index not in libraries
            libraries[index] = path
        for entry in block["stacks"]:
            assert entry[0] not in known, "each stack is written once"
            known[entry[0]] = list(zip(entry[1::2], entry[2::2]))
        taken += block["samples"]
    return libraries, known, taken


def functions(path):
    """[(start, end, name)] of a program's functions, by nm."""
    listing = subprocess.run(["nm", "-S", "--defined-only", path], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listing.splitlines()]
    return [(int(row[0], 16), int(row[0], 16) + int(row[1], 16), row[3]) for row in rows if len(row) == 4 and row[2] in "tT"]


def test_stacks_name_the_callers(under_shim, host):
    run = under_shim([host, 3000], env={"TVG_STACKS": 1})
    libraries, known, taken = stacks(run.trace)
    shapes, table = ops_by_id(run.trace), functions(host)
    for op, stack, _ in taken:
        names = []
        for library, offset in known[stack]:
            if libraries.get(library) == str(host):
                names += [name for start, end, name in table if start <= offset - 1 < end]
        expected = {48: "multiply_here", 24: "multiply_there"}[shapes[op]]
        assert names[:3] == [expected, "work", "everything"] or names[:2] == [expected, "work"], names
        assert not any("libtvgshim" in libraries.get(library, "") for library, _ in known[stack])
    assert len(known) == 2, "two call sites, two stacks, however often they are sampled"


def test_stacks_are_rare(under_shim, host):
    calls = 20000
    run = under_shim([host, calls], env={"TVG_STACKS": 1, "OMP_NUM_THREADS": 1})
    _, _, taken = stacks(run.trace)
    for op in {op for op, _, _ in taken}:
        at = [occurrence for each, _, occurrence in taken if each == op]
        assert at[0] <= 2 or at[0] < 2000, "the first call, or the first a millisecond after the other's"
        assert len(at) <= 16 and at[-1] <= calls
        # a later sample lies in a higher power of two
        assert all(later.bit_length() > earlier.bit_length() for earlier, later in zip(at, at[1:])), at
    assert min(occurrence for _, _, occurrence in taken) == 1
    assert len(taken) <= run.seconds * 1000 + 1


def test_the_host_computes_the_same_under_every_source(under_shim, host):
    assert under_shim([host, 50, 3, "fork"], env={"TVG_SOURCES": "rapl,papi,stacks"}).stdout == testlib.run([host, 50, 3, "fork"], check=True).stdout


@pytest.mark.parametrize("before", [[], ["before"]])
def test_a_constructor_that_waits_for_a_thread_does_not_deadlock(under_shim, before):
    library = testlib.compile_c("constructor_library.c", "-shared", "-fPIC", *BLAS, name="constructor_library.so")
    program = testlib.compile_c("constructor_host.c", *BLAS)
    run = under_shim([program, library, *before], env={"TVG_SOURCES": "rapl,papi,stacks"}, timeout=20)
    assert run.stdout == "done\n"
    libraries, known, taken = stacks(run.trace)
    assert taken


def test_missing_libunwind_is_refused_and_the_run_goes_on(under_shim, host, tmp_path):
    # a file of that name that is no library hides the real one
    (tmp_path / "libunwind.so.8").write_text("no library")
    (tmp_path / "libunwind.so.1").write_text("no library")
    run = under_shim([host, 10], env={"TVG_STACKS": 1, "LD_LIBRARY_PATH": tmp_path})
    notes = trace_blocks.notes(run.trace)
    if not any(what == "source-refused" and subject == "stacks" and "libunwind" in detail for what, subject, detail in notes):
        # this glibc goes on searching behind a broken file: then the source must be on
        assert ("source-on", "stacks", "") in notes
    assert run.stdout == "done\n"


@pytest.mark.parametrize("sources", ["none", "rapl,papi,stacks"])
def test_threads_that_begin_at_once_lose_no_op(tmp_path, host, sources):
    """The first calls of several threads race for opening the trace and starting the sources: none may pass unrecorded."""
    for attempt in range(5):
        run = testlib.run_under_shim([host, 300, 8], tmp_path / str(attempt), env={"TVG_SOURCES": sources, "OMP_NUM_THREADS": 1})
        assert sum(block["n"] for block in trace_blocks.of_kind(run.trace, trace_blocks.OPS)) == 300 * 8 * 2


# --- how they are shown ----------------------------------------------------------------------------------------------------------------


def test_folded_stacks_hold_the_whole_time_of_the_ops(under_shim, host):
    run = under_shim([host, 3000], env={"TVG_STACKS": 1})
    micros, leaves, stacks = 0, {}, []
    for line in testlib.tvg("dump", "--folded", run.trace).stdout.splitlines():
        stack, value = line.rsplit(" ", 1)
        stacks.append(stack)
        frames = stack.split(";")
        micros += int(value)
        leaves.setdefault(frames[-1], set()).add(tuple(frames[-4:-1]))
    assert leaves == {"cblas_sgemm 48x48x48": {("everything", "work", "multiply_here")}, "cblas_sgemm 48x48x24": {("everything", "work", "multiply_there")}}
    assert len(stacks) == len(set(stacks))  # each stack once, whatever the number of its samples
    assert micros == pytest.approx(sum(op["duration_ns"] for op in testlib.dump(run.trace)) / 1e3, rel=0.01)


def test_counters_are_printed_with_their_op(under_shim, host):
    run = under_shim([host, 700], env={"TVG_SOURCES": "papi"})
    lines = [json.loads(line) for line in testlib.tvg("dump", "--counters", run.trace).stdout.splitlines()]
    events, rows = counters(run.trace)
    assert {line["k"]: line["calls"] for line in lines} == {48: 700, 24: 700}
    for line in lines:
        assert line["function"] == "cblas_sgemm"
        assert [line[event] for event in events] == rows[line["op"]][1:]


def test_what_was_not_sampled_is_said(under_shim, host):
    run = under_shim([host, 5])
    assert "--stacks" in testlib.tvg("dump", "--folded", run.trace).stderr
    done = testlib.tvg("dump", "--counters", run.trace)
    assert done.stdout == "" and "--sources +papi" in done.stderr
