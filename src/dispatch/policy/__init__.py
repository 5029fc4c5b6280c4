"""The policy engine: read rules, bind tasks to them, decide calls, explain decisions."""

from dispatch.policy._destinations import CelerySettings as CelerySettings
from dispatch.policy._destinations import DestinationSettings as DestinationSettings
from dispatch.policy._destinations import LocalSettings as LocalSettings
from dispatch.policy._destinations import SpoolSettings as SpoolSettings
from dispatch.policy._estimate import AtLeast as AtLeast
from dispatch.policy._estimate import Estimate as Estimate
from dispatch.policy._explanation import Asked as Asked
from dispatch.policy._explanation import Explanation as Explanation
from dispatch.policy._explanation import Weighed as Weighed
from dispatch.policy._facts import UNMEASURED as UNMEASURED
from dispatch.policy._facts import Facts as Facts
from dispatch.policy._loading import load as load
from dispatch.policy._loading import parse as parse
from dispatch.policy._place import Place as Place
from dispatch.policy._plan import Plan as Plan
from dispatch.policy._policy import Policy as Policy
from dispatch.policy._ready import READY as READY
from dispatch.policy._ready import ready as ready
from dispatch.policy._restart import needs_restart as needs_restart
from dispatch.policy._route import Candidate as Candidate
from dispatch.policy._route import Route as Route

__all__ = [
    "READY",
    "UNMEASURED",
    "Asked",
    "AtLeast",
    "Candidate",
    "CelerySettings",
    "DestinationSettings",
    "Estimate",
    "Explanation",
    "Facts",
    "LocalSettings",
    "Place",
    "Plan",
    "Policy",
    "Route",
    "SpoolSettings",
    "Weighed",
    "load",
    "needs_restart",
    "parse",
    "ready",
]
