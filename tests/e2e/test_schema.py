"""What --json prints against the schema in the repository, and the schema against documents that must not pass."""
import copy
import json

import jsonschema
import pytest
from tvg_testlib import ROOT, run_under_shim, tvg, tvg_json

SCHEMA = json.loads((ROOT / "analyzer/report/schema.json").read_text())
HOST = """
import numpy as np
for size in (32, 48, 64):
    a = np.ones((size, size), np.float32)
    for _ in range(20):
        a @ a
        a @ a[0]
"""


@pytest.fixture(scope="module")
def trace(tmp_path_factory):
    return run_under_shim(HOST, tmp_path_factory.mktemp("schema")).trace


def validator():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    return jsonschema.Draft202012Validator(SCHEMA)


@pytest.mark.parametrize("options", [[], ["--tokens", "7"], ["--units", "image=3"], ["--charge", "none"], ["--rewrite", "bf16"],
                                     ["--assume", "prune=0.5"], ["--device", "generic-x86-64"]])
def test_reports_are_valid(trace, options):
    validator().validate(tvg_json("report", trace, "--json", *options))


def test_a_comparison_is_valid(trace):
    validator().validate(tvg_json("report", trace, "--json", "--against", trace))


def test_the_schema_is_not_loose(trace):
    document = tvg_json("report", trace, "--json")

    def broken(change):
        copied = copy.deepcopy(document)
        change(copied)
        with pytest.raises(jsonschema.ValidationError):
            validator().validate(copied)

    broken(lambda d: d["totals"].pop("idle_j"))
    broken(lambda d: d["totals"]["energy_j"].update(basis="guessed"))
    broken(lambda d: d["optimized"]["energy_j"].update(basis="measured"))
    broken(lambda d: d["totals"].update(extra=1))
    broken(lambda d: d["rewrites"][0].update(nature="hope"))
    broken(lambda d: d["ops"][0]["energy_j"].pop("low"))
    broken(lambda d: d["totals"]["units"].update(kind="word"))
    broken(lambda d: d.pop("coverage"))


def test_intervals_are_ordered(trace):
    def walk(node, where):
        if isinstance(node, dict):
            if {"value", "low", "high"} <= node.keys():
                assert node["low"] <= node["value"] <= node["high"], (where, node)
            for key, value in node.items():
                walk(value, f"{where}.{key}")
        elif isinstance(node, list):
            for index, value in enumerate(node):
                walk(value, f"{where}[{index}]")
    walk(tvg_json("report", trace, "--json", "--assume", "prune=0.5"), "$")


def test_output_is_strict_json(trace):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")
    json.loads(tvg("report", trace, "--json").stdout, parse_constant=refuse)
