"""Servers for a first run, a demo or a test: a broker and a Celery worker that end with this process.

Not for production: there the broker and the workers are yours.
"""

from dispatch.embedded._broker import Broker, broker
from dispatch.embedded._server import Server
from dispatch.embedded._worker import Worker, worker

__all__ = ["Broker", "Server", "Worker", "broker", "worker"]
