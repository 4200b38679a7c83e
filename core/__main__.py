"""python -m core: the commands are in `core.cli`."""

import os
import signal
import sys

from core.cli.main import main

if __name__ == "__main__":
    # A closed pipe (`| head`) ends the program quietly, as other tools do.
    if hasattr(signal, "SIGPIPE"):
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    sys.exit(main())
