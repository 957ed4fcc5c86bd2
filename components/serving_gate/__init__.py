"""The gate that serves the exported model in a process of its own: does it answer, alike, and fast enough?"""
