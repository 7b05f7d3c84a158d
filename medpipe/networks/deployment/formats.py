"""The formats that networks are exported to, and how each is written and run.

- ``onnx``: opset 20, whose GridSample takes volumes. Facts are metadata properties of the model.
- ``torch-export``: an archive of ``torch.export.save``. Facts are its extra file ``medpipe.json``.
- ``openvino``: an intermediate representation, a file .xml and one .bin beside it, weights in float32. OpenVINO samples
  pictures alone, so volumes are fetched by index. Facts are runtime information under ``medpipe``.
"""

from __future__ import annotations

import io
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from medpipe.errors import RequestError

from .capture import capture, without_volume_sampler
from .equality import Difference, Run, differences, refuse_unequal
from .onnx_network import onnx_session
from .packages import require_packages
from .signature import Signature

__all__ = ["FORMATS", "Exported", "Format", "export_network"]

Files = dict[str, bytes]
"""Content by the ending of the file's name; the last one names the whole."""

_OPSET = 20


class Format:
    """How a captured network becomes files, and how those are run.

    Attributes:
        suffix: Ending of the file's name.
        extra: What to install, as in ``medpipe[extra]``; empty where nothing.
        packages: What must be importable.
    """

    suffix: str
    extra: str = ""
    packages: tuple[str, ...] = ()

    def convert(self, program: ExportedProgram, signature: Signature) -> Any:
        """The model in the format's own terms."""
        raise NotImplementedError

    def files(self, model: Any, facts: Mapping[str, str]) -> Files:
        """The model as files, with facts about it."""
        raise NotImplementedError

    def run(self, files: Files, threads: int) -> Run:
        """A function that runs what the files hold."""
        raise NotImplementedError


class _Onnx(Format):
    suffix, extra = ".onnx", "onnx"
    packages = ("onnx", "onnxscript", "onnxruntime")

    def convert(self, program: ExportedProgram, signature: Signature) -> Any:
        exported = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=_OPSET,
            input_names=list(signature.inputs),
            output_names=list(signature.outputs),
            verbose=False,
        )
        assert exported is not None
        model = exported.model_proto
        if signature.dynamic_batch:
            graph = model.graph
            for value in (*graph.input, *graph.output, *graph.value_info):
                dimensions = value.type.tensor_type.shape.dim
                if dimensions and dimensions[0].dim_param:
                    dimensions[0].dim_param = "batch"
        return model

    def files(self, model: Any, facts: Mapping[str, str]) -> Files:
        import onnx

        onnx.helper.set_model_props(model, dict(facts))
        return {self.suffix: model.SerializeToString()}

    def run(self, files: Files, threads: int) -> Run:
        session = onnx_session(files[self.suffix], threads)
        names = [value.name for value in session.get_inputs()]
        return lambda inputs: session.run(None, dict(zip(names, inputs, strict=True)))


class _TorchExport(Format):
    suffix = ".pt2"

    def convert(self, program: ExportedProgram, signature: Signature) -> Any:
        return program

    def files(self, model: Any, facts: Mapping[str, str]) -> Files:
        stream = io.BytesIO()
        torch.export.save(model, stream, extra_files={"medpipe.json": json.dumps(dict(facts))})
        return {self.suffix: stream.getvalue()}

    def run(self, files: Files, threads: int) -> Run:
        module = torch.export.load(io.BytesIO(files[self.suffix])).module()

        def run(inputs: Sequence[Any]) -> list[Any]:
            with torch.no_grad():
                output = module(*map(torch.from_numpy, inputs))
            return [item.numpy() for item in (output if isinstance(output, tuple | list) else [output])]

        return run


class _OpenVino(Format):
    suffix, extra = ".xml", "openvino"
    packages = ("openvino",)

    def convert(self, program: ExportedProgram, signature: Signature) -> Any:
        import openvino

        model = openvino.convert_model(without_volume_sampler(program))
        batch = -1 if signature.dynamic_batch else 1
        model.reshape({i: [batch, *shape] for i, shape in enumerate(signature.inputs.values())})
        for ports, names in ((model.inputs, signature.inputs), (model.outputs, signature.outputs)):
            for port, name in zip(ports, names, strict=True):
                port.get_tensor().set_names({name})
        return model

    def files(self, model: Any, facts: Mapping[str, str]) -> Files:
        import openvino

        for key, value in facts.items():
            model.set_rt_info(value, ["medpipe", key])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"model{self.suffix}")
            openvino.save_model(model, path, compress_to_fp16=False)
            return {".bin": path.with_suffix(".bin").read_bytes(), self.suffix: path.read_bytes()}

    def run(self, files: Files, threads: int) -> Run:
        import openvino

        core = openvino.Core()
        model = core.read_model(files[self.suffix], files[".bin"])
        # Newer processors would compute in bfloat16 unless told otherwise.
        options = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
        request = core.compile_model(model, "CPU", options).create_infer_request()

        def run(inputs: Sequence[Any]) -> list[Any]:
            result = request.infer(list(inputs))
            return [result[i].copy() for i in range(len(model.outputs))]

        return run


FORMATS: dict[str, Format] = {"onnx": _Onnx(), "torch-export": _TorchExport(), "openvino": _OpenVino()}


@dataclass(frozen=True)
class Exported:
    """An exported network that was found equal.

    Attributes:
        files: Content by ending; ``Format.suffix`` is the one that is opened, and comes last.
        differences: What the check found.
        facts: What the file says of itself.
    """

    files: Files
    differences: tuple[Difference, ...]
    facts: dict[str, str]


def export_network(
    network: nn.Module,
    signature: Signature,
    kind: str,
    *,
    realistic: Mapping[str, Sequence[Tensor]],
    facts: Mapping[str, str],
    tolerance: float = 1e-4,
) -> Exported:
    """Export a network, and run what was written against it.

    Args:
        network: On the CPU, float32, in evaluation mode.
        signature: Its inputs and outputs.
        kind: One of ``FORMATS``.
        realistic: Inputs (B, ...) beside random ones to compare on, by name.
        facts: What the file is to say of itself; figures of the check are added.
        tolerance: Largest difference that is taken, times an output's largest value where that is above 1.

    Raises:
        RequestError: The format is unknown, a package is missing, or the outputs differ.
    """
    form = _form(kind)
    with _quietly():
        model = form.convert(capture(network, signature), signature)
        cases = {f"random {seed}": signature.random_inputs(1, seed) for seed in (1, 2)}
        if signature.dynamic_batch:
            cases["random batch of 3"] = signature.random_inputs(3, 3)
        found = differences(network, form.run(form.files(model, {}), 1), signature, {**cases, **realistic})
    refuse_unequal(found, tolerance)
    told = {**facts, "tolerance": f"{tolerance:g}", "differences": json.dumps([vars(item) for item in found])}
    with _quietly():
        return Exported(form.files(model, told), tuple(found), told)


def _form(kind: str) -> Format:
    if kind not in FORMATS:
        raise RequestError(f"format '{kind}' is none of {', '.join(FORMATS)}")
    form = FORMATS[kind]
    require_packages(form.packages, form.extra)
    return form


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep exporters' notices off the terminal: what they could be about, the check finds."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
