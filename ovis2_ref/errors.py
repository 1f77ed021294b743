"""The project's own errors. A message says what was given, what was expected and what to do."""


class OvisError(Exception):
    """The base of all errors that `ovis2_ref` raises on purpose."""


class ConfigError(OvisError, ValueError):
    """A configuration is contradictory, out of bounds or unknown to this version."""


class InputError(OvisError, ValueError):
    """An argument of a call (a picture, a prompt, a mask, an option) is not usable."""


class CheckpointError(OvisError):
    """A checkpoint folder is missing, damaged, hostile or not an Ovis2."""


class DeviceError(OvisError, RuntimeError):
    """A device was asked for and is not available."""


class MissingFeatureError(OvisError, AttributeError):
    """transformers' class has this attribute and ours does not; the message says what to do instead."""


class MissingNameError(OvisError, ImportError):
    """transformers exports this name and `ovis2_ref` does not; the message says what to do instead."""
