"""The recorder's sources under ThreadSanitizer: no data race in the hot path, at full rings, new ops, ring hand-over, pause, the final flush."""
import json

from guardlib import SOURCES, counts, fake_blas, linked
from tvg_testlib import BUILD, ROOT, clean_environment, run

PARTS = [*(ROOT / "shim/record").glob("*.c"), *(ROOT / "trace").glob("*.c")]


def test_no_data_race(tmp_path):
    program = BUILD / "guard" / "tsan"
    fake_blas()
    # What the recorder asks of interception and of the sources is given by stand_in_hooks.c.
    run(["gcc", "-std=gnu11", "-O1", "-g", "-fsanitize=thread", "-D_GNU_SOURCE", '-DTVG_VERSION="test"', "-DTVG_STAND_IN_ALONE", f"-I{ROOT}", f"-I{SOURCES}", "-rdynamic",
         "-fno-omit-frame-pointer", "-o", program, SOURCES / "tsan.c", SOURCES / "stand_in_hooks.c", *PARTS, *linked(), "-lmsgpackc", "-llz4", "-pthread"], check=True)
    done = run([program], env=clean_environment(TVG_OUT=tmp_path / "x.tvg", TVG_SOURCES="none", TSAN_OPTIONS="halt_on_error=0 exitcode=66"))
    assert "WARNING: ThreadSanitizer" not in done.stderr, done.stderr[:6000]
    assert done.returncode == 0, done.stderr[:2000]
    found = counts(tmp_path / "x.tvg", kept=False)
    assert sum(found[m] for m in (1, 2, 3, 4)) <= json.loads(done.stdout)["made"]
    assert min(found[m] for m in (1, 2, 3, 4)) > 0 and found[9] > 0
