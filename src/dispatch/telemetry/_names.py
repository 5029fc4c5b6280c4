"""Every name that leaves this room: spans' attributes and message headers.

The messaging ones are copied rather than imported: OpenTelemetry keeps them in a module without promises.
"""

SCOPE = "dispatch"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"

TASK = "dispatch.task.name"
CALL = "dispatch.call.id"
DESTINATION = "dispatch.destination"
TRANSPORT = "dispatch.transport"
RULE = "dispatch.rule"
REASON = "dispatch.reason"
PASSED_OVER = "dispatch.passed_over"
POLICY_VERSION = "dispatch.policy.version"
DURABILITY = "dispatch.durability"
LATENCY_BUDGET = "dispatch.latency_budget_us"
PAYLOAD = "dispatch.payload.bytes"
ATTEMPT = "dispatch.attempt"
"""Left out while it is 1."""

OVERHEAD = "dispatch.overhead_us"
"""The sum of the next three: what the caller paid."""
DECIDE = "dispatch.decide_us"
SERIALIZE = "dispatch.serialize_us"
ENQUEUE = "dispatch.enqueue_us"
"""On Celery: the publish."""
WAIT = "dispatch.wait_us"
START = "dispatch.start_us"
CLOCK_SKEWED = "dispatch.clock.skewed"
"""Present and true when the sender's clock was ahead of the worker's, and the wait is therefore given as 0."""

PROCESS = "process.pid"
"""The worker process of a local call, where it ran in one."""

ERROR_TYPE = "error.type"

SYSTEM = "messaging.system"
OPERATION_NAME = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
QUEUE = "messaging.destination.name"
MESSAGE = "messaging.message.id"
BODY_SIZE = "messaging.message.body.size"
"""The encoded arguments, beside the estimate that was decided by."""

SENT_HEADER = "dispatch-sent-ns"
ROUTE_HEADER = "dispatch-route"
