"""What YAML and JSON hold, as Python has it: dictionaries, lists, texts, numbers, booleans and None."""

from typing import Any

Plain = dict[str, Any]
