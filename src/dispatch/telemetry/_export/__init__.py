"""Where spans and metrics go: our own files, OTLP, the console."""
