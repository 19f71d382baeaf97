"""Help, man pages and completion say the same as the program."""
import re
import shutil

import pytest
from tvg_testlib import ROOT, TVG, run, tvg


def commands():
    return re.findall(r"^  ([a-z]+)  ", tvg("help").stdout, re.M)


def test_every_command_is_there():
    assert set(commands()) == {"record", "report", "run", "ops", "dump", "export", "coverage", "check", "doctor", "overhead", "coeffs"}


def test_every_option_is_in_its_man_page():
    for command in commands():
        page = (ROOT / f"man/tvg-{command}.1").read_text().replace("\\-", "-").replace("\\fR", "").replace("\\fB", "")
        for option in re.findall(r"^\s+(?:-\w, )?(--[a-z-]+)", tvg("help", command).stdout, re.M):
            assert option in page, f"{command} {option}: run make man"
        assert f"tvg-{command} \\- " in (ROOT / f"man/tvg-{command}.1").read_text()
    assert all(command in (ROOT / "man/tvg.1").read_text() for command in commands())


@pytest.mark.parametrize("page", sorted(path.name for path in (ROOT / "man").glob("*.1")))
def test_man_pages_format_without_a_warning(page):
    groff = shutil.which("groff")
    if not groff:
        pytest.skip("groff is not installed")
    done = run([groff, "-man", "-ww", "-Tutf8", "-z", ROOT / "man" / page], check=True)
    assert done.stderr == ""


def completed(*words):
    line = " ".join(f"'{word}'" for word in ("tvg", *words))
    script = f"source {ROOT}/analyzer/commands/completion.bash; tvg() {{ {TVG} \"$@\"; }}; COMP_WORDS=({line}); COMP_CWORD={len(words)}; _tvg; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    return run(["bash", "-c", script], check=True).stdout.split()


def test_completion():
    assert completed("rep") == ["report"]
    assert "--against" in completed("report", "--a")
    assert "generic-x86-64" in completed("report", "--device", "gen")
