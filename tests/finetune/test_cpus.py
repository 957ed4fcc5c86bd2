"""A quota of the control group counts as the number of processors, in both versions, and the user's word wins."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from finetune import cpus


def plant(root, cgroup: str, **files: str):
    """Writes `proc/self/cgroup`, and files below `sys/fs/cgroup`, in whose names `__` stands for `/`."""
    for path, text in {"proc/self/cgroup": cgroup, **{f"sys/fs/cgroup/{k}": v for k, v in files.items()}}.items():
        file = root / path.replace("__", "/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return root


@pytest.mark.parametrize(
    ("cgroup", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2.0),
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 0.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, None),
        ("0::/a/b\n", {"a__b__cpu.max": "max 100000", "a__cpu.max": "300000 100000", "cpu.max": "max 100000"}, 3.0),
        ("0::/a/b\n", {"a__b__cpu.max": "400000 100000", "a__cpu.max": "300000 100000"}, 3.0),
        ("0::/docker/0123\n", {"cpu.max": "150000 100000"}, 1.5),
        (
            "4:memory:/\n3:cpu,cpuacct:/pod\n0::/pod\n",
            {"cpu,cpuacct__pod__cpu.cfs_quota_us": "200000", "cpu,cpuacct__pod__cpu.cfs_period_us": "50000"},
            4.0,
        ),
        ("1:cpu:/\n", {"cpu__cpu.cfs_quota_us": "-1\n", "cpu__cpu.cfs_period_us": "100000\n"}, None),
        ("3:cpuacct,cpu:/x\n", {"cpu__cpu.cfs_quota_us": "100000", "cpu__cpu.cfs_period_us": "100000"}, 1.0),
        ("4:cpuset:/\n", {"cpuset__cpu.cfs_quota_us": "100000", "cpuset__cpu.cfs_period_us": "100000"}, None),
        ("0::/x\n", {"unified__x__cpu.max": "100000 100000"}, 1.0),
        ("0::/\n", {"cpu.max": "nonsense"}, None),
        ("0::/\n", {"cpu.max": "200000 0"}, None),
        ("", {}, None),
    ],
)
def test_the_tightest_limit_of_either_version_counts(tmp_path, cgroup, files, expected):
    assert cpus.quota(plant(tmp_path, cgroup, **files)) == expected


def test_a_host_without_control_groups_has_no_quota(tmp_path):
    assert cpus.quota(tmp_path) is None


@pytest.mark.parametrize(
    ("schedulable", "quota", "expected"), [(64, 2.0, 2), (64, 1.5, 2), (64, 0.1, 1), (2, 8.0, 2), (3, None, 3)]
)
def test_a_part_of_a_processor_counts_as_one(schedulable, quota, expected):
    assert cpus.within_quota(schedulable, quota) == expected


def test_libraries_are_told_only_of_what_they_do_not_see():
    assert set(cpus.thread_limits(64, 2.0).values()) == {"2"}
    assert cpus.thread_limits(2, 2.0) == cpus.thread_limits(2, None) == {}


def test_the_variables_of_the_user_win(monkeypatch):
    for name in cpus.THREAD_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.setattr(cpus, "quota", lambda: 0.5)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    cpus.limit_threads()
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert os.environ["TF_NUM_INTRAOP_THREADS"] == os.environ["OPENBLAS_NUM_THREADS"] == "1"


def test_importing_anything_of_ours_tells_them(tmp_path):
    """In a fresh process that believes to be in a container, before NumPy or TensorFlow can have been imported."""
    script = (
        "import json, os, pathlib, sys\n"
        "read = pathlib.Path.read_text\n"
        "planted = {'/proc/self/cgroup': '0::/\\n', '/sys/fs/cgroup/cpu.max': '300000 100000\\n'}\n"
        "pathlib.Path.read_text = lambda path, **kw: planted.get(str(path)) or read(path, **kw)\n"
        "os.sched_getaffinity = lambda _: set(range(64))\n"
        "import finetune\n"
        "from finetune import cpus\n"
        "print(json.dumps([{name: os.environ[name] for name in cpus.THREAD_VARIABLES}, cpus.available(),\n"
        "    [name for name in ('numpy', 'tensorflow') if name in sys.modules]]))\n"
    )
    environment = {name: value for name, value in os.environ.items() if name not in cpus.THREAD_VARIABLES}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment, cwd=tmp_path
    )
    told, available, heavy = json.loads(done.stdout)
    assert told == dict.fromkeys(cpus.THREAD_VARIABLES, "3")
    assert (available, heavy) == (3, [])
