"""The lake: Parquet files of history, published from the warehouse. A file appears whole or not at all.

A dataset is a folder with a folder for each trading day. A day consists of slots, and a slot is one file: the whole
day, or an hour of a large day. New rows are merged into the file of their slot, and the file is replaced in one step.
A row is in exactly one slot and never moves, so no reader sees a row twice or misses it.
"""
