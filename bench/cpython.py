"""CPython's own tests of `threading`, `queue` and `concurrent.futures` under the models: passed, failed, left out.

`python -m bench.cpython`. One line a module, with the number of tests left out for each reason; below it what
failed, and how. Exit code 1 if anything failed. Modules that this Python comes without are named.
"""

from __future__ import annotations

import argparse
import sys
import warnings

from tests.verify import cpython


def main() -> None:
    """Run all modules and print what came of them."""
    argparse.ArgumentParser(prog="python -m bench.cpython").parse_args()
    warnings.simplefilter("ignore")
    here = [module for module in cpython.MODULES if cpython.is_here(module)]
    total = cpython.Tally()
    print(f"{'module':44} {'passed':>7} {'failed':>7}  left out")
    for module in here:
        result = cpython.tally(module)
        _print(module, result)
        total.passed += result.passed
        total.failed.update(result.failed)
        for reason, count in result.left_out.items():
            total.left_out[reason] = total.left_out.get(reason, 0) + count
    _print("all", total)
    for title, text in total.failed.items():
        print(f"\n{title}\n{text}")
    for module in cpython.MODULES:
        if module not in here:
            print(f"this Python comes without {module}")
    sys.exit(bool(total.failed))


def _print(title: str, result: cpython.Tally) -> None:
    reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(result.left_out.items()))
    left = f"{sum(result.left_out.values())}: {reasons}" if reasons else "0"
    print(f"{title:44} {result.passed:>7} {len(result.failed):>7}  {left}")


if __name__ == "__main__":
    main()
