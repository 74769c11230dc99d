"""How long all expressions about one request may take together.

Upstream counts units of cost and says that ten million of them are about a second; here it is the second that counts, of the
processor's time, so that a busy machine refuses no more than an idle one. It is looked at between expressions, each of
which is bounded by itself (`cost.EVALUATED`).
"""

from __future__ import annotations

import time
from typing import Any

from motet.kinds.cel.engine import EvaluationError, Program, Values

# Seconds for the rules of one object, or for one policy; and for the match conditions of one webhook.
RULES, CONDITIONS = 1.0, 0.25


class OutOfBudget(EvaluationError):
    """What came before has taken all the time there is."""

    def __init__(self) -> None:
        super().__init__("validation failed due to running out of cost budget, no further validation rules will be run")


class Budget:
    """Seconds that are left."""

    def __init__(self, seconds: float = RULES) -> None:
        self.left = seconds

    def evaluate(self, program: Program, values: Values) -> Any:
        """What the program gives. Raises OutOfBudget, EvaluationError."""
        if self.left <= 0:
            raise OutOfBudget
        began = time.thread_time()
        try:
            return program.evaluate(values)
        finally:
            self.left -= time.thread_time() - began
