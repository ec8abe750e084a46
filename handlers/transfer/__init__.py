"""Moves a run's files: inputs from S3 to the run's directory, outputs from there to the results bucket.

`plan` decides who moves what, before a byte is moved; `fetch` and `send` carry out one part of such a plan each, so
that parts can run side by side and be repeated; the plan, its receipts and its checksums lie in S3, never in a state's
payload.
"""
