"""Write the untouched files into walkthroughs/exercises: python -m tests.exercises.write"""

from ovis2_ref.tools.exercises.catalogue import EXERCISES
from ovis2_ref.tools.exercises.folder import Folder
from tests.exercises.test_marking import FOLDER

if __name__ == "__main__":
    for path in FOLDER.glob("[0-9][0-9]_*.py"):
        path.unlink()
    folder = Folder(FOLDER, EXERCISES)
    for exercise in EXERCISES:
        folder.restore(exercise)
