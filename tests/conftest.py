from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _steady() -> None:
    """One thread and one seed, so that a test gives the same numbers alone and in company."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
