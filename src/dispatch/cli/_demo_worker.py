"""What `celery -A` finds when the demo starts its worker. In earnest, this is your own module."""

import dispatch
from dispatch.cli import _demo_tasks

__all__ = ["_demo_tasks", "app"]

app = dispatch.celery_app()
dispatch.telemetry.setup(service="demo-worker")
