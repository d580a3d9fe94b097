"""``make year``: a simulated year of nightly runs, snapshots and upkeep at 1/100 of the exchange, with kills.

The year runs on a sandbox whose clock the tool sets. An independent record of what the sandbox showed is compared with
the warehouse and the lake. The tool reports sizes, times and files, and the bars that they must keep.
"""
