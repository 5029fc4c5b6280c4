"""What the examples need when a policy sends their calls to Celery: a broker, and a worker with their tasks."""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from dispatch import embedded
from dispatch.policy import load


@contextmanager
def servers(policy: Path, app: str, processes: int) -> Iterator[None]:
    """A broker and a worker `celery -A {app}` for the `with` block, if `policy` has a use for them.

    A broker that `DISPATCH_BROKER_URL` names is used as it is. What was started ends with the block.
    """
    with ExitStack() as running:
        if any(place.transport == "celery" for place in load([policy]).destinations.values()):
            broker = running.enter_context(embedded.broker())
            os.environ["DISPATCH_BROKER_URL"] = broker.url
            running.enter_context(
                embedded.worker(
                    app, directory=Path(__file__).parent, concurrency=processes, queues=["dispatch-examples"]
                )
            )
        yield
