"""scripts/test_current.sh: what it says without root rights, and that a half-built root is never used."""

import subprocess

import pytest

# Programs that need root and a network, replaced: `debootstrap` succeeds for the mirror that $GOOD names.
FAKES = """
setpriv() { shift 2; "$@"; }
unshare() { while [ "${1#--}" != "$1" ]; do shift; done; "$@"; }
debootstrap() {
  while [ "${1#--}" != "$1" ]; do shift; done
  echo "$3" >>"$LOG"
  [ ! -e "$2/half" ] || echo "met an old attempt" >>"$LOG"
  mkdir -p "$2/etc"
  touch "$2/half"
  [ "$3" = "$GOOD" ]
}
apt-get() { printf '%s\\n' http://deb.example/debian/ http://deb.example/debian-security/ http://deb.example/debian/; }
apt-config() { :; }
"""


@pytest.fixture
def build(shell, tmp_path):
    """Returns `run(good)`: builds <tmp>/root where only the mirror `good` works; gives the result and the tries."""

    def run(good):
        log = tmp_path / "log"
        log.write_text("")
        result = shell("test_current.sh", FAKES + f"build_root {tmp_path}/root", LOG=str(log), GOOD=good)
        return result, log.read_text().splitlines()

    return run


def test_root_is_built_from_the_mirror_apt_uses(build, tmp_path):
    result, tried = build("http://deb.example/debian")
    assert result.returncode == 0, result.stderr
    assert tried == ["http://deb.example/debian"]
    assert (tmp_path / "root/.finetune-complete").exists()
    assert not (tmp_path / "root.partial").exists()


def test_root_is_built_from_debian_when_that_mirror_fails(build, tmp_path):
    result, tried = build("http://deb.debian.org/debian")
    assert result.returncode == 0, result.stderr
    assert tried == ["http://deb.example/debian", "http://deb.debian.org/debian"]
    assert (tmp_path / "root/.finetune-complete").exists()


def test_failed_root_is_not_left_as_one(build, tmp_path):
    result, _ = build("http://nowhere.example")
    assert result.returncode == 1
    assert "FINETUNE_DEBIAN_MIRROR" in result.stderr
    assert not (tmp_path / "root").exists()


def test_half_built_root_is_rebuilt(build, tmp_path):
    for name in ("root", "root.partial"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "half").touch()
    result, tried = build("http://deb.example/debian")
    assert result.returncode == 0, result.stderr
    assert "met an old attempt" not in tried
    assert (tmp_path / "root/.finetune-complete").exists()


def test_only_a_root_with_its_marker_is_complete(shell, tmp_path):
    assert shell("test_current.sh", f"is_complete {tmp_path}").returncode == 1
    (tmp_path / ".finetune-complete").touch()
    assert shell("test_current.sh", f"is_complete {tmp_path}").returncode == 0


def test_without_root_rights_it_says_what_is_missing(shell, tmp_path):
    code = f"""
    id() {{ echo 1000; }}
    root={tmp_path}/none
    command() {{ [ "$2" != debootstrap ]; }}
    need_rights 'glibc 2.36 is older than 2.39'
    """
    result = shell("test_current.sh", code)
    assert result.returncode == 1
    for expected in (
        "glibc 2.36",
        "root rights (got user id 1000)",
        "the program debootstrap",
        "sudo make test-current",
    ):
        assert expected in result.stderr


def test_nothing_is_missing_for_root_with_the_programs(shell):
    assert shell("test_current.sh", "missing_rights 0 sh tar").stdout == ""


def test_copy_holds_what_git_would_track(shell, tmp_path):
    checkout, copy = tmp_path / "checkout", tmp_path / "copy"
    for folder in (checkout / "pipeline", checkout / ".venv", checkout / "cache", copy):
        folder.mkdir(parents=True)
    for name in ("tracked.py", "deleted.py", "pipeline/untracked with space.py", ".venv/ignored", "cache/root"):
        (checkout / name).write_text(name)
    (checkout / ".gitignore").write_text(".venv\n")
    for command in (["init", "-q"], ["add", "tracked.py", "deleted.py", ".gitignore"]):
        subprocess.run(["git", *command], cwd=checkout, check=True)
    (checkout / "deleted.py").unlink()

    result = shell("test_current.sh", f"checkout={checkout}; cache={checkout}/cache; copy_checkout {copy}")

    assert result.returncode == 0, result.stderr
    found = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    assert found == {".gitignore", "tracked.py", "pipeline/untracked with space.py"}


def test_the_hosts_folders_are_not_passed_inside(shell):
    code = "index=; passed_environment"
    settings = {"PIP_INDEX_URL": "https://mirror.example/simple", "UV_CACHE_DIR": "/host", "SSL_CERT_FILE": "/host.pem"}
    lines = shell("test_current.sh", code, **settings).stdout.splitlines()
    assert "PIP_INDEX_URL=https://mirror.example/simple" in lines
    assert "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt" in lines
    assert not [line for line in lines if "/host" in line]
