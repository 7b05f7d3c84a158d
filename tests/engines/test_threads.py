from __future__ import annotations

import os

import pytest
import torch

from medpipe.engines.threads import leave_cores


@pytest.mark.parametrize("workers", [0, 1, 1000])
def test_decoders_get_their_cores_and_torch_at_least_one(workers) -> None:
    before = torch.get_num_threads()
    try:
        assert leave_cores(workers) == torch.get_num_threads() == max(1, (os.cpu_count() or 1) - workers)
    finally:
        torch.set_num_threads(before)
