"""What keeps a file from being edited."""


class EditError(ValueError):
    """A file cannot be edited safely. The message says where, why and what would be right; it lacks the file's name."""
