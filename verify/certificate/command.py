"""`stage3 certificate check`, and the option `--certificate` of `stage3 explore`.

Promises: exit codes 0 (valid), 1 (rejected, with what is missing or does not fit), 2 (bad input, or a certificate of
another program, version or granularity), 4 (cannot be judged). A certificate is written whole or not at all.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from traces import store
from traces.certificate import Certificate, CertificateError, from_text, to_text
from traces.errors import InputError
from traces.printing import plain
from verify import program as programs
from verify.abc import UsageError
from verify.certificate.checking import Checked, Judgement, check
from verify.certificate.writing import certificate_of

if TYPE_CHECKING:
    import argparse

    from verify.certificate.writing import Keeping
    from verify.explore import Exploration

CODES = {Judgement.VALID: 0, Judgement.REJECTED: 1, Judgement.UNJUDGED: 4}
BAD_INPUT = 2
EXHAUSTIVE = "dpor"
MOST = 100_000
"""Executions of a search that is to be exhausted and was given no budget."""


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `certificate` to the commands of `stage3`."""
    parser = subparsers.add_parser(
        "certificate", help="check that an exhausted search has left nothing out"
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    checking = actions.add_parser(
        "check", help="run its executions again and judge the set of them"
    )
    checking.add_argument(
        "file", type=Path, metavar="FILE", help="written by explore --certificate"
    )


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add `--certificate` to `stage3 explore`."""
    parser.add_argument(
        "--certificate",
        type=Path,
        metavar="FILE",
        help="write the executions of an exhausted search, for stage3 certificate check "
        f"(default strategy then: {EXHAUSTIVE}, and {MOST:,} executions)",
    )


def fill_in(args: argparse.Namespace, *, divided: bool) -> None:
    """Put the defaults of a search that is to be exhausted; raise `UsageError` for what cannot be certified."""
    if args.certificate is None:
        return
    if divided or args.fair:
        raise UsageError(
            "--certificate needs one search that leaves nothing out: leave "
            f"{'--fair' if args.fair else '--workers, --shard and --resume'} out"
        )
    args.strategy = args.strategy or EXHAUSTIVE
    if args.executions is None and args.seconds is None:
        args.executions = MOST


def write(state: Exploration, keeping: Keeping, path: Path) -> str:
    """Write the certificate of an exploration, if there is one; return the line that says so."""
    made = certificate_of(state, keeping)
    if isinstance(made, str):
        return f"no certificate: {made}"
    store.write_whole(path, to_text(made), "a certificate")
    return f"certificate: stage3 certificate check {path}"


def read(path: Path) -> Certificate:
    """Return the certificate in a file; raise `CertificateError` or `TraceError`."""
    text = store.read_text(path, "give a file that stage3 explore --certificate wrote")
    try:
        return from_text(text)
    except CertificateError as error:
        raise CertificateError(f"{path}: {error.culprit}", error.problem, error.remedy) from None


def run(args: argparse.Namespace) -> int:
    """Check a certificate, say what came of it, and return the exit code."""
    try:
        certificate = read(args.file)
        told = certificate.program
        program = programs.load(told.target, told.options.get("packages", "").split())
        checked = check(certificate, program, _progress if sys.stderr.isatty() else None)
    except (UsageError, InputError) as error:
        print(f"stage3 certificate: {plain(str(error))}", file=sys.stderr)
        return BAD_INPUT
    print(describe(certificate, checked))
    return CODES[checked.judgement]


def describe(certificate: Certificate, checked: Checked) -> str:
    """Say what the check came to, in a few lines; what the file says is shown without its control characters."""
    told = certificate.program
    bound = certificate.preemptions
    what = (
        certificate.method
        if bound is None
        else f"{certificate.method} with at most {bound} preemptions"
    )
    lines = [
        f"{checked.judgement}: {told.target}, {what}, at granularity {told.granularity}",
        f"  {checked.executions:,} executions run again, by {certificate.strategy}, seed {certificate.seed}",
    ]
    if checked.races or checked.probes:
        counted = f"{checked.classes:,} classes{_counted(certificate, checked)}"
        lines += [
            f"  {counted}; {checked.races:,} races, the reverse of each is there",
            f"  {checked.probes:,} runs more to see what is possible",
        ]
    if checked.why:
        lines.append(f"  {checked.why}")
    return "\n".join(map(plain, lines))


def _progress(number: int) -> None:
    if number % 100 == 0:
        print(f"\r{number:,} executions\x1b[K", end="", file=sys.stderr, flush=True)


def _counted(certificate: Certificate, checked: Checked) -> str:
    """What the search counted, if it divides more finely: two tables need not call the same operations dependent."""
    classes = certificate.classes
    return "" if classes in {None, checked.classes} else f" (the search counted {classes:,})"
