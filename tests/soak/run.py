"""Runs the soak programs, one after the other, and writes what came of them: JSON and a table.

python tests/soak/run.py --size small --out build/soak          # all programs
python tests/soak/run.py kill --cycles 100000 --out kill.json   # one, with arguments of its own
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

SOAK = Path(__file__).parent
HELPERS = SOAK.parent / "helpers"

PROGRAMS = (
    "crash_states",
    "cluster",
    "io_errors",
    "kill",
    "signals",
    "enospc",
    "power_cut",
    "fsync_failure",
    "bit_flips",
    "sectors",
    "tails",
    "fuzz",
    "memory",
    "replay",
)


def main(argv: Sequence[str]) -> int:
    if argv and argv[0] in PROGRAMS:
        return int(_load(argv[0]).main(argv[1:]))
    parser = argparse.ArgumentParser(prog="run.py", description=__doc__)
    parser.add_argument("--size", choices=("small", "full"), default="small")
    parser.add_argument("--out", type=Path, default=Path("build/soak"), help="the folder of the report")
    parser.add_argument("--only", nargs="+", choices=PROGRAMS, default=PROGRAMS)
    args = parser.parse_args(argv)
    rows = [_run(name, args.size, args.out) for name in args.only]
    (args.out / "report.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    (args.out / "report.md").write_text(_table(rows), encoding="utf-8")
    print(_table(rows))
    return 1 if any(row["outcome"] == "FAILED" for row in rows) else 0


def _load_kit() -> Any:
    return _load("soakkit")


def _load(name: str) -> Any:
    for folder in (str(HELPERS), str(SOAK)):
        if folder not in sys.path:
            sys.path.insert(0, folder)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HELPERS), os.environ.get("PYTHONPATH", "")])
    return importlib.import_module(name)


def _run(name: str, size: str, folder: Path) -> dict[str, Any]:
    """Run one program in a process of its own: what it does to signals and limits ends with it."""
    arguments = _load(name).SIZES[size]
    out = folder / f"{name}.json"
    out.unlink(missing_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    command = f"python tests/soak/run.py {name} {' '.join(arguments)}".rstrip()
    print(f"== {command}", file=sys.stderr, flush=True)
    code = subprocess.call([sys.executable, str(SOAK / "run.py"), name, *arguments, "--out", str(out)])
    result = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {}
    outcome = {0: "good", _load_kit().NOT_HERE: "not run here"}.get(code, "FAILED")
    return {"program": name, "command": command, "outcome": outcome, "exit_code": code, **result}


def _table(rows: Sequence[dict[str, Any]]) -> str:
    lines = ["| program | outcome | seconds | figures | command |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        figures = ", ".join(f"{_figure(value)} {name}" for name, value in row.get("figures", {}).items())
        cells = (row["program"], row["outcome"], str(row.get("seconds", "")), figures, f"`{row['command']}`")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _figure(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
