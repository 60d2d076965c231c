"""The end of the interpreter and of its forks: the exit code is right, whatever is still alive."""

import os
import re
import struct
import textwrap
from pathlib import Path

import pytest

from mmcore import _mmcore
from subprocesses import run, runs_clean

#: Runs of each script. Without the protection 18 of 20 runs aborted.
TIMES = int(os.environ.get("END_RUNS", "4"))

WORLD = """
import atexit, gc, os, signal, sys, threading, time
import mmcore

machine = mmcore.Machine(nodes=["4MiB", "4MiB"])
space = machine.address_space()
region = space.mmap("64KiB")
region[:] = b"x" * 65536
machine.drain()


class Owner(mmcore.handles.MovableOps):
    def isolate(self, page):
        time.sleep(0.0005)
        return True

    def migrate(self, source, target, mode):
        time.sleep(0.0005)


pool = machine.page_pool(ops=Owner())
numbers = [pool.add() for _ in range(8)]


def where(page):
    time.sleep(0.0005)
    return 1 - page.node


def forever(work):
    def loop():
        while True:
            try:
                work()
            except Exception:
                pass

    threading.Thread(target=loop, daemon=True).start()
"""

CALLS = {
    "callbacks": """
        forever(lambda: machine.migrate_pages([region.page(n) for n in range(16)], where))
        forever(lambda: pool.page(0).isolate().migrate(node=1))
        forever(lambda: pool.page(0).isolate().putback())
    """,
    "accesses": """
        for _ in range(8):
            forever(lambda: region[0:8192])
            forever(lambda: region.__setitem__(slice(0, 4096), b"y" * 4096))
    """,
    "exceptions": """
        for _ in range(4):
            forever(lambda: region.page(0).state())
            forever(lambda: machine.page(10**9))
            forever(lambda: machine.audit())
    """,
    "handlers": """
        space.early_kill = True
        space.on_sigbus(lambda signal: time.sleep(0.001))
        def fails():
            page = machine.address_spaces[0].page_at(region.address)
            machine.memory_failure(page, current=space)
            region.unmap(0, 1)
        forever(fails)
        forever(fails)
    """,
    "conversions": """
        class Slow:
            def __index__(self):
                time.sleep(0.001)
                return 0
        class Pages:
            def __iter__(self):
                for n in range(16):
                    time.sleep(0.0005)
                    yield region.page(n)
        for _ in range(4):
            forever(lambda: region.page(Slow()))
            forever(lambda: machine.migrate_pages(Pages(), node=1))
            forever(lambda: region[Slow() : 100])
    """,
    "daemons": """
        machine.compaction_proactiveness = 100
        machine.start_daemons()
        file = machine.file("3584KiB")
        def churn():
            file.read(3584 << 10)
            for page in range(1, 896, 2):
                file.evict(page, page + 1)
        forever(churn)
        forever(lambda: machine.compact(0))
        time.sleep(0.6)
    """,
    "compression": """
        zs = machine.zsmalloc()
        machine.swapon(machine.zram("64KiB"))
        forever(lambda: zs.free(zs.put(b"x" * 100)))
        forever(lambda: region.madvise("pageout"))
        forever(lambda: region[:])
        forever(machine.zsmalloc)
    """,
    "statistics": """
        import numpy as np
        from mmcore._comparison.stats import blocks
        values, baseline = np.random.default_rng(1).random((2, 400_000)) + 1
        trials = np.arange(400_000) // 200_000
        for _ in range(4):
            forever(lambda: blocks(values, baseline, trials))
        time.sleep(0.3)
    """,
    "collections": """
        class Cycle:
            def __init__(self):
                self.me = self
            def __del__(self):
                time.sleep(0.001)
        # Before Python 3.12 the collector runs where an object is made, in Rust as well.
        gc.set_threshold(20)
        def loop():
            rubbish = [Cycle(), Cycle()]
            rubbish = None
            keep = [page.flags for _ in range(40)]
        page = region.page(0)
        for _ in range(8):
            forever(loop)
    """,
    "finalisers": """
        class Late:
            def __call__(self, signal):
                pass
            def __del__(self):
                time.sleep(0.001)
        for _ in range(4):
            forever(lambda: space.on_sigbus(Late()))
            forever(lambda: region.page(0).get())  # dropped, and warned of
        import warnings
        warnings.simplefilter("ignore")
    """,
}


@pytest.mark.parametrize("calls", CALLS)
def test_daemon_threads_inside_of_calls_do_not_abort_the_end(calls):
    script = WORLD + textwrap.dedent(CALLS[calls])
    # Objects that the interpreter takes some time to free give the threads time to wake up.
    script += "time.sleep(0.05)\nrubbish = [{n: [n]} for n in range(100_000)]\n"
    runs_clean(script, times=TIMES)


def test_the_exit_code_is_the_script_s():
    script = WORLD + textwrap.dedent(CALLS["callbacks"]) + "time.sleep(0.05)\nsys.exit(7)\n"
    for _ in range(TIMES):
        code, printed = run(script)
        assert (code, printed) == (7, "")


def test_objects_alive_at_the_end_are_left_in_any_state():
    script = """
        import warnings
        warnings.simplefilter("ignore")
        keep = [memoryview(region.pin(n)) for n in range(4)]
        keep += [region.page(6).isolate(), machine.alloc(order=2)]
        keep += [machine.trace().__enter__(), machine.cpu(0).__enter__()]
        file = machine.file("8KiB")
        file.write(b"x")
        keep += [file.begin_writeback(0), region.page(5).lock()]
        mmcore.keep = keep

        class Last:
            # The interpreter is half gone, and the machine is all there.
            def __del__(self, machine=machine):
                assert machine.vmstat()["nr_free_pages"] > 0

        atexit.register(lambda: machine.vmstat())
        mmcore.last = Last()
        space.on_sigbus(lambda signal, machine=machine: None)
    """
    runs_clean(WORLD + textwrap.dedent(script))


def test_a_wait_for_a_thread_that_the_end_has_stopped_ends():
    script = """
        held = threading.Event()
        def holds():
            keep = region.page(0).lock()
            held.set()
            time.sleep(1000)
        threading.Thread(target=holds, daemon=True).start()
        held.wait()
        class Last:
            def __del__(self, calls=(region.page(0).lock, machine.sync), exit=os._exit):
                for call in calls:
                    try:
                        call()
                    except Exception as error:
                        if "interpreter ends" not in str(error):
                            exit(3)
                    else:
                        exit(4)
        mmcore.last = Last()
    """
    runs_clean(WORLD + textwrap.dedent(script))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_multiprocessing_works_beside_a_machine(method, tmp_path):
    script = tmp_path / "script.py"
    body = (
        textwrap.dedent(CALLS["callbacks"])
        + """
def child(number):
    with mmcore.Machine(nodes=["1MiB", "1MiB"]) as mine:
        region = mine.address_space().mmap("16KiB")
        region[0:5] = b"child"
        mine.audit().raise_for_findings()
        return bytes(region[0:5]), number
"""
    )
    main = f"""
import multiprocessing

if __name__ == "__main__":
    import warnings
    warnings.simplefilter("ignore")
    context = multiprocessing.get_context("{method}")
    with context.Pool(2) as pool:
        assert pool.map(child, range(8)) == [(b"child", n) for n in range(8)]
"""
    # The script is a file, because children that are not forked import it.
    script.write_text(WORLD + body + main)
    runs_clean(f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')", times=2)


def test_a_fork_with_threads_inside_of_calls_leaves_a_child_that_ends():
    script = (
        # While a migration moves a page, its entry shows no frame: the reference comes first.
        "handle = region.page(14).get()\n"
        + textwrap.dedent(CALLS["callbacks"])
        + textwrap.dedent(CALLS["accesses"])
        + textwrap.dedent("""
        import warnings
        warnings.simplefilter("ignore")
        tracing = machine.trace()
        tracing.__enter__()
        pin = region.pin(15)
        view = memoryview(pin)
        time.sleep(0.02)
        for _ in range(20):
            child = os.fork()
            if child == 0:
                signal.alarm(60)
                try:
                    assert bytes(view[:1]) == b"x"
                    calls = (machine.vmstat, machine.audit, region.page, handle.put, pool.add)
                    for call in (*calls, space.exit):
                        try:
                            call()
                        except mmcore.errors.MisuseError:
                            pass
                        else:
                            raise SystemError(call)
                    repr((machine, region, space, pool, tracing, pin, handle))
                    handle = tracing = None
                    gc.collect()
                    machine.close()
                    with mmcore.Machine(nodes=["1MiB"]) as own:
                        own.alloc().put()
                        own.audit().raise_for_findings()
                    code = 0
                except BaseException as error:
                    print(repr(error), flush=True)
                    code = 1
                os._exit(code)
            _, status = os.waitpid(child, 0)
            assert status == 0, status
    """)
    )
    runs_clean(WORLD + script, times=2)


#: Functions of the interpreter that run no Python code, with the reason. Rust calls them directly.
HARMLESS = {
    "they compare classes": ("PyErr_ExceptionMatches", "PyErr_GivenExceptionMatches"),
    "they hand out a reference, or count one": (
        "PyErr_Fetch",
        "PyErr_Occurred",
        "PyException_GetCause",
        "PyException_GetTraceback",
        "PyModule_GetNameObject",
        "PyTuple_GetItem",
        "PyType_GetName",
        "PyType_GetQualName",
        "PyWeakref_GetObject",
        "Py_NewRef",
        "_Py_IncRef",
    ),
    "they read a field, or compute": (
        "PyByteArray_AsString",
        "PyByteArray_Size",
        "PyBytes_AsString",
        "PyBytes_Size",
        "PyCallable_Check",
        "PyDict_Next",
        "PyDict_Size",
        "PySequence_Check",
        "PySlice_AdjustIndices",
        "PyTuple_Size",
        "PyType_GetFlags",
        "PyType_GetSlot",
        "PyType_IsSubtype",
        "Py_IsInitialized",
    ),
    "they make an object that the cycle collector does not know": (
        "PyBytes_FromStringAndSize",
        "PyLong_FromLong",
        "PyLong_FromSsize_t",
        "PyLong_FromUnsignedLongLong",
        "PyUnicode_FromStringAndSize",
        "PyUnicode_InternInPlace",
    ),
    "they put an object into a fresh one": ("PyList_Append", "PyList_SetItem", "PyTuple_SetItem"),
    "they copy bytes, or fill a struct": (
        "PyBuffer_FillInfo",
        "PyBuffer_FromContiguous",
        "PyBuffer_ToContiguous",
        "PyModuleDef_Init",
        "PyObject_GC_UnTrack",
    ),
    "the interpreter calls them, not Rust": ("PyObject_GenericGetDict", "PyObject_GenericSetDict"),
    "PyO3 hangs a thread that may not attach": ("PyEval_RestoreThread", "PyGILState_Ensure"),
    "it only detaches": ("PyEval_SaveThread",),
}
#: Names of data: types, exceptions and single objects.
DATA = re.compile(r"PyExc_\w+|_?Py\w+_?Type|_Py_\w+Struct")


def undefined(path):
    """The names that an ELF file of 64 bits imports."""
    image = path.read_bytes()
    assert image[:5] == b"\x7fELF\x02"
    (table,) = struct.unpack_from("<Q", image, 40)
    entry, count = struct.unpack_from("<HH", image, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", image, table + n * entry) for n in range(count)]
    (symbols,) = [section for section in sections if section[1] == 11]
    names = sections[symbols[6]][4]
    for at in range(symbols[4], symbols[4] + symbols[5], 24):
        name, _, _, section = struct.unpack_from("<IBBH", image, at)
        if section == 0 and name:
            yield image[names + name : image.index(b"\0", names + name)].decode()


def test_every_function_that_may_run_python_code_has_a_wrapper():
    imported = {name for name in undefined(Path(_mmcore.__file__)) if re.match("_?Py", name)}
    wrappers = Path(__file__).parents[1] / "rust" / "python" / "src" / "ending.rs"
    wrapped = set(re.findall(r"\b__wrap_(\w+)", wrappers.read_text()))
    harmless = {name for names in HARMLESS.values() for name in names}
    assert "PyObject_Call" in wrapped & imported
    assert not wrapped & harmless
    assert {n for n in imported - wrapped - harmless if not DATA.fullmatch(n)} == set()
    # A reason for a function that is no longer imported would hide its return.
    assert harmless <= imported
