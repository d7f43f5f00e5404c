"""The wheel, made from the sdist, installs and runs the demo; it holds the package, and no more."""

import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import parchunk

ROOT = Path(__file__).parents[2]


def run(*arguments: object, folder: Path) -> str:
    done = subprocess.run(
        list(map(str, arguments)), cwd=folder, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info >= (3, 12), reason="one wheel is for all Pythons")
def test_the_wheel_of_the_sdist_runs_the_demo(tmp_path: Path) -> None:
    pytest.importorskip("hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-d", tmp_path]
    run(*build, "-t", "sdist", folder=ROOT)
    name = f"parchunk-{parchunk.__version__}"
    with tarfile.open(tmp_path / f"{name}.tar.gz") as sdist:
        sdist.extractall(tmp_path, filter="data")
    assert (tmp_path / name / "tests/promises/test_packages.py").exists()
    assert (tmp_path / name / "docs/architecture.md").exists()
    run(*build, "-t", "wheel", folder=tmp_path / name)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        top = {path.split("/")[0] for path in opened.namelist()}
        assert top == {"parchunk", f"{name}.dist-info"}
        assert "parchunk/py.typed" in opened.namelist()

    # In an environment of its own: what it depends on is lent by this one. An editable parchunk is
    # not, as that is a .pth file, and those of a folder that is lent are not read.
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env/bin/python"
    pip = [sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check"]
    run(*pip, "install", "--no-deps", "--no-index", "--no-compile", wheel, folder=tmp_path)
    (libraries,) = tmp_path.glob("env/lib/python*/site-packages")
    (libraries / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    said = run(tmp_path / "env/bin/parchunk", "demo", tmp_path / "demo", folder=tmp_path)
    assert "temperature: 10,368,000 values equal" in said
