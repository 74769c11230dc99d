import sys
from pathlib import Path

# What several rooms' tests share (tests/support).
_TESTS = str(Path(__file__).parents[1])
if _TESTS not in sys.path:
    sys.path.insert(0, _TESTS)
