"""The context of a call of the model: its GPU is the current one; on a CPU, BLAS uses one thread for each product."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar

from ovis2_ref.runtime.arrays import device_of
from ovis2_ref.runtime.threads import one_blas_thread

Method = TypeVar("Method", bound=Callable[..., Any])


def engaged(method: Method) -> Method:
    """Decorate a method of a model (its `anchor` is an array where it computes): run it on that GPU, or with our CPU threads."""

    @wraps(method)
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        with one_blas_thread(), device_of(self.anchor):
            return method(self, *arguments, **options)

    return call  # type: ignore[return-value]
