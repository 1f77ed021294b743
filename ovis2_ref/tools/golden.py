"""`ovis2-ref golden`: record a run, compare another program's values with it, check single components."""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

from ovis2_ref.errors import InputError
from ovis2_ref.runtime.arrays import DTYPES
from ovis2_ref.tiny import SAMPLE, TINY
from ovis2_ref.tools.terminal import printable

UNITS = {"KB": 10**3, "MB": 10**6, "GB": 10**9, "B": 1, "": 1}


def size(text: str) -> int:
    """Return the bytes in a text such as 200MB."""
    digits = text.rstrip("BKMG")
    return int(float(digits) * UNITS[text[len(digits) :]])


def add_golden(commands: Any, model: argparse.ArgumentParser) -> None:
    """Add the command `golden` to the parser's `commands`; `model` holds the options that choose a model."""
    golden = commands.add_parser("golden", help="record every value of a run; find the mistake in a port")
    actions = golden.add_subparsers(required=True, metavar="ACTION")

    record = actions.add_parser("record", parents=[model], help="write every value of a run into a file")
    record.add_argument("pictures", metavar="PICTURE", nargs="*", help="picture files (default: a sample)")
    record.add_argument("--prompt", metavar="TEXT", default="Describe the image.", help="what to ask")
    record.add_argument("--dtype", choices=tuple(DTYPES), default="float64", help="the type to compute in")
    record.add_argument("--device", default="cpu", help='"cpu", "cuda", "cuda:N", or "auto" for a GPU if there is one')
    record.add_argument("--tokens", metavar="N", type=int, default=1, help="tokens to generate (default: 1)")
    record.add_argument(
        "--only", metavar="PATTERN", action="append", default=[], help='taps to keep, such as "*.layers.3.*"'
    )
    record.add_argument("--pad", metavar="N", type=int, help="pad the prompt in front, to N tokens")
    record.add_argument("--budget", metavar="SIZE", type=size, help="keep rows of what doesn't fit, such as 200MB")
    record.add_argument("--stream", action="store_true", help="leave the weights on disk; read each when it is needed")
    record.add_argument("-o", "--output", metavar="FILE", default="golden.safetensors", help="the file to write")
    record.set_defaults(run=_record)

    compare = actions.add_parser("compare", help="say which values of a candidate are wrong, and why")
    compare.add_argument("golden", metavar="GOLDEN", help="a golden file")
    compare.add_argument("candidate", metavar="CANDIDATE", help="a file of the same format, written by a port")
    compare.add_argument("--checkpoint", metavar="FOLDER", default=TINY, help="the weights that both were made with")
    compare.add_argument("--names", metavar="MAP", help="transformers, original, vllm, llama_cpp, or a JSON file")
    compare.add_argument(
        "--strict", action="store_true", help="accept neither lower types nor values that change nothing"
    )
    compare.add_argument("--stream", action="store_true", help="leave the weights on disk; read each when it is needed")
    compare.add_argument("--all", action="store_true", help="show the values that are right, too")
    compare.add_argument("--json", action="store_true", help="print JSON instead of a table")
    compare.add_argument("--html", metavar="FILE", help="write a page, too")
    compare.set_defaults(run=_compare)

    probes = actions.add_parser(
        "probes", parents=[model], help="write pictures and prompts in which mistakes show, with golden files"
    )
    probes.add_argument(
        "-o", "--output", metavar="FOLDER", default="probes", help="the folder to write (default: probes)"
    )
    probes.set_defaults(run=_probes)

    cases = actions.add_parser("cases", help="write drawn inputs and outputs of single components")
    cases.add_argument("-o", "--output", metavar="FOLDER", default="cases", help="the folder to write (default: cases)")
    cases.set_defaults(run=_cases)

    matrix = actions.add_parser("matrix", help="make every known mistake on every probe; print which is named")
    matrix.add_argument("--checkpoint", metavar="FOLDER", default=TINY, help="the model to plant mistakes in")
    matrix.add_argument("--markdown", action="store_true", help="print the table of README.md, with the usual rules")
    matrix.set_defaults(run=_matrix)

    check = actions.add_parser("check", help="run a port's functions on such cases")
    check.add_argument("cases", metavar="FOLDER", help="a folder that `cases` wrote")
    check.add_argument(
        "module", metavar="MODULE.py", help="a Python file with functions of the components' names; it is run"
    )
    check.set_defaults(run=_check)


def _record(arguments: argparse.Namespace) -> None:
    from ovis2_ref.golden import record
    from ovis2_ref.image.loading import load_image
    from ovis2_ref.model import Ovis2ForConditionalGeneration
    from ovis2_ref.text.processor import Ovis2Processor

    if arguments.tokens < 1:
        raise InputError(f"--tokens {arguments.tokens}: a run generates 1 token or more")
    record(
        arguments.output,
        Ovis2ForConditionalGeneration.from_pretrained(
            arguments.checkpoint,
            dtype=arguments.dtype,
            device=arguments.device,
            convention=arguments.convention,
            stream=arguments.stream,
        ),
        Ovis2Processor.from_pretrained(arguments.checkpoint, convention=arguments.convention),
        [load_image(path) for path in arguments.pictures or [SAMPLE]],
        arguments.prompt,
        tokens=arguments.tokens,
        only=arguments.only,
        budget=arguments.budget,
        **(
            {}
            if arguments.pad is None
            else {"padding": "max_length", "padding_side": "left", "max_length": arguments.pad}
        ),
    )
    print(f"{arguments.output}: {Path(arguments.output).stat().st_size / 1e6:.1f} MB", file=sys.stderr)


def _compare(arguments: argparse.Namespace) -> int:
    from tqdm import tqdm

    from ovis2_ref.golden import compare, read_golden
    from ovis2_ref.golden.names import read_names
    from ovis2_ref.golden.page import page
    from ovis2_ref.golden.reference import load_reference
    from ovis2_ref.golden.report import as_json, table

    golden, candidate = read_golden(arguments.golden), read_golden(arguments.candidate)
    names = None if arguments.names is None else read_names(arguments.names)
    reference = load_reference(golden, arguments.checkpoint, stream=arguments.stream)
    show = partial(tqdm, unit="value", disable=None, leave=False)
    comparison = compare(golden, candidate, reference, names, strict=arguments.strict, show=show)
    print(as_json(comparison) if arguments.json else table(comparison, everything=arguments.all))
    if arguments.html is not None:
        _write(arguments.html, page(comparison))
    return 0 if comparison.passes else 1


def _write(path: str, text: str) -> None:
    try:
        Path(path).write_text(printable(text), "utf-8")
    except OSError as error:
        raise InputError(f"{path} can't be written ({error.strerror})") from error


def _cases(arguments: argparse.Namespace) -> None:
    from ovis2_ref.golden.cases import COMPONENTS, COUNT, write_cases

    write_cases(arguments.output)
    print(f"{arguments.output}: {COUNT} cases each of {', '.join(COMPONENTS)}", file=sys.stderr)


def _probes(arguments: argparse.Namespace) -> None:
    from ovis2_ref.golden.probes import PROBES, write_probes

    write_probes(arguments.output, arguments.checkpoint, arguments.convention)
    print(f"{arguments.output}: the probes {', '.join(PROBES)}", file=sys.stderr)


def _matrix(arguments: argparse.Namespace) -> int:
    from ovis2_ref.golden.causes.table import cells, mark, markdown, matrix_text, measure

    matrix = measure(arguments.checkpoint)
    print(markdown(matrix) if arguments.markdown else matrix_text(matrix))
    return 1 if any(mark(seen) in "?!" for seen in cells(matrix)) else 0


def _check(arguments: argparse.Namespace) -> int:
    from ovis2_ref.golden.cases import check_cases

    results = list(check_cases(arguments.cases, arguments.module))
    for result in results:
        words = f"{result.name}, {result.dtype}: {result.of - result.wrong} of {result.of} right"
        print(words + (f"; {result.first}" if result.wrong else ""))
    if not results:
        raise InputError(f"{arguments.module} has no function with the name of a component")
    return 1 if any(result.wrong for result in results) else 0
