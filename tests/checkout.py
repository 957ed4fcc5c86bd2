"""Which files belong to the project, wherever its tests run."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
_LEFT_BY_TOOLS = {"__pycache__", "build", "dist", "runs"}


def project_files(*folders: str) -> list[str]:
    """Returns paths below the root: what version control has or would take, or in a copy without it what is there."""
    if (ROOT / ".git").exists():
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", *folders]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        names = [name for name in done.stdout.split("\0") if name]
    else:
        found = [path for folder in folders or (".",) for path in (ROOT / folder).rglob("*")]
        names = [str(path.relative_to(ROOT)) for path in found if path.is_symlink() or path.is_file()]
        names = [name for name in names if not any(_is_left_by_tools(part) for part in Path(name).parts)]
    return sorted(name for name in names if (ROOT / name).exists())


def _is_left_by_tools(part: str) -> bool:
    return (
        part in _LEFT_BY_TOOLS or part.startswith((".pytest", ".ruff", ".mypy", ".venv")) or part.endswith(".egg-info")
    )
