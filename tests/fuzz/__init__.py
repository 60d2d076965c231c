"""A fuzzer of everything that is public: drawn calls and mutated files, in processes with limits.

`make fuzz` runs it for long, `tests/test_fuzz.py` for a moment. What it draws follows from a seed
alone, so that one line repeats what it found (threads and timers aside, whose timing no seed has).

| file | idea |
|---|---|
| `surface` | what is public, found by looking |
| `values` | arguments: kinds of them, and odd ones |
| `arguments` | which fit which parameter |
| `callbacks` | callables that raise, call back, or close the machine |
| `world` | the objects that are called, and what has to be left when they are gone |
| `providers` | one result of each class of the library |
| `calls` | a case of calls: drawing it, running it |
| `corpus` | programs, recordings, replays, traces to begin with |
| `mutate` | what is done to them |
| `files` | a case of a file: mutated, read, used |
| `judge` | what a call may raise and return |
| `growth` | memory, threads, descriptors: what a process must not gather |
| `worker` | one process: cases in turn, limits, a watchdog |
| `driver` | many processes: what came of them |
| `shrink` | fewer steps, the same failure |

"""
