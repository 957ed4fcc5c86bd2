"""What a process runs that trains trials beside the one that searches."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path

from finetune import termination


def main() -> None:
    """Trains trials of the search whose arguments are in a file, until none is left, or nobody searches any more."""
    termination.listen()

    def end_with_the_chief() -> None:
        sys.stdin.read()
        termination.terminate(termination.EXIT_CODE)

    threading.Thread(target=end_with_the_chief, daemon=True).start()
    from tfx.components.trainer.fn_args_utils import FnArgs

    from trainer_module.tuning.recipe import tuner_fn

    tuner_fn(FnArgs(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))


if __name__ == "__main__":
    main()
