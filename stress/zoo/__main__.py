"""`python -m stress.zoo NAME [DEPTH]`: run one program of the zoo, in a child of a child if DEPTH says so.

Exit code 2 and the names for a name that is none. With a depth of 1 the program runs in a child
process that this one waits for, with 2 in a child of a child.
"""

from __future__ import annotations

import subprocess
import sys

from stress.zoo import ZOO

MOST_DEEP = 5


def main(argv: list[str]) -> int:
    """Run the program named; return its exit code."""
    name = argv[0] if argv else ""
    depths = [str(depth) for depth in range(MOST_DEEP + 1)]
    given = argv[1] if len(argv) > 1 else "0"
    if name not in ZOO or len(argv) > 2 or given not in depths:
        sys.stderr.write(
            f"python -m stress.zoo: no program {' '.join(argv)!r}; give one of {', '.join(ZOO)}, "
            f"and behind it, if wanted, a depth of 0 to {MOST_DEEP}\n"
        )
        return 2
    depth = int(given)
    if depth:
        command = [sys.executable, "-m", "stress.zoo", name, str(depth - 1)]
        return subprocess.run(command, check=False).returncode
    ZOO[name].program()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
