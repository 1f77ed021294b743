"""The context of a call of the model: its GPU is the current one."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from ovis2_ref.runtime.arrays import device_of

Method = TypeVar("Method", bound=Callable[..., Any])


def engaged(method: Method) -> Method:
    """Decorate a method of a model (its `anchor` is an array where it computes): run it with that GPU as the current one."""

    @wraps(method)
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        with device_of(self.anchor):
            return method(self, *arguments, **options)

    return call  # type: ignore[return-value]
