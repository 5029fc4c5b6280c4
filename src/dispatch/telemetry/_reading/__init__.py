"""Behind `dispatch.telemetry.traces`: from the lines of trace files to trees and calls."""
