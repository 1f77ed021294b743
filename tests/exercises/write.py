"""Write the untouched files, their list and the sessions' pages into walkthroughs/exercises: python -m tests.exercises.write"""

from ovis2_ref.exercises.catalogue import EXERCISES
from ovis2_ref.exercises.course import SESSIONS, handout
from ovis2_ref.exercises.folder import Folder, file_name
from tests.test_package import ROOT

FOLDER = ROOT.parent / "walkthroughs" / "exercises"
README = FOLDER / "README.md"
HEADING = "## The exercises\n\n"


def exercise_list() -> str:
    """Return the README's list of exercises."""
    return "".join(f"{i}. [{e.title}]({file_name(i, e)})\n" for i, e in enumerate(EXERCISES, start=1))


def write() -> None:
    """Write every file anew, and the list between its heading and the next."""
    for path in FOLDER.glob("[0-9][0-9]_*.py"):
        path.unlink()
    folder = Folder(FOLDER, EXERCISES)
    for exercise in EXERCISES:
        folder.restore(exercise)
    for number in range(1, len(SESSIONS) + 1):
        page = FOLDER / "sessions" / f"{number}.md"
        page.parent.mkdir(exist_ok=True)
        page.write_text(handout(number), encoding="utf-8")
    before, after = README.read_text(encoding="utf-8").split(HEADING)
    README.write_text(f"{before}{HEADING}{exercise_list()}\n{after[after.index('## ') :]}", encoding="utf-8")


if __name__ == "__main__":
    write()
