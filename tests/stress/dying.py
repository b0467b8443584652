"""A module whose import ends the process: a worker that loads it never gets ready."""

from __future__ import annotations

import os
import sys

sys.stderr.write("dying words\n")
os._exit(3)
