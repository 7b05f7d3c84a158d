from __future__ import annotations

import pytest
import torch
from ignite.engine import Engine

from medpipe.engines.handlers.fixed_threads import FixedThreads


@pytest.mark.parametrize("before", [1, 2])
def test_an_engine_runs_with_its_number_of_threads_and_gives_the_old_one_back(before) -> None:
    old = torch.get_num_threads()
    torch.set_num_threads(before)
    try:
        seen = []
        engine = Engine(lambda *_: seen.append(torch.get_num_threads()))
        FixedThreads(3).attach(engine)
        engine.run([1, 2])
        assert seen == [3, 3]
        assert torch.get_num_threads() == before
    finally:
        torch.set_num_threads(old)


def test_no_thread_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        FixedThreads(0)
