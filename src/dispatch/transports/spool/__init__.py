"""The spool as a destination: calls that are kept on this machine's disk until they can run elsewhere, or here.

Knows nothing of Celery, and does not import it.
"""

from dispatch.transports.spool._letters import LettersInSpool as LettersInSpool
from dispatch.transports.spool._run_here import RunHere as RunHere
from dispatch.transports.spool.destination import SpoolDestination as SpoolDestination

__all__ = ["LettersInSpool", "RunHere", "SpoolDestination"]
