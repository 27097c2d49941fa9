"""A home folder for libraries, where the user has none: some of them fail without one as soon as they are imported."""

from __future__ import annotations

import os
from pathlib import Path


def prepare_home() -> None:
    """Name a folder of the cache as home folder if there is none, as for a user id without an account in a container.
    A home folder that cannot be read or written stays: libraries go on without what they keep there."""
    try:
        Path.home()
    except RuntimeError:
        from tokenization.files.cache import cache_folder

        os.environ["HOME"] = str(cache_folder() / "home")
