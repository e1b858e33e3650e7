"""Settings as frozen dataclasses: explained fields, to and from plain values, read and checked.

A field's `help` text is the one place where a setting is explained: the command line's `--help`
is made from it. `options`, `nn.architecture` and `recipes` hold the settings themselves.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import operator
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar

from captioner.errors import ConfigError, shown

T = TypeVar("T")
Setting = tuple[str, dataclasses.Field[Any], Any]  # dotted place, field, default


def setting(
    default: Any,
    help: str,
    *,
    choices: Sequence[Any] = (),
    unit: str = "",
    within: tuple[float, float] | None = None,
    slider: tuple[float, float, float] | None = None,
    served: int | None = None,
) -> Any:
    """A dataclass field with the sentence that explains it and, where they exist, its limits.

    Args:
        default: the value, or what makes it.
        help: the sentence.
        choices: the values that may be chosen.
        unit: of a number.
        within: the least and the largest value, for `in_range`.
        slider: the least and the largest value that a page offers, and the step between two.
        served: the largest value that a server works with for strangers.
    """
    metadata = {
        "help": help,
        "choices": tuple(choices),
        "unit": unit,
        "within": within,
        "slider": slider,
        "served": served,
    }
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def written_down() -> Any:
    """A hidden field, which `from_dict` fills with the settings of the model that it was given."""
    about = "settings of the model that were written down, by dotted name; no setting itself"
    return dataclasses.field(
        default=(), compare=False, repr=False, metadata={"help": about, "hidden": True}
    )


def from_dict(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Builds the settings `cls` from plain values, as TOML and JSON give them.

    Args:
        cls: one of the dataclasses here.
        values: names to values; left-out names keep their defaults.
        where: dotted place of `values`, for messages.

    Raises:
        ConfigError: a name is unknown (with the nearest one), a value is of the wrong type or out
            of range.
    """
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where or cls.__name__} is {values!r}; expected a table of settings")
    hints = _hints(cls)
    for name in values:
        if name not in hints:
            raise ConfigError(_unknown(name, tuple(hints), where))
    given = tuple(flat(values.get("model", {})))
    values = _completed(cls, values)
    settings = {k: _convert(hints[k], v, f"{where}.{k}" if where else k) for k, v in values.items()}
    for entry in fields(cls):  # type: ignore[arg-type]
        choices = entry.metadata.get("choices")
        if choices and entry.name in settings and settings[entry.name] not in choices:
            place = f"{where}.{entry.name}" if where else entry.name
            listed = ", ".join(map(str, choices))
            raise ConfigError(f"{place} is {settings[entry.name]!r}; expected one of {listed}")
    if any(entry.name == "given" for entry in fields(cls)):  # type: ignore[arg-type]
        settings["given"] = given
    return cls(**settings)


def _completed(cls: Any, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, where each table says no more than what differs from the default of `cls`."""
    made: dict[str, Any] = {entry.name: entry.default_factory for entry in fields(cls)}
    hints = _hints(cls)
    return {
        name: {**dataclasses.asdict(made[name]()), **value}
        if isinstance(value, Mapping) and is_dataclass(hints[name])
        else value
        for name, value in values.items()
    }


def to_dict(settings: Any) -> dict[str, Any]:
    """The settings as plain values that JSON and TOML can hold; `from_dict` reads them back."""
    hidden = {entry.name for entry in fields(settings) if entry.metadata.get("hidden")}
    return {k: _plain(v) for k, v in dataclasses.asdict(settings).items() if k not in hidden}


def flat(values: Any, place: str = "") -> dict[str, Any]:
    """Plain values by their dotted places, those of nested tables and lists too."""
    if isinstance(values, Mapping):
        pairs = [(f"{place}.{k}" if place else str(k), v) for k, v in values.items()]
    elif isinstance(values, list):
        pairs = [(f"{place}.{i}", v) for i, v in enumerate(values)]
    else:
        return {place: values}
    return {k: v for name, value in pairs for k, v in flat(value, name).items()}


def groups(recipe: Any) -> Iterator[tuple[str, str, list[Setting]]]:
    """A recipe's settings by table: heading, what it is about, (dotted place, field, default)."""
    tables: dict[str, tuple[str, list[Setting]]] = {}

    def walk(cls: Any, values: Any, place: str, table: str, about: str) -> None:
        hints = typing.get_type_hints(cls)
        own = tables.setdefault(table, (about, []))[1]
        for entry in fields(cls):
            if entry.metadata.get("hidden"):
                continue
            kind, dotted = hints[entry.name], f"{place}{entry.name}"
            default: Any = entry.default if values is None else getattr(values, entry.name)
            heading, text = f"{table.strip('[]')}.{entry.name}".strip("."), entry.metadata["help"]
            if is_dataclass(kind):
                walk(kind, default, f"{dotted}.", heading, text)
            elif typing.get_origin(kind) is tuple:
                first, item = default[0] if default else None, typing.get_args(kind)[0]
                if is_dataclass(item):
                    walk(item, first, f"{dotted}.0.", f"[{heading}]", text)
                else:
                    own.append((f"{dotted}.0", entry, first))
            else:
                own.append((dotted, entry, default))

    walk(recipe, recipe(), "", "", "")
    for table, (about, settings) in tables.items():
        if settings:
            many = "; .1., .2., … for more of them" if table.startswith("[") else ""
            yield (f"[{table}]" if table else "recipe", about + many, settings)


def override(values: dict[str, Any], path: str, text: str, cls: Any) -> None:
    """Sets `path` (`training.batch_size`, `phases.0.epochs`) in `values` to what `text` spells.

    Args:
        values: settings as plain values; changed in place.
        path: dotted place; a number picks one of a list, one past its end adds to it.
        text: the value as typed: a number, true, false or text.
        cls: the settings that `values` are to become.

    Raises:
        ConfigError: the place does not exist.
    """
    node: Any = values
    steps = path.split(".")
    for depth, step in enumerate(steps):
        last = depth == len(steps) - 1
        if _is_list(cls):
            item, cls = _item(node, cls, step, path), typing.get_args(cls)[0]
            if last and not is_dataclass(cls):
                node[int(step)] = _spelt(cls, text, path)
            node = item
            continue
        if not is_dataclass(cls) or step not in _hints(cls):
            known = tuple(_hints(cls)) if is_dataclass(cls) else ()
            raise ConfigError(_unknown(step, known, ".".join(steps[:depth])))
        cls = _hints(cls)[step]
        if last:
            node[step] = _spelt(cls, text, path)
        else:
            node = node.setdefault(step, [] if _is_list(cls) else {})
    if _is_list(cls) or is_dataclass(cls):
        raise ConfigError(f"--{path} holds several settings; name one of them, e.g. --{path}.…")


def _item(node: list[Any], cls: Any, step: str, path: str) -> Any:
    if not step.isdigit() or int(step) > len(node):
        raise ConfigError(
            f"--{path}: {step!r} is no place in a list of {len(node)}; expected 0 to {len(node)}"
        )
    if int(step) == len(node):
        node.append({})
    return node[int(step)]


def _spelt(cls: Any, text: str, path: str) -> Any:
    try:
        if cls is bool:
            return {"true": True, "false": False}[text.lower()]
        return cls(text) if cls in (int, float, str) else text
    except (KeyError, ValueError):
        kind = {bool: "true or false", int: "a whole number", float: "a number"}[cls]
        raise ConfigError(f"--{path} is {shown(text)}; expected {kind}") from None


def _convert(kind: Any, value: Any, where: str) -> Any:
    if is_dataclass(kind):
        settings: Any = kind
        return value if isinstance(value, settings) else from_dict(settings, value, where)
    if _is_list(kind):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ConfigError(f"{where} is {shown(value)}; expected a list")
        item = typing.get_args(kind)[0]
        return tuple(_convert(item, v, f"{where}.{i}") for i, v in enumerate(value))
    if kind is float and not isinstance(value, bool) and isinstance(value, (int, float)):
        if not abs(value) < math.inf or (number := as_float(value)) is None:
            raise ConfigError(f"{where} is {shown(value)}; expected a finite number")
        return number
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigError(f"{where} is {shown(value)}; expected {_kind(kind)}")
    return value


def _kind(kind: Any) -> str:
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return names.get(kind, str(kind))


def _is_list(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple


def _hints(cls: Any) -> Mapping[str, Any]:
    hidden = {entry.name for entry in fields(cls) if entry.metadata.get("hidden")}
    return {k: v for k, v in typing.get_type_hints(cls).items() if k not in hidden}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    return [_plain(v) for v in value] if isinstance(value, (tuple, list)) else value


def _unknown(name: str, known: Sequence[str], where: str) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
    return f"{where + '.' if where else ''}{name} is no setting; {hint}"


def field_of(cls: Any, name: str) -> dataclasses.Field[Any]:
    """The dataclass field of a setting, with the metadata that `setting` gave it."""
    return next(entry for entry in fields(cls) if entry.name == name)


def is_whole(entry: dataclasses.Field[Any]) -> bool:
    """Whether a setting is a whole number."""
    return entry.type in ("int", int)


def check_positive(settings: Any, *names: str, most: float = math.inf) -> None:
    """Refuses what is not above 0, or above the most that can be worked with.

    Raises:
        ConfigError: one of the fields called `names` is.
    """
    for name in names:
        value = getattr(settings, name)
        if not value > 0:
            raise ConfigError(f"{name} is {value}; expected a number above 0")
        if value > most:
            raise ConfigError(f"{name} is {shown(value)}; expected at most {most:,}")


def check_not_negative(settings: Any, *names: str) -> None:
    """Refuses what is below 0.

    Raises:
        ConfigError: one of the fields called `names` is.
    """
    for name in names:
        if not getattr(settings, name) >= 0:
            raise ConfigError(f"{name} is {getattr(settings, name)}; expected 0 or more")


def in_range(cls: Any, name: str, value: Any) -> Any:
    """The value of a setting as a plain int or float; NumPy's numbers are as good as Python's.

    Args:
        cls: the settings that it belongs to.
        name: of a field with `within`.
        value: as somebody gave it.

    Raises:
        ConfigError: it is of another type, or out of range.
    """
    entry = field_of(cls, name)
    low, high = entry.metadata["within"]
    whole = is_whole(entry)
    number = as_int(value) if whole else as_float(value)
    if number is None or not low <= number <= high:
        kind = "a whole number" if whole else "a number"
        bounds = f"from {low} to {high}" if whole else f"from {low:g} to {high:g}"
        raise ConfigError(f"{name} is {shown(value)}; expected {kind} {bounds}")
    return number


def as_int(value: Any) -> int | None:
    """A whole number, whatever its type; None for a truth value and for what is none."""
    try:
        return None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        return None


def as_float(value: Any) -> float | None:
    """A number, whatever its type; None for a truth value, a text and for what is none."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        return None
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):  # arrays, tensors, huge numbers
        return None


def check_share(settings: Any, *names: str) -> None:
    """Refuses what is no share from 0 to below 1.

    Raises:
        ConfigError: one of the fields called `names` is none.
    """
    for name in names:
        if not 0 <= getattr(settings, name) < 1:
            raise ConfigError(
                f"{name} is {getattr(settings, name)}; expected a share from 0 to below 1"
            )
