"""A fuzzer of the public interface: drawn calls and mutated files, in processes with limits.

`make fuzz` runs it for long, `tests/test_fuzz.py` for a moment. Every case follows from a seed
alone, so that one command repeats a failure, except for the timing of threads and timers.

| file | idea |
|---|---|
| `surface` | the public names, found by inspecting the package |
| `values` | kinds of arguments, ordinary and odd ones |
| `arguments` | the arguments that fit each parameter |
| `callbacks` | callables that raise, call the library again, or close the machine |
| `world` | the objects that are called, and the checks after they are dropped |
| `providers` | one object of each class that no machine returns |
| `calls` | draws and runs a case of calls |
| `corpus` | intact programs, recordings, replays and traces |
| `mutate` | the changes to these files |
| `files` | mutates, reads and uses a file |
| `judge` | the exceptions and results that a call may have |
| `growth` | leaks of memory, threads and descriptors |
| `worker` | a process that runs cases in turn, with limits and a watchdog |
| `driver` | starts the processes and collects their results |
| `shrink` | removes steps that a failure does not need |
"""
