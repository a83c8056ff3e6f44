"""Where tables live: atomic writes of many features at once, one feature or all read back, and what is known of each.

Goes in: how rows lie in files, on a disk or an object store. Stays out: what is fresh (steps/chain.py).
"""

from baez_pipeline.store.address import Address, Entry
from baez_pipeline.store.files import replace_file
from baez_pipeline.store.hashing import content_hash, hash_of, short_hash
from baez_pipeline.store.store import Store
from baez_pipeline.store.writing import Table

__all__ = ["Address", "Entry", "Store", "Table", "content_hash", "hash_of", "replace_file", "short_hash"]
