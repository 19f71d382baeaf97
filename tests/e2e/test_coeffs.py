"""`tvg coeffs`: what is shipped agrees with its schema and with arithmetic on its sources; what is wrong is refused with every problem named."""
import copy
import json

import jsonschema
import pytest

from tvg_testlib import ROOT, TVG, clean_environment, run, tvg, tvg_json

FILES = sorted(path for path in (ROOT / "coeffs").glob("*.json") if path.name != "schema.json")
SCHEMA = json.loads((ROOT / "coeffs" / "schema.json").read_text())


def problems(path):
    done = tvg("coeffs", "check", path, "--json", check=False)
    result = json.loads(done.stdout)[0]
    assert done.returncode == (0 if result["valid"] else 2)
    assert result["valid"] == (not result["problems"])
    return result["problems"]


def row(device, use, type=None):
    found = [r for r in device["rows"] if r["use"] == use and r.get("type") == type]
    assert len(found) == 1, (use, type)
    return found[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_files_hold(path):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(path.read_text()), SCHEMA)
    assert problems(path) == []


def test_list_has_every_file():
    listed = tvg_json("coeffs", "list", "--json")
    assert [each["name"] for each in listed] == [path.stem for path in FILES]
    assert all(each["valid"] for each in listed)
    assert {"generic-x86-64", "amd-epyc-9005", "intel-xeon-4th-5th", "a100-sxm", "h100-sxm", "h200", "l4"} <= {each["name"] for each in listed}
    assert {each["name"] for each in listed if each["generic"]} == {"generic-x86-64", "generic-aarch64", "generic-gpu"}


def test_h100_rows_are_board_total_less_awake():
    device = tvg_json("coeffs", "show", "h100-sxm", "--json")
    awake = row(device, "awake")["value"]
    assert awake == 124.5
    for type, watts, rate in (("bf16", 699, 673), ("f16", 697, 642), ("f32", 706, 51.3), ("tf32", 696, 353), ("i8", 697, 861), ("f8_e4m3", 700, 1216)):
        figure = row(device, "flop", type)
        assert figure["value"] == pytest.approx((watts - awake) / rate, rel=1e-3)
        assert figure["tag"] == "derived-measured" and figure["boundary"] == "board" and figure["data_pattern"] == "random"
        assert f"{watts} W - 124.5 W" in figure["source"]  # the arithmetic is stated


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_thin_is_wide(path):
    """A figure from memory or from a bracket does not pretend to precision; one of another boundary is evidence only."""
    for r in json.loads(path.read_text())["rows"]:
        if r["use"] == "evidence":
            continue
        assert r["low"] < r["value"] or r["high"] > r["value"], r
        if r["tag"] == "unverified":
            assert r["high"] >= 1.3 * r["low"], r
        assert r["boundary"] in ("package", "board", "specification", "on-chip"), r


def test_cpu_peaks_follow_their_formula():
    for name, cores, ghz, per_cycle in (("amd-epyc-9005", 128, 2.7, 64), ("amd-epyc-9004", 96, 2.4, 32), ("intel-xeon-4th-5th", 56, 2.0, 64)):
        device = tvg_json("coeffs", "show", name, "--json")
        assert device["cores"] == cores
        peak = row(device, "peak", "f32")
        assert peak["value"] == pytest.approx(cores * ghz * per_cycle / 1000, rel=1e-3)
        assert f"{cores} cores x {ghz} GHz base x {per_cycle} a clock" in peak["source"]


@pytest.mark.parametrize("column", ["unit", "denominator", "boundary", "source", "tag"])
def test_a_row_without_a_needed_column_is_refused(tmp_path, column):
    device = json.loads((ROOT / "coeffs" / "amd-epyc-9005.json").read_text())
    del device["rows"][3][column]
    path = tmp_path / "amd-epyc-9005.json"
    path.write_text(json.dumps(device))
    found = problems(path)
    assert len(found) == 1 and f"no {column}" in found[0] and "rows[3]" in found[0]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(device, SCHEMA)
    shown = tvg("coeffs", "show", path, check=False)
    assert shown.returncode == 2 and f"no {column}" in shown.stderr and shown.stdout == ""


def test_all_problems_are_told_at_once(tmp_path):
    device = json.loads((ROOT / "coeffs" / "h100-sxm.json").read_text())
    rows = device["rows"]
    rows[0]["unit"] = "J"  # watts are wanted
    rows[1]["low"], rows[1]["high"] = rows[1]["high"], rows[1]["low"]
    rows[2]["tag"] = "sure"
    rows.append(copy.deepcopy(rows[3]))
    rows[4]["hue"] = "red"
    path = tmp_path / "h100-sxm.json"
    path.write_text(json.dumps(device))
    found = "\n".join(problems(path))
    for wanted in ("wrong unit", "out of order", "unknown tag", "duplicate", "unknown column"):
        assert wanted in found, found
    plain = tvg("coeffs", "check", path, check=False)
    assert plain.returncode == 2 and len(plain.stdout.splitlines()) == len(problems(path))


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"rows": 1e999}', "\x00\x01", '{"name": "a", "name": "b"}', "[" * 100000])
def test_what_is_no_device_file_is_refused(tmp_path, text):
    path = tmp_path / "odd.json"
    path.write_text(text)
    for verb in ("check", "show"):
        done = tvg("coeffs", verb, path, check=False)
        assert done.returncode == 2 and "odd.json" in done.stdout + done.stderr


def test_unknown_names_and_verbs_say_what_there_is():
    done = tvg("coeffs", "show", "h900", check=False)
    assert done.returncode == 2 and "h100-sxm" in done.stderr and "h900" in done.stderr
    done = tvg("coeffs", "chek", check=False)
    assert done.returncode == 2 and "check" in done.stderr
    assert tvg("coeffs", "--help").stdout.startswith("Usage")


def test_files_come_from_tvg_coeffs_first(tmp_path):
    device = json.loads((ROOT / "coeffs" / "l4.json").read_text())
    device["title"] = "mine"
    (tmp_path / "l4.json").write_text(json.dumps(device))
    environment = clean_environment(TVG_COEFFS=tmp_path)
    listed = json.loads(run([TVG, "coeffs", "list", "--json"], env=environment, check=True).stdout)
    assert [each["title"] for each in listed if each["name"] == "l4"] == ["mine"]
    assert len(listed) == len(FILES)  # the others are still there


def test_a_broken_file_in_the_folder_is_told(tmp_path):
    (tmp_path / "broken.json").write_text("{}")
    done = run([TVG, "coeffs", "list"], env=clean_environment(TVG_COEFFS=tmp_path))
    assert done.returncode == 2 and "broken.json" in done.stderr and "h100-sxm" in done.stdout
