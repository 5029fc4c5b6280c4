"""Who speaks: the resource that every signal of this process has in common."""

from __future__ import annotations

import os

from opentelemetry.sdk.environment_variables import OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME
from opentelemetry.sdk.resources import SERVICE_NAME, Resource


def resource_of(service: str | None) -> Resource:
    """`service`, unless the environment names one, with what it says beside."""
    named = os.environ.get(OTEL_SERVICE_NAME) or f"{SERVICE_NAME}=" in os.environ.get(OTEL_RESOURCE_ATTRIBUTES, "")
    # What is passed here would win over the environment, and the operator has the last word.
    return Resource.create({SERVICE_NAME: service} if service and not named else {})
