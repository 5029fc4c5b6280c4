"""`make compare`: Celery's broker, Go's channels and what lies between, in one run on this machine."""
