"""Tensors of another device than the CPU, where no other is there."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor
from torch.utils._pytree import tree_leaves

__all__ = ["Elsewhere"]


class Elsewhere(Tensor):
    """Stands for a tensor of a GPU: it works with no tensor of the CPU, and ``.cpu()`` brings it there."""

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is Tensor.cpu:
            return args[0].as_subclass(Tensor)
        if any(type(leaf) is Tensor for leaf in tree_leaves((args, kwargs))):
            raise RuntimeError("expected all tensors to be on the same device")
        return super().__torch_function__(func, types, args, kwargs)  # type: ignore[no-untyped-call]
