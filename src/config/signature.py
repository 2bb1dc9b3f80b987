"""The signature of a ``_target_`` read from its source: importing torch to tell of a wrong key would take seconds."""

import ast
import contextlib
import functools
import importlib.util
import tokenize
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..names import actual


@dataclass(frozen=True)
class Parameter:
    """One argument of a constructor."""

    annotation: ast.expr | None
    required: bool


@dataclass(frozen=True)
class Definition:
    """A class in the module file ``path``."""

    node: ast.ClassDef
    path: Path


class TargetNotFoundError(Exception):
    """No such module or name; the message says which, and what there is instead."""


def signature(target: object) -> dict[str, Parameter]:
    """Argument name -> parameter, of the class at the dotted path ``target``.

    Raises TargetNotFoundError, also for what is no class or has no Python source (built-ins, extensions in C).
    """
    if not isinstance(target, str) or not all(part.isidentifier() for part in target.split(".")):
        raise TargetNotFoundError(f"{target!r:.100} is no dotted path to a class, such as package.module.Class")
    module, _, name = target.rpartition(".")
    if not module:
        raise TargetNotFoundError(f"{target!r:.100} is no dotted path to a class, such as package.module.Class")
    try:
        return _parameters(_find(_module_file(module), name))
    except RecursionError:
        raise TargetNotFoundError("its imports or bases lead back to themselves") from None


def _parameters(definition: Definition) -> dict[str, Parameter]:
    for item in definition.node.body:
        if isinstance(item, ast.FunctionDef) and item.name == "__init__":
            return _of_function(item, definition)
    return _of_bases(definition)


def _of_function(function: ast.FunctionDef, owner: Definition) -> dict[str, Parameter]:
    arguments = function.args
    positional = arguments.posonlyargs + arguments.args
    first_default = len(positional) - len(arguments.defaults)
    parameters = {a.arg: Parameter(a.annotation, i < first_default) for i, a in enumerate(positional)}
    parameters.pop("self", None)
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parameters[argument.arg] = Parameter(argument.annotation, default is None)
    if arguments.kwarg:  # **kwargs go to the base class
        parameters = _of_bases(owner) | parameters
    return parameters


def _of_bases(definition: Definition) -> dict[str, Parameter]:
    for base in definition.node.bases:
        if isinstance(base, ast.Name):
            try:
                return _parameters(_find(definition.path, base.id))
            except TargetNotFoundError:
                continue  # a base from a compiled or foreign module adds no arguments we can read
    return {}


def constant(target: str, name: str) -> Any:
    """The value that the body of the class ``target``, or of a base of it, gives ``name``; None where it gives none.

    It is one that is written out: a number, a text, or a tuple of such.
    """
    module, _, cls = target.rpartition(".")
    try:
        return _constant(_find(_module_file(module), cls), name)
    except TargetNotFoundError:
        return None


def _constant(definition: Definition, name: str) -> Any:
    for item in definition.node.body:
        targets = (
            item.targets if isinstance(item, ast.Assign) else [item.target] if isinstance(item, ast.AnnAssign) else []
        )
        value = getattr(item, "value", None)
        if any(isinstance(one, ast.Name) and one.id == name for one in targets) and value is not None:
            with contextlib.suppress(ValueError):  # no constant, but a calculation
                return ast.literal_eval(value)
    for base in getattr(definition.node, "bases", []):
        if isinstance(base, ast.Name):
            try:
                found = _constant(_find(definition.path, base.id), name)
            except TargetNotFoundError:
                continue
            if found is not None:
                return found
    return None


def _find(path: Path, name: str) -> Definition:
    """``name`` in the module file ``path``, followed through ``from ... import``."""
    tree = _parse(path)
    names = []
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            if node.name == name:
                return Definition(node, path)
            names.append(node.name)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            raise TargetNotFoundError(f"'{name}' in {path.name} is a function, and a class is wanted")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            places = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(place, ast.Name) and place.id == name for place in places):
                raise TargetNotFoundError(f"'{name}' in {path.name} is a value, and a class is wanted")
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if (alias.asname or alias.name) == name and not _is_module(path.parent, name):
                    return _find(_imported_file(node, path), alias.name)
                if alias.name == "*":
                    with contextlib.suppress(TargetNotFoundError):
                        return _find(_imported_file(node, path), name)
    listing = f" (there: {', '.join(names[:8])})" if names else ""
    if path.name == "__init__.py" and _is_module(path.parent, name):
        raise TargetNotFoundError(f"'{name}' is a module; name a class in it")
    raise TargetNotFoundError(f"no '{name}' in {path.name}{listing}")


def _imported_file(node: ast.ImportFrom, path: Path) -> Path:
    if node.level == 0:
        return _module_file(node.module or "")
    folder = path.parent
    for _ in range(node.level - 1):
        folder = folder.parent
    return _below(folder, (node.module or "").split(".") if node.module else [])


@functools.cache
def _parse(path: Path) -> ast.Module:
    try:
        with tokenize.open(path) as file:  # in the encoding that the file itself declares
            return ast.parse(file.read())
    except (OSError, SyntaxError, ValueError) as error:  # ValueError: NUL bytes
        raise TargetNotFoundError(f"{path} cannot be read as Python: {error}") from None


@functools.cache
def _module_file(module: str) -> Path:
    """The file of ``module``; only the top-level package is looked up, nothing is imported."""
    top, *rest = actual(module).split(".")
    try:
        spec: Any = importlib.util.find_spec(top)
    except (ImportError, ValueError):  # ValueError: __main__, which has none
        spec = None
    if spec is None:
        raise TargetNotFoundError(f"no package '{top}'")
    folders = [Path(folder) for folder in spec.submodule_search_locations or []]
    if not folders and not rest and str(spec.origin).endswith(".py"):
        return Path(spec.origin)
    for folder in folders:
        try:
            return _below(folder, rest)
        except TargetNotFoundError as error:
            last = error
    raise last if folders else TargetNotFoundError(f"'{module}' has no Python source that says what its classes take")


def _below(folder: Path, names: list[str]) -> Path:
    place = folder.joinpath(*names)
    for path in (place.with_suffix(".py") if names else place / "__init__.py", place / "__init__.py"):
        if path.is_file():
            return path
    if place.is_dir():
        there = sorted(path.stem for path in place.glob("*.py") if not path.stem.startswith("_"))
        raise TargetNotFoundError(
            f"'{place.name}' is a folder of modules; name a class in one of {', '.join(there[:12])}"
        )
    there = sorted(path.stem for path in place.parent.glob("*.py") if not path.stem.startswith("_"))
    raise TargetNotFoundError(f"no module '{names[-1] if names else folder.name}' (there: {', '.join(there[:12])})")


def _is_module(folder: Path, name: str) -> bool:
    return (folder / f"{name}.py").is_file() or (folder / name).is_dir()


def accepts(annotation: ast.expr | None, value: Any) -> bool:
    """Whether a plain configuration value fits an annotation. What is not a plain type accepts everything."""
    match annotation:
        case ast.Name(id="float"):
            return isinstance(value, int | float) and not isinstance(value, bool)
        case ast.Name(id="int"):
            return isinstance(value, int) and not isinstance(value, bool)
        case ast.Name(id="bool"):
            return isinstance(value, bool)
        case ast.Name(id="str"):
            return isinstance(value, str)
        case ast.Name(id="Tensor" | "timedelta"):
            return False  # no YAML holds one
        case ast.Constant(value=None):
            return value is None
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return accepts(left, value) or accepts(right, value)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return value is None or accepts(inner, value)
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=members)):
            return any(accepts(member, value) for member in members)
        case ast.Subscript(value=ast.Name(id="list" | "Sequence"), slice=inner):
            return isinstance(value, list) and all(accepts(inner, item) for item in value)
        case ast.Name(id="dict") | ast.Subscript(value=ast.Name(id="dict" | "Mapping")):
            return isinstance(value, dict)
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=members)):
            return isinstance(value, list) and len(value) == len(members) and all(map(accepts, members, value))
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            options = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return any(isinstance(option, ast.Constant) and option.value == value for option in options)
    return True


WORDS = {"float": "a number", "int": "an integer", "bool": "true or false", "str": "a text", "dict": "a mapping"}
WORDS |= {"Tensor": "", "timedelta": ""}  # no YAML holds one


def describe(annotation: ast.expr) -> str:
    """An annotation in a user's words: ``int | None`` is "an integer or null"."""
    match annotation:
        case ast.BinOp(op=ast.BitOr(), left=left, right=right):
            return " or ".join(filter(None, (describe(left), describe(right))))
        case ast.Subscript(value=ast.Name(id="list" | "Sequence")):
            return "a list"
        case ast.Subscript(value=ast.Name(id="dict" | "Mapping")):
            return "a mapping"
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return f"{describe(inner)} or null"
        case ast.Subscript(value=ast.Name(id="Union"), slice=ast.Tuple(elts=members)):
            return " or ".join(filter(None, map(describe, members)))
        case ast.Subscript(value=ast.Name(id="tuple"), slice=ast.Tuple(elts=members)):
            return f"a list of {len(members)}: {', '.join(map(describe, members))}"
        case ast.Constant(value=None):
            return "null"
        case ast.Subscript(value=ast.Name(id="Literal"), slice=inner):
            return "one of " + ", ".join(str(ast.literal_eval(option)) for option in getattr(inner, "elts", [inner]))
        case ast.Name(id=name):
            return WORDS.get(name, name)
    return ast.unparse(annotation)
