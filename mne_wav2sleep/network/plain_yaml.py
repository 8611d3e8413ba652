"""YAML as plain data: no code, and nothing that unfolds without end."""

from typing import Any

import yaml


class PlainLoader(yaml.SafeLoader):
    """A safe loader without references to lists and mappings, which can unfold without end."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Refuse references to anything but single values."""
        is_reference = self.check_event(yaml.AliasEvent)
        node = super().compose_node(parent, index)
        if is_reference and not isinstance(node, yaml.ScalarNode):
            raise ValueError("it refers to a list or section by an anchor (*name); write it out")
        return node


def read_yaml(text: str, loader: type[PlainLoader] = PlainLoader) -> Any:
    """Parse YAML as data.

    Parameters
    ----------
    text : str
        The text.
    loader : type
        The loader.

    Returns
    -------
    data : object
        The data.

    Raises
    ------
    ValueError
        If it is not valid YAML, or refers to lists and mappings by anchors. The error says where,
        but does not repeat the text.
    """
    try:
        return yaml.load(text, loader)  # noqa: S506 - a subclass of SafeLoader
    except (yaml.YAMLError, LookupError, TypeError, AttributeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark else ""
        raise ValueError(f"it is not valid YAML{where}") from error
