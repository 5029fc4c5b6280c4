"""Spans that cost as little as they can, as long as nobody asks more of them than context and attributes."""
