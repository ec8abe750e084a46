"""A small process that starts other processes: forked from here, a start never copies the big process that asked.

Runs by itself (`python -E -S -m launcher FD`), so nothing here imports anything beyond the standard library.
"""
