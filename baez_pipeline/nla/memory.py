"""A device's memory. Imports nothing but torch, so that the engine runs where little else is installed."""

import gc

import torch


def free_memory() -> None:
    """Give memory back that nothing refers to: a GPU's does not come back before Python's cycles are collected."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
