"""Verification: every number and every figure traced to results whose records, code and checksums agree."""
