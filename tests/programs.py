"""Tests that need a program of the machine: without it they are left out, but where CI=true they fail."""

import os
import shutil

import pytest


def needs(program: str) -> pytest.MarkDecorator:
    """A mark for them."""
    missing = shutil.which(program) is None and os.environ.get("CI") != "true"
    return pytest.mark.skipif(missing, reason=f"needs {program}")
