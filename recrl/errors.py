"""The errors that recrl raises for bad input.

Each message says what was expected, what came, and what to do. The command line prints it on one line and exits with 2.
"""


class RecrlError(ValueError):
    """Input that recrl cannot work with. Subclasses say which kind of input it was."""


class CatalogError(RecrlError):
    """A raw or built catalogue that is missing, incomplete, altered or invalid."""


class DatasetError(RecrlError):
    """A trajectory or preference dataset that is missing, empty, foreign or corrupt."""


class NoPairsError(DatasetError):
    """Episodes of which no preference pair can be made."""


class ConfigError(RecrlError):
    """A configuration with unknown, missing or contradictory fields."""


class CheckpointError(RecrlError):
    """A model folder that is missing, incomplete or corrupt."""


class PolicyError(RecrlError):
    """A policy that is unknown or cannot be used here."""


class TaskError(RecrlError):
    """An environment of one's own, or its goals, that cannot be played; see `recrl.environments`."""


class HubError(RecrlError):
    """A push to or a pull from the Hugging Face Hub that failed."""


class StorageError(RecrlError):
    """A file or folder that could not be written, for example because the disk is full."""


class WorkerError(RecrlError):
    """A process that did a part of the work and was killed; what the others had finished is kept."""
