"""The suite that every transport passes: the same results, exceptions, refusals and answers, wherever a call runs.

    class TestMine(TransportConformance):
        capabilities = Capabilities(runs_apart=True)

        @pytest.fixture
        def dispatcher(self): ...

The fixture gives a `Dispatcher` that sends every call to the transport, which has **one** worker. A worker in another
process imports this module and so knows the tasks.
"""

from dispatch.testing.conformance import _tasks as _tasks
from dispatch.testing.conformance._arguments import Arguments as _Arguments
from dispatch.testing.conformance._attempts import Attempts as _Attempts
from dispatch.testing.conformance._capabilities import Capabilities as Capabilities
from dispatch.testing.conformance._life import Life as _Life
from dispatch.testing.conformance._results import Results as _Results

__all__ = ["Capabilities", "TransportConformance"]


class TransportConformance(_Results, _Arguments, _Life, _Attempts):
    """Subclass it under a name that pytest collects; say `capabilities`, and give the fixture `dispatcher`."""
