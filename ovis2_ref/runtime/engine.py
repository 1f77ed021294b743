"""The context of a call of the model: its GPU is the current one, and its attention the one that was asked for."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from ovis2_ref.runtime.arrays import device_of
from ovis2_ref.runtime.gpu.fused_attention import fused_attention
from ovis2_ref.runtime.memory import keep_freed_memory

Method = TypeVar("Method", bound=Callable[..., Any])


def engaged(method: Method) -> Method:
    """Decorate a method of a model: run it on the GPU of its `anchor`, with attention in one kernel if it `fuses_attention`."""

    @wraps(method)
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        keep_freed_memory()
        with device_of(self.anchor), fused_attention(self.fuses_attention):
            return method(self, *arguments, **options)

    return call  # type: ignore[return-value]
