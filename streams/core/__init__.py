"""The rules of stock: `step(stock, event, at, books) -> verdict`, and nothing that touches a clock, a wire or a disk.

A row (`Stock`) is a private working copy of one partition. Within a step it changes in place, because the profile asks
for it; a step that changes nothing leaves it untouched, and what a step decides depends on its arguments alone.
"""
