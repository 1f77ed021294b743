"""Files that try to get a tick without an answer: none does, and the process that marks them lives on."""

import sys
import textwrap
from pathlib import Path

import pytest

import ovis2_ref
from ovis2_ref.exercises import process
from ovis2_ref.exercises.catalogue import EXERCISES
from ovis2_ref.exercises.marking import mark

RMS_NORM = next(exercise for exercise in EXERCISES if exercise.name == "rms_norm")
PACKAGE = Path(ovis2_ref.__file__).parent
ANSWER = f"{PACKAGE}/exercises/catalogue/rms_norm.py"
HEAD = rf"""
import atexit, builtins, gc, importlib, inspect, io, json, os, sys, threading
import numpy as np

ANSWER, PACKAGE, PARENT = {ANSWER!r}, {str(PACKAGE)!r}, {str(PACKAGE.parent)!r}

def WRONG(x, weight, eps):
    return x

def take(text):
    start, end = text.index("def rms_norm"), text.index("def project")
    exec("from jaxtyping import Float\n" + text[start:end], globals())

def write_verdicts():
    line = {{"value": True, "right": True, "error": "", "message": "", "lines": [], "changed": "", "printed": ""}}
    for fd in range(3, 20):
        try:
            os.write(fd, b'{{"loaded": true}}\n' + (json.dumps(line).encode() + b"\n") * 14)
        except OSError:
            pass
"""

CHEATS = {
    "ends at once": r"""
        os._exit(0)
    """,
    "ends in the function": r"""
        def rms_norm(x, weight, eps): os._exit(0)
    """,
    "exits": r"""
        sys.exit(0)
    """,
    "exits in the function": r"""
        def rms_norm(x, weight, eps): sys.exit(0)
    """,
    "ends at exit": r"""
        atexit.register(os._exit, 0)
        rms_norm = WRONG
    """,
    "patches comparisons": r"""
        np.array_equal = np.allclose = np.any = lambda *a, **k: True
        np.finfo = None
        rms_norm = WRONG
    """,
    "patches builtins": r"""
        builtins.all = builtins.any = lambda *a: True
        builtins.len = lambda x: 14
        rms_norm = WRONG
    """,
    "an array equal to everything": r"""
        class A(np.ndarray):
            __eq__ = lambda s, o: np.ones(s.shape, bool)
            __ne__ = lambda s, o: np.zeros(s.shape, bool)
            __array_ufunc__ = lambda s, *a, **k: np.ones(s.shape, bool)
        def rms_norm(x, weight, eps): return x.view(A)
    """,
    "an object equal to everything": r"""
        class A:
            __eq__ = lambda s, o: True
            __class__ = np.ndarray
            shape = property(lambda s: (2,))
            dtype = np.dtype(float)
        def rms_norm(x, weight, eps): return A()
    """,
    "numbers equal to everything": r"""
        class A:
            __eq__ = lambda s, o: True
        def rms_norm(x, weight, eps):
            y = np.empty(x.shape, object)
            y[:] = A()
            return y
    """,
    "a masked array": r"""
        def rms_norm(x, weight, eps): return np.ma.masked_all(x.shape, x.dtype)
    """,
    "imports the answer": r"""
        from ovis2_ref.exercises.catalogue.rms_norm import rms_norm
    """,
    "imports the project's function": r"""
        def rms_norm(x, weight, eps):
            from ovis2_ref import ops
            return ops.rms_norm(x, {'weight': weight}, eps)
    """,
    "imports by name": r"""
        rms_norm = importlib.import_module('ovis2_ref.exercises.catalogue.rms_norm').rms_norm
    """,
    "imports by another name": r"""
        from importlib import util
        spec = util.spec_from_file_location('harmless', ANSWER)
        m = util.module_from_spec(spec)
        sys.path.insert(0, '.')
        spec.loader.exec_module(m)
        rms_norm = m.rms_norm
    """,
    "reads the answer": r"""
        s = open(ANSWER).read()
        take(s)
    """,
    "reads it by os.open": r"""
        s = os.read(os.open(ANSWER, os.O_RDONLY), 9999).decode()
        take(s)
    """,
    "reads it from a folder's descriptor": r"""
        d = os.open(PARENT, os.O_RDONLY)
        s = os.read(os.open('ovis2_ref/exercises/catalogue/rms_norm.py', os.O_RDONLY, dir_fd=d), 9999).decode()
        take(s)
    """,
    "reads it as numbers": r"""
        s = np.fromfile(ANSWER, np.uint8).tobytes().decode()
        take(s)
    """,
    "reads it by linecache": r"""
        import linecache
        s = ''.join(linecache.getlines(ANSWER))
        take(s)
    """,
    "goes there first": r"""
        os.chdir(PACKAGE)
        s = open('exercises/catalogue/rms_norm.py').read()
        take(s)
    """,
    "reads it by another process": r"""
        import subprocess
        s = subprocess.check_output(['cat', ANSWER], text=True)
        take(s)
    """,
    "copies it by a shell": r"""
        os.system('cp ' + ANSWER + ' stolen.py')
        rms_norm = WRONG
    """,
    "forks": r"""
        os.fork()
        rms_norm = WRONG
    """,
    "becomes another program": r"""
        os.execv('/bin/true', ['true'])
    """,
    "spawns": r"""
        os.posix_spawn('/bin/true', ['true'], {})
        rms_norm = WRONG
    """,
    "kills the process that marks": r"""
        import signal
        os.kill(os.getppid(), signal.SIGKILL)
    """,
    "reads the memory of the process that marks": r"""
        open(f'/proc/{os.getppid()}/mem', 'rb')
        rms_norm = WRONG
    """,
    "patches the process's own functions": r"""
        import __main__
        __main__.plain = lambda v: True
        __main__.run = lambda *a: __main__.Outcome(True)
        rms_norm = WRONG
    """,
    "looks into frames": r"""
        def rms_norm(x, weight, eps):
            f = sys._getframe()
            while f:
                for n, v in {**f.f_globals, **f.f_locals}.items():
                    if 'expected' in n: return v
                f = f.f_back
            return x
    """,
    "looks at all objects": r"""
        def rms_norm(x, weight, eps):
            return next((o['expected'] for o in gc.get_objects() if isinstance(o, dict) and 'expected' in o), x)
    """,
    "writes a verdict": r"""
        write_verdicts()
        rms_norm = WRONG
    """,
    "writes a verdict and ends": r"""
        write_verdicts()
        os._exit(0)
    """,
    "writes nonsense": r"""
        os.write(3, b'[' * 100000)
        os.write(3, b'\n')
        os._exit(0)
    """,
    "says that a person is at the prompt": r"""
        os.write(3, b'{"breakpoint": true}\n')
        while True: pass
    """,
    "prints a verdict": r"""
        print('✓ rms_norm is right')
        rms_norm = WRONG
    """,
    "a thread that never ends": r"""
        threading.Thread(target=lambda: [None for _ in iter(int, 1)]).start()
        rms_norm = WRONG
    """,
    "traces": r"""
        sys.settrace(lambda *a: None)
        sys.setprofile(lambda *a: os._exit(0))
        rms_norm = WRONG
    """,
    "says it is done": r"""
        import json
        json.dump({'done': ['rms_norm'], 'hints': {}}, open('progress.json', 'w'))
        rms_norm = WRONG
    """,
    "blinds the rules": r"""
        os.fspath = os.path.realpath = os.stat = lambda *a, **k: '/dev/null'
        builtins.any = builtins.isinstance = lambda *a: False
        s = io.open(ANSWER).read()
        take(s)
    """,
    "takes the rules apart": r"""
        hook = next(o for o in gc.get_objects() if getattr(o, '__name__', '') == 'hook')
        hook.__code__ = (lambda *a: None).__code__
        s = open(ANSWER).read()
        take(s)
    """,
    "finds the rules by their error": r"""
        try:
            open(ANSWER)
        except PermissionError as e:
            f = e.__traceback__.tb_next.tb_frame
            f.f_locals.update(answers=(), forbidden=())
            f.f_globals.update(dict.fromkeys(f.f_globals))
        s = open(ANSWER).read()
        take(s)
    """,
    "a name with two faces": r"""
        class P(str):
            __radd__ = lambda s, o: '/dev/null'
        s = open(P(ANSWER)).read()
        take(s)
    """,
    "by way of a link": r"""
        os.symlink(PACKAGE, 'here')
        s = open('here/exercises/catalogue/rms_norm.py').read()
        take(s)
    """,
    "a listening socket": r"""
        import socket
        socket.socket().bind(('127.0.0.1', 0))
        rms_norm = WRONG
    """,
    "changes the answer": r"""
        open(ANSWER, 'a').write('#')
        rms_norm = WRONG
    """,
    "removes the answer": r"""
        os.remove(PACKAGE + '/nothing.py')
        rms_norm = WRONG
    """,
    "lifts its limits": r"""
        import resource
        resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))
        rms_norm = WRONG
    """,
    "an endless list": r"""
        def rms_norm(x, weight, eps):
            y = []
            y.append(y)
            return y
    """,
    "too much memory": r"""
        def rms_norm(x, weight, eps): return np.ones(10**10)
    """,
    "too much output": r"""
        def rms_norm(x, weight, eps): return np.ones(10**7)
    """,
    "too much print": r"""
        def rms_norm(x, weight, eps):
            print('x' * 10**7)
            return x
    """,
    "a number without end": r"""
        def rms_norm(x, weight, eps): return 10**6000
    """,
    "recursion": r"""
        def rms_norm(x, weight, eps): return rms_norm(x, weight, eps)
    """,
    "catches everything": r"""
        try:
            from ovis2_ref.ops import rms_norm
        except BaseException:
            rms_norm = WRONG
    """,
}
"""What each does -> its file, below HEAD."""


@pytest.mark.parametrize("cheat", CHEATS, ids=lambda cheat: cheat.replace(" ", "_").replace("'", ""))
def test_no_tick_without_an_answer(cheat, tmp_path, monkeypatch):
    """Whatever a file tries; its verdict fits on a few screens, and nothing beside it has changed."""
    monkeypatch.setattr(process, "PATIENCE", 2.0 if "prompt" in cheat else 20.0)
    path, before = tmp_path / "03_rms_norm.py", Path(ANSWER).read_bytes()
    path.write_text(HEAD + textwrap.dedent(CHEATS[cheat]))
    verdict = mark(RMS_NORM, path, pictures=False)
    assert not verdict.right
    assert len(verdict.problem) < 8000
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert Path(ANSWER).read_bytes() == before


def test_results_learnt_by_heart_are_seen_by_other_cases(tmp_path):
    """The shown cases are the same for everybody; a teacher draws others from a seed of their own."""
    from ovis2_ref.exercises.submission import plain

    table = {str(plain(inputs)): expected.tolist() for inputs, expected in RMS_NORM.examples}
    source = Path(sys.modules["ovis2_ref.exercises.submission"].__file__).read_text()
    start, end = source.index("def plain("), source.index("def restored(")
    path = tmp_path / "03_rms_norm.py"
    path.write_text(
        f"import base64\nfrom typing import Any\n{HEAD}{source[start:end]}\nTABLE = {table}\n"
        "def rms_norm(**inputs): return np.array(TABLE.get(str(plain(inputs)), 0), inputs['x'].dtype)\n"
    )
    assert mark(RMS_NORM, path, pictures=False).right
    assert not mark(RMS_NORM, path, seed=20260, pictures=False).right
    path.write_text(RMS_NORM.text(3, 33).replace("    ...\n", RMS_NORM._head_and_body[1]))
    assert mark(RMS_NORM, path, seed=20260, pictures=False).right
