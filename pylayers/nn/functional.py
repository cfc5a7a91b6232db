"""``pylayers.nn.functional``: the module `pylayers.functional` under torch's name."""

import sys

from pylayers import functional
from pylayers.functional import *  # noqa: F403 - what type checkers see

# The name stands for the same module object, not for a copy of its names.
sys.modules[__name__] = functional
