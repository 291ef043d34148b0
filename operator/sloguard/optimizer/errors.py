"""What the search can be refused for."""


class SpaceError(ValueError):
    """A search space without a single configuration to try; the message names field, value and remedy."""
