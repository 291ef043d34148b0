"""What ends a local run for reasons that lie outside the study.

LocalError
├── RunDirectoryError   the directory cannot hold this run, or not now
├── CommandError        the server's command cannot be started on this machine
└── LedgerError         the ledger of earlier studies cannot be read or written
"""


class LocalError(Exception):
    """The message says why and what to do."""


class RunDirectoryError(LocalError):
    """A directory that another run uses, that holds something else, or that cannot be written."""


class CommandError(LocalError):
    """The study's command is no program that this machine can start."""


class LedgerError(LocalError):
    """A file of what earlier studies left that cannot be read or written."""
