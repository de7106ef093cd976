"""GPU memory: how to see that it ran out, and how to give back what is no longer needed."""

import gc

import torch

# Beside OutOfMemoryError. cuDNN finds no engine where each one's workspace is too large for what is free.
_WORDS = ("unable to find an engine", "_STATUS_ALLOC_FAILED", "CUDA error: out of memory")


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error means that a GPU's memory ran out, or may mean it."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _WORDS)


def release_memory() -> None:
    """Give the memory back that nothing refers to. Call it only where no CUDA graph will be replayed any more.

    cuBLAS keeps a workspace for each stream, and graphs hold the addresses of those.
    """
    gc.collect()
    if torch.cuda.is_initialized():
        torch._C._cuda_clearCublasWorkspaces()
        torch.cuda.empty_cache()
