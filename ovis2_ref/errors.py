"""The project's own errors, raised where input comes in: what was given, what was expected, what to do."""


class OvisError(Exception):
    """Anything that `ovis2_ref` refuses. Its message is one that a user can act on."""


class ConfigError(OvisError, ValueError):
    """A configuration that can't work, or that this version does not know."""


class InputError(OvisError, ValueError):
    """An argument of a call (a picture, a prompt, a mask, an option) that can't be used."""


class CheckpointError(OvisError):
    """A checkpoint folder that is missing, damaged, hostile or not an Ovis2."""


class DeviceError(OvisError, RuntimeError):
    """A device that was asked for and is not there."""


class MissingFeatureError(OvisError, AttributeError):
    """A name that transformers' class has and ours doesn't: the message says what to do instead."""


class MissingNameError(OvisError, ImportError):
    """A name of transformers that the package doesn't have: the message says what to do instead."""
