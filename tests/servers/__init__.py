"""Real servers, bad servers and small projects, for the tests that need them."""
