"""The command `ovis2-ref`: describe a picture, show its tiles, look at a checkpoint, convert one, practise, compare a port, look
inside.

Answers go to stdout; progress, figures and errors to stderr. Wrong input gets one line and exit status 2.
"""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from warnings import catch_warnings, simplefilter

from ovis2_ref import __version__
from ovis2_ref.errors import InputError, OvisError
from ovis2_ref.runtime.arrays import DTYPES
from ovis2_ref.tiny import SAMPLE, TINY
from ovis2_ref.tools.golden import add_golden
from ovis2_ref.tools.terminal import Printable, print_error, silence

PROMPT = "Describe the image."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (default: the process's) and return its exit status.

    0, 1 for an exercise that isn't solved or a candidate that is wrong, 2 for wrong input, 130 after Ctrl-C.
    """
    if sys.stderr is None:  # closed; print(file=None) would go to stdout
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.stdout is None:
        print_error("stdout is closed, so there is nowhere to put the answer")
        return 2
    out = sys.stdout
    try:
        with redirect_stdout(Printable(out)), catch_warnings():  # type: ignore[type-var]
            simplefilter("ignore")
            parser = _parser()
            arguments = parser.parse_args(argv)
            if arguments.command is None:
                parser.print_help()
            status = arguments.run(arguments) if arguments.command else 0
            out.flush()
            return status or 0
    except OvisError as error:
        print_error(str(error))
    except BrokenPipeError:  # the reader of our output has gone: nothing is left to say, not even at exit
        silence(out)
        return 0
    except KeyboardInterrupt:
        return 130
    except MemoryError as error:
        print_error(f"there is not enough memory ({error})")
    except OSError as error:
        print_error(f"the output can't be written ({error.strerror or error})")
        silence(out)
    return 2


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text:.40} is not a whole number from 1 to 999999999")
    return int(text)


def _picture_size(text: str) -> tuple[int, int]:
    sides = re.fullmatch(r"([1-9]\d{0,8})x([1-9]\d{0,8})", text, re.ASCII)
    if sides is None:
        raise argparse.ArgumentTypeError(f"expected WIDTHxHEIGHT such as 1280x720, got {text:.40}")
    return int(sides[2]), int(sides[1])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="ovis2-ref", description="Ovis2, the vision-language model, in readable array code."
    )
    parser.add_argument("--version", action="version", version=f"ovis2-ref {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")

    model = argparse.ArgumentParser(add_help=False)
    model.add_argument(
        "--checkpoint", metavar="FOLDER", default=TINY, help="an Ovis2 checkpoint (default: the embedded tiny one)"
    )
    model.add_argument(
        "--convention",
        choices=("transformers", "original"),
        default="transformers",
        help="whose results to compute: transformers', or those of the authors' code (default: transformers)",
    )

    describe = commands.add_parser("describe", parents=[model], help="ask a question about pictures")
    describe.add_argument(
        "pictures", metavar="PICTURE", nargs="*", help='picture files, "-" for standard input (default: a sample)'
    )
    describe.add_argument("--prompt", metavar="TEXT", default=PROMPT, help=f'what to ask (default: "{PROMPT}")')
    describe.add_argument(
        "--max-new-tokens", metavar="N", type=_count, default=256, help="the answer's longest length (default: 256)"
    )
    describe.add_argument(
        "--frames", metavar="N", type=_count, help="take so many evenly spaced frames of an animation"
    )
    describe.add_argument(
        "--dtype", choices=tuple(DTYPES), default="float32", help="the type to compute in (default: float32)"
    )
    describe.add_argument(
        "--device", default="cpu", help='"cpu", "cuda", "cuda:N", or "auto" for a GPU if there is one (default: cpu)'
    )
    describe.add_argument(
        "--stream", action="store_true", help="leave the weights on disk; read each when it is needed"
    )
    describe.set_defaults(run=_describe)

    tiles = commands.add_parser("tiles", parents=[model], help="draw how a picture is cut into tiles")
    tiles.add_argument("picture", metavar="PICTURE", help="a picture file")
    tiles.add_argument(
        "-o", "--output", metavar="FILE", default="tiles.png", help="where to write (default: tiles.png)"
    )
    tiles.set_defaults(run=_tiles)

    inspect = commands.add_parser("inspect", help="show the parts and the costs of a checkpoint, or of a released size")
    inspect.add_argument(
        "checkpoint",
        metavar="FOLDER",
        nargs="?",
        default=TINY,
        help="a folder, or a size such as Ovis2-8B (default: the tiny one)",
    )
    inspect.add_argument(
        "--picture", metavar="WIDTHxHEIGHT", type=_picture_size, help="count tiles, tokens and operations for this size"
    )
    inspect.set_defaults(run=_inspect)

    convert = commands.add_parser("convert", help="turn a checkpoint of the authors' layout into transformers'")
    convert.add_argument("source", metavar="AUTHORS_FOLDER", help="a checkpoint with model_type ovis")
    convert.add_argument("target", metavar="OUT", help="the folder to write; it must be new or empty")
    convert.set_defaults(run=_convert)

    add_golden(commands, model)

    _add_page(commands)
    _add_exercise(commands)
    return parser


EXERCISE_ACTIONS = {
    "list": "every exercise, and which are done",
    "next": "what is next, and in which file",
    "check": "mark the file of an exercise",
    "watch": "check a file whenever it is saved",
    "hint": "one more of an exercise's three hints",
    "reset": "restore a file, and forget its progress",
    "solution": "the project's own function, once yours is right",
    "handout": "one page on a session of the course",
    "assemble": "run the whole model on your functions",
}


def _add_page(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    page = commands.add_parser("page", help="write a page to look inside the model with, in any browser, offline")
    page.add_argument("pictures", metavar="PICTURE", nargs="*", help="picture files (default: a sample)")
    page.add_argument("--prompt", metavar="TEXT", default=PROMPT, help=f'what to ask (default: "{PROMPT}")')
    page.add_argument(
        "--checkpoint", metavar="FOLDER", default=TINY, help="an Ovis2 checkpoint (default: the embedded tiny one)"
    )
    page.add_argument(
        "--golden", metavar="FILE", nargs="+", help="show the run in a golden file, and what is wrong in a second one"
    )
    page.add_argument(
        "-o", "--output", metavar="FILE", default="page.html", help="the file to write (default: page.html)"
    )
    page.set_defaults(run=_page)


def _add_exercise(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    actions = "\n".join(f"  {action:10}{what}" for action, what in EXERCISE_ACTIONS.items())
    exercise = commands.add_parser(
        "exercise",
        help="write the model's functions yourself, and have them checked",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"Write the model's functions yourself, and have them checked.\n\n{actions}",
    )
    exercise.add_argument("action", metavar="ACTION", choices=EXERCISE_ACTIONS, help="one of these")
    exercise.add_argument("name", metavar="NAME", nargs="?", help="an exercise (default: the next that isn't done)")
    exercise.add_argument(
        "--session", metavar="N", type=_count, help="only the exercises of this session of the course"
    )
    exercise.add_argument("--folder", metavar="PATH", help="mark the files of this folder, and write nothing into it")
    exercise.add_argument("--all", action="store_true", help="check every exercise")
    exercise.add_argument("--json", action="store_true", help="check every exercise, and print the verdicts as JSON")
    exercise.add_argument("--junit", metavar="FILE", help="check every exercise, and write the verdicts as JUnit's XML")
    exercise.add_argument(
        "--seed", metavar="N", type=int, default=0, help="draw other cases than students are shown (default: 0, those)"
    )
    exercise.set_defaults(run=_exercise)


def _describe(arguments: argparse.Namespace) -> None:
    from ovis2_ref.tools.describe import describe

    describe(
        arguments.pictures or [SAMPLE],
        arguments.prompt,
        arguments.checkpoint,
        max_new_tokens=arguments.max_new_tokens,
        frames=arguments.frames,
        dtype=arguments.dtype,
        device=arguments.device,
        convention=arguments.convention,
        stream=arguments.stream,
    )


def _tiles(arguments: argparse.Namespace) -> None:
    from ovis2_ref.tools.describe import draw_picture_tiles

    draw_picture_tiles(arguments.picture, arguments.checkpoint, arguments.convention, arguments.output)


def _inspect(arguments: argparse.Namespace) -> None:
    from ovis2_ref.tools.inspect import inspect_text

    print(inspect_text(arguments.checkpoint, arguments.picture))


def _convert(arguments: argparse.Namespace) -> None:
    from ovis2_ref.checkpoint.conversion import convert_original

    convert_original(arguments.source, arguments.target)
    print(f"{arguments.target} holds the model as transformers loads it")


def _page(arguments: argparse.Namespace) -> None:
    from ovis2_ref.page.port import write_golden_page
    from ovis2_ref.page.write import write_page

    golden = arguments.golden
    if golden is None:
        pictures = arguments.pictures or [SAMPLE]
        left_out = write_page(arguments.output, pictures, arguments.prompt, arguments.checkpoint)
    elif len(golden) > 2 or arguments.pictures:
        raise InputError("--golden takes one or two files, and no picture beside them: the golden file has its own")
    else:
        candidate = golden[1] if len(golden) == 2 else None
        left_out = write_golden_page(arguments.output, golden[0], candidate, arguments.checkpoint)
    for text in left_out:
        print(f"left out: {text}", file=sys.stderr)
    print(f"{arguments.output}: {os.path.getsize(arguments.output) / 1e6:.1f} MB", file=sys.stderr)


def _exercise(arguments: argparse.Namespace) -> int:
    from ovis2_ref.exercises.commands import Request, run_command

    request = Request(
        arguments.name,
        session=arguments.session,
        everything=arguments.all,
        json=arguments.json,
        junit=arguments.junit,
        seed=arguments.seed,
        folder=arguments.folder,
    )
    return run_command(arguments.action, request)
