"""Every hyper-parameter of the book, as frozen dataclasses; one file a profile.

A value from the paper cites its section there (A: the appendix); a value that the paper leaves open says so, with
the source of the default.
"""

from dfnas.profiles.profile_files import place
from dfnas.profiles.resolve import NAMES, load, overrides_digest, require_chapter, to_dict
from dfnas.profiles.settings import *  # noqa: F403
