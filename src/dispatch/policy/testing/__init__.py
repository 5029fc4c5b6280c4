"""Cases for policies, as `dispatch test` runs them: read them, run them, see what they covered."""

from dispatch.policy.testing._coverage import CandidateCoverage as CandidateCoverage
from dispatch.policy.testing._coverage import Coverage as Coverage
from dispatch.policy.testing._coverage import RuleCoverage as RuleCoverage
from dispatch.policy.testing._coverage import coverage as coverage
from dispatch.policy.testing._reading import SUFFIX as SUFFIX
from dispatch.policy.testing._reading import Cases as Cases
from dispatch.policy.testing._reading import load_cases as load_cases
from dispatch.policy.testing._running import Outcome as Outcome
from dispatch.policy.testing._running import run as run

__all__ = [
    "SUFFIX",
    "CandidateCoverage",
    "Cases",
    "Coverage",
    "Outcome",
    "RuleCoverage",
    "coverage",
    "load_cases",
    "run",
]
