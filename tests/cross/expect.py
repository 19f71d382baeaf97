"""Whether `tvg ops --json FILE` of tests/cross/host.c has its three products, of the shapes the source says: FLOP = 2 m n k."""
import json
import sys

EXPECTED = {("dgemm_", "symbol", 3, 4, 5), ("cblas_dgemm", "symbol", 2, 4, 5), ("dgemm_", "dlsym", 7, 4, 5)}


def differences(ops):
    rows = ops["rows"]
    found = {(row["function"], row["net"], row["m"], row["n"], row["k"]) for row in rows}
    wrong = [f"missing {row}" for row in EXPECTED - found] + [f"not called: {row}" for row in found - EXPECTED]
    wrong += [f"{row['function']}: {row['count']} calls of {row['flop_per_call']} FLOP" for row in rows
              if row["count"] != 1 or row["flop_per_call"] != 2 * row["m"] * row["n"] * row["k"]]
    if not all(row["library"] == "libcrossblas.so" and row["types"] == ["f64"] * 4 for row in rows):
        wrong.append("library or types differ")
    return wrong


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        wrong = differences(json.load(file))
    print("\n".join(wrong) if wrong else f"tvg: {len(EXPECTED)} products as written, with their shapes, by symbol and by dlsym")
    sys.exit(bool(wrong))
