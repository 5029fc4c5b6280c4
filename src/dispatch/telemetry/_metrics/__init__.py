"""What is counted and measured, for OpenTelemetry's meters. Imported where a meter provider is in place."""
