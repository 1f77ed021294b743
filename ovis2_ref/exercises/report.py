"""Verdicts on a whole folder as JSON and as JUnit's XML, which GitHub Classroom, nbgrader and most CI read."""

import json
from collections.abc import Sequence
from xml.etree import ElementTree

from ovis2_ref.exercises.marking import Verdict


def as_json(verdicts: Sequence[Verdict]) -> str:
    """Return one object: how many are right, of how many, and for each exercise its verdict."""
    exercises = [
        {
            "name": verdict.exercise.name,
            "right": verdict.right,
            "written": verdict.written,
            "cases_failed": verdict.failure.failed if verdict.failure else None,
            "mistakes": verdict.mistakes,
            "problem": verdict.problem,
        }
        for verdict in verdicts
    ]
    right = sum(verdict.right for verdict in verdicts)
    return json.dumps({"right": right, "of": len(verdicts), "exercises": exercises}, indent=2, ensure_ascii=False)


def as_junit(verdicts: Sequence[Verdict]) -> str:
    """Return a test suite with a case for each exercise; an answer that isn't written is skipped."""
    failures = sum(verdict.written and not verdict.right for verdict in verdicts)
    skipped = sum(not verdict.written for verdict in verdicts)
    suite = ElementTree.Element("testsuite", name="ovis2_ref exercises", tests=str(len(verdicts)))
    suite.attrib |= {"failures": str(failures), "skipped": str(skipped)}
    for verdict in verdicts:
        case = ElementTree.SubElement(suite, "testcase", classname="exercises", name=verdict.exercise.name)
        if not verdict.written:
            ElementTree.SubElement(case, "skipped", message=_printable(verdict.problem))
        elif not verdict.right:
            message = ", ".join(verdict.mistakes) or verdict.problem.splitlines()[0]
            ElementTree.SubElement(case, "failure", message=_printable(message)).text = _printable(verdict.problem)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=False)


def _printable(text: str) -> str:
    """Return `text` without the control characters that XML forbids."""
    return "".join(letter if letter >= " " or letter in "\n\t" else "?" for letter in text)
