"""The Python files beside a `module_file` of a component of TFX, which a package carries.

TFX's own runners build a wheel of them where one compiles, and have pip install it where a node runs. A package carries
the text instead: it needs no pip in the image, and no folder that both places share.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from finetune_kubeflow.package.packed import pack_text, unpack_text

# Below the pipeline's root.
CODE_FOLDER = "_code"


@dataclass(frozen=True)
class UserCode:
    """Python files, which are a package of Python where a node runs; its name changes with their content.

    `sources` holds the text of each by its name.
    """

    sources: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name of the package of Python."""
        return f"code_{hashlib.sha256(self._text().encode()).hexdigest()[:12]}"

    def packed(self) -> str:
        """The files as text for a command line."""
        return pack_text(self._text())

    def _text(self) -> str:
        return json.dumps(dict(self.sources), sort_keys=True)


def code_beside(module_file: Path) -> UserCode:
    """Reads the Python files of the folder that a module is in, as TFX does.

    Raises:
        OSError: One cannot be read.
        UnicodeDecodeError: One is no text in UTF-8.
    """
    return UserCode({file.name: file.read_text(encoding="utf-8") for file in module_file.parent.glob("*.py")})


def put_on_path(packed: str, folder: Path) -> None:
    """Writes packed files below a folder, and has this process and those that it starts import them.

    Another process may do the same at the same time.
    """
    code = UserCode(json.loads(unpack_text(packed)))
    place = folder.absolute() / code.name
    place.mkdir(parents=True, exist_ok=True)
    for name, text in code.sources.items():
        if not (place / name).exists():
            with tempfile.NamedTemporaryFile("w", dir=place, delete=False, encoding="utf-8") as file:
                file.write(text)
            os.chmod(file.name, 0o644)
            os.replace(file.name, place / name)
    # The files import each other as they did in their folder.
    added = [str(place.parent), str(place)]
    sys.path += [path for path in added if path not in sys.path]
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([*([before] if before else []), *added])
