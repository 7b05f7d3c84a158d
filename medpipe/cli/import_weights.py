"""medpipe import-weights"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from medpipe.bundle_check import require_trust
from medpipe.bundles import Bundle, find_bundle, parse_overrides
from medpipe.cli.common import JsonOption, say, show_json
from medpipe.errors import RequestError


def run(
    name: Annotated[str, typer.Argument(help="Bundle whose network takes the weights.")],
    file: Annotated[Path, typer.Argument(help="The authors' state_dict (.pt, .pth or .safetensors).")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Weight file to write (must not exist).")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value, as backbone=resnet50 groups=32.")] = None,
    label: Annotated[
        int | None, typer.Option(min=0, help="Which class of a classifier of several to take, counted from 0.")
    ] = None,
    dictionary: Annotated[
        Path | None, typer.Option(help="The authors' dictionary.pkl: the words of a network that answers questions.")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Their trainval_ans2label.pkl: the answers that such a network can give.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Turn a checkpoint of a method's authors into weights of our network.

    The authors of ACM published a classifier of 14 findings, of which pneumothorax is number 7. A network that answers
    questions needs its words and answers, too, which are written beside the weights (questions.json, answers.json); the
    authors' files are read without running what is in them.

    Example: [bold]medpipe import-weights cxr_pneumothorax_acm authors.pt -o model.pt backbone=resnet50 groups=32
    output_stride=32 --label 7[/bold]
    """
    bundle = find_bundle(name)
    require_trust(bundle, trust=False)
    values = parse_overrides(overrides or [], bundle.config("infer"))
    beside = _vocabularies(bundle, dictionary, answers)
    for path in (output, *(output.with_name(file_name) for file_name in beside)):
        if path.exists():
            raise RequestError(f"'{path}' exists; name a new file")
    if not output.parent.is_dir():
        raise RequestError(f"folder '{output.parent}' does not exist")
    import torch
    from monai.bundle import ConfigParser

    from medpipe.io.atomic import atomic_writer
    from medpipe.networks.authors_weights import import_authors_state_dict
    from medpipe.networks.state_dicts import read_state_dict

    parser = ConfigParser(bundle.config("infer"))
    parser.update(values)
    if beside:
        words, candidates = beside.values()
        parser.update({"network_def::words": len(words.words), "network_def::answers": len(candidates.answers)})
    try:
        network = parser.get_parsed_content("network_def")
        state = import_authors_state_dict(read_state_dict(file), network, label=label)
    except Exception as error:  # torch raises many kinds on foreign files
        raise RequestError(f"weights '{file}': {str(error)[:600]}") from error
    for file_name, vocabulary in beside.items():
        vocabulary.save(output.with_name(file_name))
    with atomic_writer(output) as stream:
        torch.save(state, stream)
    if as_json:
        show_json({"weights": str(output), "tensors": len(state)})
    else:
        say(f"Weights: {output} ({len(state)} tensors)")


def _vocabularies(bundle: Bundle, dictionary: Path | None, answers: Path | None) -> dict[str, Any]:
    """Words and answers by the names of their files; nothing for a network that takes no question."""
    from medpipe.data.authors_vocabularies import read_authors_answers, read_authors_words
    from medpipe.data.question_sets import ANSWERS, QUESTIONS

    asks = "words" in bundle.config("infer")["network_def"]
    given = {"--dictionary": dictionary, "--answers": answers}
    for option, path in given.items():
        if asks and path is None:
            raise RequestError(
                f"the weights of '{bundle.name}' need their words and answers: give --dictionary dictionary.pkl and "
                "--answers trainval_ans2label.pkl"
            )
        if not asks and path is not None:
            raise RequestError(f"{option}: the network of '{bundle.name}' answers no questions; leave it out")
    if dictionary is None or answers is None:
        return {}
    return {QUESTIONS: read_authors_words(dictionary), ANSWERS: read_authors_answers(answers)}
