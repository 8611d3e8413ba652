"""Configurations of training: read from a file, changed by options, and written with comments."""

import difflib
import inspect
import json
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from ..errors import shorten, summarize_validation
from ..modalities import adding, describe_added, read_modalities
from ..network.files import MAX_TEXT_BYTES, read_file
from ..network.plain_yaml import PlainLoader, read_yaml
from ..showing import flatten

Config = dict[str, Any]
"""Section ("settings", "architecture", "preprocessing") -> its dataclass, validated."""

_PARAMETER = re.compile(r"^(\w+(?:, \w+)*) : (.+)$")
_WIDTH = 100
_MODALITIES = "modalities"
"""Section with definitions of modalities that are not built in, also in `training.json`."""


class _Loader(PlainLoader):
    """A loader that takes 1e-4 for a number, which in YAML 1.1 is a text, and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Refuse keys that are given twice, of which YAML takes the last."""
        keys = [key.value for key, _ in node.value]
        if twice := sorted({str(key) for key in keys if keys.count(key) > 1}):
            raise ValueError(f"it has {shorten(', '.join(twice))} twice")
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    """A dumper that quotes texts which the loader would take for numbers."""


for _kind in (_Loader, _Dumper):
    _kind.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?\d+(?:\.\d*)?[eE][-+]?\d+$"),
        list("-+0123456789"),
    )


def _check_keys(given: Any, section: Any, place: str) -> None:
    """Refuse what is not a mapping, and unknown keys, with a suggestion."""
    if not isinstance(given, dict):
        raise ValueError(
            f"{place} should be a section of names and values, got {shorten(_show(given), 60)}"
        )
    known = [one.name for one in fields(section)] if is_dataclass(section) else list(section)
    for key in given:
        if key not in known:
            close = difflib.get_close_matches(str(key), known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it takes {', '.join(known)}"
            raise ValueError(f"{place} has {shorten(repr(key), 60)}, which is not known ({hint})")


def _merge(section: Any, given: Any, place: str) -> dict[str, Any]:
    """Put given values in the place of those of a dataclass, also in the dataclasses within it."""
    _check_keys(given, section, place)
    values = asdict(section)
    for key, value in given.items():
        inner = getattr(section, key)
        values[key] = _merge(inner, value, f"{place}.{key}") if is_dataclass(inner) else value
    return values


def _validate(kind: type, values: Mapping[str, Any]) -> Any:
    """Make a dataclass from what YAML holds; as in JSON, a list is a tuple."""
    try:
        return TypeAdapter(kind).validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as error:
        raise ValueError(summarize_validation(error)) from error
    except TypeError as error:
        raise ValueError("it has a key that is neither a text nor a number") from error


def _merge_sections(defaults: Config, given: Any) -> Config:
    """Put given values in the place of defaults, section by section."""
    unknown = {"architecture", "preprocessing"} - set(defaults)
    if isinstance(given, dict) and (others := sorted(unknown & set(given))):
        raise ValueError(
            f"it has {' and '.join(others)}, which fine-tuning takes from the initial weights; "
            "leave it out"
        )
    _check_keys(given, defaults, "it")
    merged = {
        name: _merge(defaults[name], {} if values is None else values, name)
        for name, values in given.items()
    }
    return defaults | {n: _validate(type(defaults[n]), values) for n, values in merged.items()}


def read_config(path: Path, defaults: Config) -> Config:
    """Read a configuration.

    Parameters
    ----------
    path : Path
        A YAML file with some of the sections, each with some of its settings.
    defaults : dict
        The sections, with the values of settings that the file does not have.

    Returns
    -------
    config : dict
        The sections.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not valid; the message names the setting.
    """
    content = _read_content(path.expanduser())
    try:
        given = read_yaml(content.decode("utf-8-sig"), _Loader)
        # The other sections name them.
        added = given.pop(_MODALITIES, []) if isinstance(given, dict) else []
        with adding(read_modalities(added)):
            return _merge_sections(defaults, {} if given is None else given)
    except (ValueError, RecursionError) as error:
        is_deep = isinstance(error, RecursionError)
        reason = "it is nested too deeply" if is_deep else str(error).removesuffix(".")
        raise ValueError(
            f"{path} is not a valid configuration: {reason}. Correct it, or write a new one with "
            "`mne-wav2sleep write-config`."
        ) from error


def _read_content(path: Path) -> bytes:
    """Read a file; refuse, in words that fit a configuration, what cannot be one."""
    if not path.exists():
        raise FileNotFoundError(
            f"There is no configuration {path}. Write one with `mne-wav2sleep write-config`."
        )
    if path.is_dir():
        raise ValueError(
            f"{path} is a folder, not a configuration. Write that of a model with `mne-wav2sleep "
            f"write-config FILE --from {path}`."
        )
    if (size := path.stat().st_size) > MAX_TEXT_BYTES:
        raise ValueError(
            f"{path} has {size:,} bytes, but a configuration has {MAX_TEXT_BYTES:,} at most. Write "
            "one with `mne-wav2sleep write-config`."
        )
    return read_file(path, MAX_TEXT_BYTES)


def read_run_config(run: Mapping[str, Any], defaults: Config) -> Config:
    """Read the configuration of an earlier run from its ``training.json``.

    Parameters
    ----------
    run : mapping
        The contents of the file.
    defaults : dict
        The sections.

    Returns
    -------
    config : dict
        The sections.

    Raises
    ------
    ValueError
        If it is not valid; the message names the setting.
    """
    names = {"settings": "settings", "architecture": "config", "preprocessing": "preprocessing"}
    with adding(read_modalities(run.get(_MODALITIES, []))):
        return _merge_sections(defaults, {ours: run.get(names[ours]) for ours in defaults})


def change_config(config: Config, assignments: Sequence[str]) -> Config:
    """Change a configuration by assignments.

    Parameters
    ----------
    config : dict
        The sections.
    assignments : sequence of str
        ``"name=value"``, in which the value is YAML, and the name is that of a setting, with dots
        for those within others: ``masking.drop.ECG=0.3``, ``architecture.epoch_mixer=concat``.

    Returns
    -------
    config : dict
        The sections.

    Raises
    ------
    ValueError
        If an assignment is not valid; the message names the setting.
    """
    values: dict[str, Any] = {name: asdict(section) for name, section in config.items()}
    for assignment in assignments:
        name, _, text = assignment.partition("=")
        *parents, last = name.split(".")
        if name.split(".")[0] not in config:
            parents = ["settings", *parents]
        place: Any = values
        for parent in parents:
            place = place.get(parent) if isinstance(place, dict) else None
        # The keys of a mapping, such as masking.drop, can be new; names of settings cannot.
        is_free = ".".join(parents) in _list_mappings(config)
        if not text or not isinstance(place, dict) or not (last in place or is_free):
            known = [f"{k}={v}" for k, v in _list_settings(config)]
            raise ValueError(
                f"takes name=value for a setting, got {shorten(assignment)!r}. Settings: "
                f"{', '.join(known)}"
            )
        try:
            place[last] = read_yaml(text, _Loader)
        except ValueError as error:
            raise ValueError(f"{assignment} has no value that YAML can read") from error
    return _merge_sections(config, values)


def _list_mappings(config: Config) -> list[str]:
    """List the settings that are mappings with keys of any name, by their names with dots."""
    values = flatten(config, keep_mappings=True)
    return [name for name, value in values.items() if isinstance(value, Mapping)]


def _list_settings(config: Config) -> list[tuple[str, str]]:
    """List settings as they are assigned, with their values."""
    return [
        (name.removeprefix("settings."), _show(value))
        for name, value in flatten(config, keep_mappings=True).items()
    ]


def _show(value: Any) -> str:
    """Write a value as YAML, on one line."""
    data = json.loads(json.dumps(value, default=str))  # a tuple as a list
    text = yaml.dump(data, Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=10_000)
    return text.removesuffix("...\n").strip()


def format_config(config: Config) -> str:
    """Write a configuration as YAML, with the meaning of each setting as a comment.

    Parameters
    ----------
    config : dict
        The sections.

    Returns
    -------
    text : str
        YAML that :func:`read_config` reads as the same configuration.
    """
    lines = [
        "# A configuration of training, for `mne-wav2sleep train` or `fine-tune` with --config.",
        "# What is left out has its default value.",
    ]
    for name, section in config.items():
        lines += ["", f"{name}:", *_format_section(section, "  ")]
    architecture = config.get("architecture")
    added = describe_added(architecture.signals) if architecture else {}
    for one in added.get(_MODALITIES, []):
        lines += [] if f"{_MODALITIES}:" in lines else ["", f"{_MODALITIES}:"]
        lines += [f"- {_show(one)}"]
    return "\n".join(lines) + "\n"


def _format_section(section: Any, indent: str) -> Iterator[str]:
    """Write the settings of a dataclass, under comments from its docstring."""
    meanings = _read_docstring(type(section))
    commented = set()
    for one in fields(section):
        names, meaning = meanings.get(one.name, ((one.name,), ""))
        if meaning and names not in commented:
            heading = f"{', '.join(names)}: " if len(names) > 1 else ""
            yield from textwrap.wrap(
                heading + meaning,
                _WIDTH,
                initial_indent=f"{indent}# ",
                subsequent_indent=f"{indent}# ",
                break_on_hyphens=False,
            )
        commented.add(names)
        value = getattr(section, one.name)
        if is_dataclass(value):
            yield f"{indent}{one.name}:"
            yield from _format_section(value, indent + "  ")
        else:
            yield f"{indent}{one.name}: {_show(value)}"


def _read_docstring(kind: type) -> dict[str, tuple[tuple[str, ...], str]]:
    """Read the parameters of a docstring: name -> the names described together, the description."""
    text = inspect.getdoc(kind) or ""  # none with python -OO
    found: dict[str, tuple[tuple[str, ...], str]] = {}
    names: tuple[str, ...] = ()
    for line in text.partition("Parameters\n----------\n")[2].split("\n"):
        if not line:
            break
        if parameter := _PARAMETER.match(line):
            names = tuple(parameter[1].split(", "))
            found |= dict.fromkeys(names, (names, ""))
        else:
            plain = line.strip().replace("``", "").replace("None", "null")
            found |= dict.fromkeys(names, (names, f"{found[names[0]][1]} {plain}".strip()))
    return found
