"""Copies of networks, fast enough to build one for every candidate of a search."""

import copy

from torch import Tensor, nn

__all__ = ["copy_module"]


def copy_module(module: nn.Module, copies: dict[int, object]) -> nn.Module:
    """Does what ``copy.deepcopy(module, copies)`` does, in about a quarter of the time.

    Modules carry many empty dictionaries, and buffers copy their storage in Python: these are what takes the time.

    Args:
        module: what to copy, with its parameters, buffers, modules and attributes.
        copies: the copy of each object that already has one, by ``id``; grows. An entry made beforehand puts another
            object in the place of a module, which is then never visited.
    """
    if id(module) not in copies and not hasattr(type(module), "__deepcopy__"):
        clone = module.__new__(type(module))
        copies[id(module)] = clone
        for name, value in vars(module).items():
            if name == "_modules":
                vars(clone)[name] = {key: child and copy_module(child, copies) for key, child in value.items()}
            elif name == "_buffers":
                vars(clone)[name] = {key: _copy_buffer(buffer, copies) for key, buffer in value.items()}
            elif isinstance(value, dict) and not value:
                vars(clone)[name] = value.copy()
            else:
                vars(clone)[name] = copy.deepcopy(value, copies)
    result: nn.Module = copy.deepcopy(module, copies)
    return result


def _copy_buffer(buffer: Tensor | None, copies: dict[int, object]) -> object:
    return None if buffer is None else copies.setdefault(id(buffer), buffer.detach().clone())
