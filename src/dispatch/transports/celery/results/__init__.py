"""From a result backend to the handles that wait: one reader for the process, and nothing subscribed before."""

from dispatch.transports.celery.results._results import Results as Results

__all__ = ["Results"]
