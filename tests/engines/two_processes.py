"""What two processes do together, for test_processes.py: run as a program, it starts them and writes what they found."""

from __future__ import annotations

import copy
import json
import os
import sys
from pathlib import Path

import ignite.distributed as idist
import torch
from ignite.engine import Engine
from monai.utils import CommonKeys as Keys
from torch import nn

from medpipe.engines.handlers.epoch_table import EpochTable
from medpipe.engines.handlers.image_auc import image_auc
from medpipe.engines.processes import SameBuffers, data_loader, data_parallel, join_processes, leave_processes
from medpipe.engines.training_folder import TrainingFolder
from medpipe.errors import RequestError


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(3 * 36, 1))


def images(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(count, 1, 8, 8, generator=generator), torch.arange(count).remainder(2).float()


def gradient(model: nn.Module, share: slice) -> list[list[float]]:
    pixels, labels = images(6)
    nn.functional.binary_cross_entropy_with_logits(model(pixels[share])[:, 0], labels[share]).backward()
    return [parameter.grad.flatten().tolist() for parameter in model.parameters()]


def scores_and_labels(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return torch.rand(count, generator=generator), torch.arange(count).remainder(2).float()


def auc_of(share: slice) -> float:
    scores, labels = scores_and_labels(9)
    engine = Engine(lambda _, batch: batch)
    image_auc().attach(engine, "auc")
    batch = {Keys.PRED: scores[share, None, None, None], Keys.LABEL: {"image_label": labels[share]}}
    return float(engine.run([batch]).metrics["auc"])


def refusal(work) -> str:
    try:
        work()
    except RequestError as error:
        return str(error)
    return ""


def buffer_after_sharing(rank: int) -> list[float]:
    norm = nn.BatchNorm1d(2)
    norm.running_mean.fill_(rank + 5)
    engine = Engine(lambda *_: None)
    SameBuffers(norm).attach(engine)
    engine.run([0])
    return norm.running_mean.tolist()


def losses_of(rank: int, folder: Path) -> None:
    engine = Engine(lambda *_: {Keys.LOSS: float(rank)})
    EpochTable(folder, Engine(lambda *_: None), torch.optim.SGD([torch.zeros(1)], lr=1.0)).attach(engine)
    engine.run([0, 0])


def training_folder(path: Path, **options: object) -> TrainingFolder:
    return TrainingFolder(path, bundle="b", datalist=__file__, options=options)


def work(rank: int, folder: Path) -> None:
    join_processes("cpu")
    found: dict[str, object] = {"gradient": gradient(data_parallel(network()), slice(3 * rank, 3 * rank + 3))}
    found["auc"] = auc_of(slice(0, 2) if rank else slice(2, 9))
    loader = data_loader(list(range(13)), batch_size=4, training=True)
    found["training"] = []
    for epoch in range(2):
        loader.sampler.set_epoch(epoch)
        found["training"].append([batch.tolist() for batch in loader])
    found["validation"] = [case for batch in data_loader(list(range(5)), batch_size=4) for case in batch.tolist()]
    found["odd batch"] = refusal(lambda: data_loader(list(range(9)), batch_size=3))
    found["few cases"] = refusal(lambda: data_loader([0], batch_size=2))
    found["buffer"] = buffer_after_sharing(rank)
    losses_of(rank, folder)
    first = training_folder(folder / "out", a=1)
    found["new"] = refusal(first.start)
    first.close()
    found["other"] = refusal(training_folder(folder / "out", a=2).start)
    found["not shared"] = refusal(training_folder(folder / f"own{rank}").start)
    again = training_folder(folder / "out", a=1)
    again.start()
    idist.barrier()
    again.finish()
    idist.barrier()
    found["finished"] = refusal(training_folder(folder / "out", a=1).start)
    (folder / f"{rank}.json").write_text(json.dumps(found))
    leave_processes()


def main() -> None:
    folder, port = Path(sys.argv[1]), sys.argv[2]
    torch.set_num_threads(1)
    alone = {"gradient": gradient(copy.deepcopy(network()), slice(None)), "auc": auc_of(slice(None))}
    (folder / "alone.json").write_text(json.dumps(alone))
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    children = []
    for rank in range(2):
        children.append(os.fork())
        if not children[-1]:
            os.environ.update(common, RANK=str(rank), LOCAL_RANK=str(rank))
            code = 1
            try:
                work(rank, folder)
                code = 0
            finally:
                sys.stderr.flush()
                os._exit(code)
    sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children))


if __name__ == "__main__":
    main()
