"""The program under test: loading it, the files that belong to it, and the digest that ties schedules to it.

Promises: a target is `module:function` (or a callable); everything wrong with it is one
`UsageError` that says what to type. The digest covers the target's name and the text of every
source file in scope, so a schedule recorded for one text is refused by another.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import shlex
import sys
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from traces.text import PYTEST
from verify import detecting
from verify.abc import Settings, UsageError
from verify.detectors import default_detectors
from verify.importing import imported

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from traces.token import Token
    from verify.abc import Detector

    Body = Callable[..., object]  # type: ignore[explicit-any] # called with the arguments given
    MakeDetectors = Callable[[], list[Detector]]

ATTRIBUTE = "__stage3_scenario__"
NUMBER = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True)
class Program:
    """A target with its scope. `files` are the absolute source files whose loops are counted and text is digested.

    `settings` and `detectors` are what the target asked for (`scenario`), or the defaults; `asked`
    says that it did.
    """

    target: str
    body: Body = field(repr=False)
    files: tuple[str, ...] = ()
    options: Mapping[str, str] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    detectors: MakeDetectors = field(default=default_detectors, repr=False)
    asked: bool = False

    @property
    def digest(self) -> str:
        """16 hex digits over the target, its options and the text of its files.

        Not over the granularity: schedules carry their own.
        """
        hasher = hashlib.blake2b(digest_size=8)
        hasher.update(self.target.encode())
        hasher.update(repr(replace(self.settings, granularity="sync")).encode())
        for name, value in sorted(self.options.items()):
            hasher.update(f"\0{name}={value}".encode())
        for name in self.files:
            hasher.update(b"\0" + Path(name).name.encode() + b"\0")
            hasher.update(_text(name))
        return hasher.hexdigest()

    def watched(self, names: Sequence[str]) -> Program:
        """Return the same program, watched by the detectors of these names besides its own."""
        if not names:
            return self
        wanted = detecting.unique(names)
        detecting.check(wanted)
        own = self.detectors
        options = {**self.options, detecting.OPTION: " ".join(wanted)}
        return replace(self, options=options, detectors=lambda: [*detecting.make(wanted), *own()])

    def by_default(self, granularity: str | None = None) -> Program:
        """Return the same program at the granularity given; else at what it asked for; else at `auto`."""
        if granularity is None and self.asked:
            return self
        return self.at(granularity or "auto")

    def at(self, granularity: str) -> Program:
        """Return the same program at another granularity (see `verify.granularity`)."""
        return replace(self, settings=replace(self.settings, granularity=granularity))


def _text(filename: str) -> bytes:
    try:
        return Path(filename).read_bytes()
    except OSError:
        return b""


@dataclass(frozen=True)
class Scenario:
    """What a target asks for: which packages belong to it, how it is run, who watches."""

    packages: tuple[str, ...] = ()
    settings: Settings = field(default_factory=Settings)
    detectors: MakeDetectors = default_detectors


def scenario(
    *,
    packages: tuple[str, ...] = (),
    settings: Settings | None = None,
    detectors: MakeDetectors = default_detectors,
) -> Callable[[Body], Body]:
    """Decorate a target with the packages in its scope, its settings and its detectors.

    With `packages` given, they alone are the scope; otherwise it is the target's own top package.
    """
    asked = Scenario(packages, settings or Settings(), detectors)

    def mark(body: Body) -> Body:
        setattr(body, ATTRIBUTE, asked)
        return body

    return mark


def load(target: str, packages: Sequence[str] = ()) -> Program:
    """Import `module:function` or `module:function?name=value&...` (keyword arguments, whole numbers as int)."""
    if PYTEST in target:
        raise UsageError(
            f"target {target!r} is a test of pytest's; say pytest {shlex.quote(target)} --replay TOKEN"
        )
    place, _, query = target.partition("?")
    module_name, separator, name = place.partition(":")
    if not separator or not module_name or not name:
        raise UsageError(
            f"target {target!r} is not of the form module:function; type e.g. examples.bank:transfer"
        )
    body = _function(module_name, name)
    arguments = _arguments(target, query)
    _check_call(target, body, arguments)
    refuse_lazy(target, body)
    for package in packages:
        sources(package)
    return of(body, target, packages, arguments)


def _check_call(target: str, body: Body, arguments: Mapping[str, object]) -> None:
    try:
        signature = inspect.signature(body)
    except (TypeError, ValueError):
        return  # a callable that does not say what it takes
    try:
        signature.bind(**arguments)
    except TypeError as error:
        raise UsageError(
            f"target {target!r}: {error}; it takes {signature}: give arguments as ?name=value&name=value"
        ) from None
    for name, value in arguments.items():
        given = signature.parameters.get(name)
        if given is not None and given.annotation in {int, "int"} and not isinstance(value, int):
            raise UsageError(
                f"target {target!r}: {name} is {value!r}, no whole number; say for example {name}=2"
            )


def refuse_uncallable(target: str, body: object) -> None:
    """Raise `UsageError` unless `body` can be called with nothing."""
    if not callable(body):
        raise UsageError(f"{body!r} is not a function; give a function without parameters")
    refuse_lazy(target, body)
    try:
        inspect.signature(body).bind()
    except TypeError as error:
        raise UsageError(
            f"{target}: {error}; the body of a check is called with nothing: bind arguments by functools.partial"
        ) from None
    except ValueError:
        return  # a callable that does not say what it takes


def refuse_lazy(target: str, body: Body) -> None:
    """Raise `UsageError` where calling `body` runs nothing of it."""
    code = inspect.unwrap(_function_in(body))
    if inspect.iscoroutinefunction(code) or inspect.isasyncgenfunction(code):
        raise UsageError(
            f"{target} is a coroutine function: called, it runs nothing; "
            "name a function that calls asyncio.run with it"
        )
    if inspect.isgeneratorfunction(code):
        raise UsageError(
            f"{target} is a generator function: called, it runs nothing; name a function that goes through it"
        )


def _function(module_name: str, name: str) -> Body:
    module = imported(module_name)
    body: object = getattr(module, name, None)
    if body is None:
        known = ", ".join(
            sorted(n for n, v in vars(module).items() if callable(v) and not n.startswith("_"))[:12]
        )
        raise UsageError(
            f"module {module_name!r} has no function {name!r}; it has: {known or 'no public function'}"
        )
    if not callable(body):
        raise UsageError(
            f"{module_name}:{name} is a {type(body).__name__}, not a function; name a function"
        )
    return body


def _arguments(target: str, query: str) -> dict[str, object]:
    if not query:
        return {}
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True, max_num_fields=64)
    except ValueError as error:
        raise UsageError(
            f"target {target!r}: {error}; type arguments as ?name=value&name=value"
        ) from None
    return {name: int(value) if NUMBER.fullmatch(value) else value for name, value in pairs}


def of(
    body: Body,
    target: str | None = None,
    packages: Sequence[str] = (),
    arguments: Mapping[str, object] | None = None,
) -> Program:
    """Make a program of a callable and the arguments it is to get."""
    module_name = getattr(body, "__module__", "") or ""
    target = target or f"{module_name}:{getattr(body, '__qualname__', type(body).__name__)}"
    known = hasattr(body, ATTRIBUTE)
    asked = getattr(body, ATTRIBUTE, None) or Scenario()
    if not isinstance(asked, Scenario):
        raise UsageError(
            f"{target}: {ATTRIBUTE} is a {type(asked).__name__}; use the decorator verify.scenario"
        )
    wanted = (*asked.packages, *packages)
    files = scope("" if asked.packages else module_name, wanted)
    bound = partial(body, **arguments) if arguments else body
    options = {"packages": " ".join(packages)} if packages else {}
    return Program(target, bound, files, options, asked.settings, asked.detectors, known)


def scope(module_name: str, packages: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the source files in scope: those of the target's top package, and of `packages` and what is below them."""
    tops = [*packages]
    if module_name:
        top = module_name.partition(".")[0]
        tops.append(top if hasattr(sys.modules.get(top), "__path__") else module_name)
    files = set()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if (
            file
            and file.endswith(".py")
            and any(name == top or name.startswith(f"{top}.") for top in tops)
        ):
            files.add(file)
    return tuple(sorted(files))


def of_code(
    body: Body, target: str, packages: Sequence[str] = (), file: str | None = None
) -> Program:
    """Make a program of a callable and the one source file it stands in, or `file`, and of `packages`.

    Unlike `of`, what else happens to be imported makes no difference: a test is the same program
    alone and in its suite.
    """
    code = inspect.unwrap(_function_in(body))
    known = hasattr(code, ATTRIBUTE)
    asked = getattr(code, ATTRIBUTE, None) or Scenario()
    if file is None:
        file = getattr(getattr(code, "__code__", None), "co_filename", None)
    own = {file} if file and Path(file).is_file() else set()
    files = own.union(*map(sources, (*asked.packages, *packages)))
    options = {"packages": " ".join(packages)} if packages else {}
    return Program(
        target, body, tuple(sorted(files)), options, asked.settings, asked.detectors, known
    )


def _function_in(body: Body) -> Body:
    while isinstance(body, partial):
        body = body.func
    return body


def sources(package: str) -> set[str]:
    """Return the source files of a package (all below it) or module, whether imported or not."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        spec = None
    if spec is None:
        raise UsageError(
            f"no package {package!r} on the path; name one that the program under test imports"
        )
    places = spec.submodule_search_locations
    if places is None:
        return {spec.origin} if spec.origin is not None and spec.origin.endswith(".py") else set()
    return {str(path) for place in places for path in Path(place).rglob("*.py")}


def refuse_other(program: Program, token: Token) -> None:
    """Raise `UsageError` when `token` does not belong to this text of `program`, or to another Python."""
    if token.program_digest != program.digest:
        raise UsageError(
            f"this schedule was recorded on another text of {program.target} (digest {token.program_digest}, "
            f"now {program.digest}), or with other packages or detectors; check that text out, or explore again"
        )
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if token.python and token.python != own:
        raise UsageError(
            f"this schedule has granularity {token.granularity} and belongs to Python {token.python}, not {own}; "
            f"run it with python{token.python}, or explore again"
        )
