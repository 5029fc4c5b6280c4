"""Celery: the application's app, its tasks in workers, and the results that come back.

Importing this imports Celery, so it is imported only where Celery is used.
"""

from dispatch.transports.celery._app import AppSource as AppSource
from dispatch.transports.celery._broker_kind import messaging_system as messaging_system
from dispatch.transports.celery._brokers import Broker as Broker
from dispatch.transports.celery._durability import DURABILITY_HEADER as DURABILITY_HEADER
from dispatch.transports.celery._hooks import hook_worker as hook_worker
from dispatch.transports.celery._outlet import CeleryOutlet as CeleryOutlet
from dispatch.transports.celery._settings import build_app as build_app
from dispatch.transports.celery._settings import celery_settings as celery_settings
from dispatch.transports.celery._settings import settings_for as settings_for
from dispatch.transports.celery._signer import Signer as Signer
from dispatch.transports.celery._store import Store as Store
from dispatch.transports.celery.destination import CeleryDestination as CeleryDestination
from dispatch.transports.celery.results import Results as Results

__all__ = [
    "DURABILITY_HEADER",
    "AppSource",
    "Broker",
    "CeleryDestination",
    "CeleryOutlet",
    "Results",
    "Signer",
    "Store",
    "build_app",
    "celery_settings",
    "hook_worker",
    "messaging_system",
    "settings_for",
]
