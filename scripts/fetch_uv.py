"""Fetches uv from the package index with the standard library alone, for a Python without pip (as on bare Debian).

Usage: python3 fetch_uv.py VERSION FOLDER     puts FOLDER/uv there

The index is UV_DEFAULT_INDEX, UV_INDEX_URL or PIP_INDEX_URL, in that order, else PyPI.
"""

import base64
import hashlib
import html.parser
import io
import os
import pathlib
import platform
import sys
import urllib.parse
import urllib.request
import zipfile

PYPI = "https://pypi.org/simple"


def index_url(environment):
    """The "simple" index to ask, without a trailing slash."""
    for name in ("UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"):
        if environment.get(name):
            # uv also takes NAME=URL.
            return environment[name].split("=", 1)[-1].rstrip("/")
    return PYPI


def wheel_name(version, machine):
    return f"uv-{version}-py3-none-manylinux_2_17_{machine}.manylinux2014_{machine}.whl"


def download(url):
    """Returns (content, final URL). A user and password in the URL are sent as basic authentication."""
    parts = urllib.parse.urlsplit(url)
    headers = {"Accept": "text/html", "User-Agent": "finetune-pipeline-setup"}
    if parts.username:
        login = f"{urllib.parse.unquote(parts.username)}:{urllib.parse.unquote(parts.password or '')}"
        headers["Authorization"] = "Basic " + base64.b64encode(login.encode()).decode()
        url = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=120) as answer:
        return answer.read(), answer.url


class Links(html.parser.HTMLParser):
    """Collects the targets of a page's links."""

    def __init__(self):
        super().__init__()
        self.targets = []

    def handle_starttag(self, tag, attributes):
        target = dict(attributes).get("href")
        if tag == "a" and target:
            self.targets.append(target)


def find_wheel(page, page_url, name):
    """Returns (URL, SHA-256 or None) of the wheel `name` on an index page, or None when it is not listed."""
    links = Links()
    links.feed(page)
    for target in links.targets:
        url, _, fragment = urllib.parse.urljoin(page_url, target).partition("#")
        if urllib.parse.unquote(url.rpartition("/")[2]) == name:
            return url, fragment[len("sha256=") :] if fragment.startswith("sha256=") else None
    return None


def extract_uv(wheel, folder):
    """Puts the `uv` program of a wheel (bytes) into a folder."""
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        (member,) = [name for name in archive.namelist() if name.endswith(".data/scripts/uv")]
        folder.mkdir(parents=True, exist_ok=True)
        program = folder / "uv"
        program.write_bytes(archive.read(member))
        program.chmod(0o755)


def main(version, folder):
    name = wheel_name(version, platform.machine())
    page_url = index_url(os.environ) + "/uv/"
    shown = urllib.parse.urlsplit(page_url)
    shown = shown._replace(netloc=shown.netloc.rpartition("@")[2]).geturl()
    try:
        page, final_url = download(page_url)
        found = find_wheel(page.decode(), page_url if "@" in page_url else final_url, name)
        if found is None:
            sys.exit(f"{shown}: expected a link to {name}, found none. Is this a complete package index?")
        url, digest = found
        wheel, _ = download(url)
    except OSError as error:
        sys.exit(f"{shown}: {error}. Set UV_DEFAULT_INDEX or PIP_INDEX_URL if this machine uses another package index.")
    received = hashlib.sha256(wheel).hexdigest()
    if digest and received != digest:
        sys.exit(f"{name}: got a file with SHA-256 {received}, but the index says {digest}. Try again.")
    extract_uv(wheel, pathlib.Path(folder))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
