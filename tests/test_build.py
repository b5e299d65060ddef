"""The commit that a build is of: written by setup.py, read by tidal.build."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tidal import build
from tidal.build import NO_BUILD, build_hash
from tidal.cli.ctl.main import main

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    build_hash.cache_clear()
    yield
    build_hash.cache_clear()


@pytest.mark.parametrize(
    ("text", "expected"),
    [("29400d4\n", "29400d4"), ("29400d4-dirty", "29400d4-dirty"), ("", NO_BUILD), ("\x1b[1m\n", NO_BUILD),
     ("29400d4; rm", NO_BUILD), (None, NO_BUILD)],
)  # fmt: skip
def test_the_file_or_dev(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, expected: str
) -> None:
    monkeypatch.setattr(build, "__file__", str(tmp_path / "build.py"))
    if text is not None:
        (tmp_path / build.BUILD_FILE).write_text(text)
    assert build_hash() == expected


def test_version_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"tidalctl 0.1.0 ({build_hash()})\n"


def setup_module_without_building(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The names of setup.py, with what compiles and packs replaced by nothing."""

    class Command:
        editable_mode = False
        build_lib = "out"
        parallel: int | None = None

        def finalize_options(self) -> None: ...

        def run(self) -> None:
            Path(self.build_lib, "tidal").mkdir(parents=True)

        def make_release_tree(self, base_dir: str, files: list[str]) -> None:
            Path(base_dir, "tidal").mkdir(parents=True)

    fakes: dict[str, dict[str, Any]] = {
        "Cython": {}, "Cython.Build": {"cythonize": lambda *_, **__: []},
        "setuptools": {"Extension": object, "setup": lambda **_: None}, "setuptools.command": {},
        "setuptools.command.build_ext": {"build_ext": Command},
        "setuptools.command.build_py": {"build_py": Command}, "setuptools.command.sdist": {"sdist": Command},
    }  # fmt: skip
    for name, values in fakes.items():
        module = types.ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)
    names: dict[str, Any] = {"__name__": "setup"}
    Path("tidal/_ext").mkdir(parents=True)
    Path("tidal/_ext/x.h").write_text("")
    exec(compile((ROOT / "setup.py").read_text(), "setup.py", "exec"), names)
    return names


def git(*words: str) -> str:
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    return subprocess.run(["git", *who, *words], capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed: no commit to ask for")
def test_setup_writes_the_commit_into_builds_and_sdists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    names = setup_module_without_building(monkeypatch)
    names["BuildPy"]().run()
    assert not Path("out/tidal/build.txt").exists()  # no repository: dev
    git("init", "-q")
    Path("file").write_text("1")
    git("add", "file")
    git("commit", "-q", "-m", "one")
    commit = git("rev-parse", "--short", "HEAD")
    shutil.rmtree("out")
    names["BuildPy"]().run()
    assert Path("out/tidal/build.txt").read_text() == f"{commit}\n"
    Path("file").write_text("2")
    names["Sdist"]().make_release_tree("packed", [])
    assert Path("packed/tidal/build.txt").read_text() == f"{commit}-dirty\n"
    inside = Path("inside")  # an sdist unpacked below somebody's repository
    inside.mkdir()
    monkeypatch.chdir(inside)
    assert names["commit"]() is None


def test_modules_are_compiled_on_all_processors_or_as_many_as_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    build_ext = setup_module_without_building(monkeypatch)["BuildExt"]
    for named, taken in ((None, os.cpu_count()), (3, 3)):
        command = build_ext()
        command.parallel = named
        command.finalize_options()
        assert command.parallel == taken


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed: no commit to ask for")
def test_what_is_used_in_place_is_dev(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = setup_module_without_building(monkeypatch)
    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "one")
    command = names["BuildPy"]()
    command.editable_mode = True
    command.run()
    assert not Path("out/tidal/build.txt").exists()
