"""Looking after results: verify, clean up, accept a change of code."""
