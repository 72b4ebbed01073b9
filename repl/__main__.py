"""``python -m repl`` is the command ``multigpu-repl``."""

import sys

from repl.cli import main

sys.exit(main())
