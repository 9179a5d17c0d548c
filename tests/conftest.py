from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What recipes prepare is kept out of the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HASTEN_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def _steady() -> None:
    """One thread and one seed, so that a test gives the same numbers alone and in company."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
