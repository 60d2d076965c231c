"""The command line: verbs, exit codes, one line for an error."""

import json
import subprocess
import sys

import mmcore


def python(*args):
    command = [sys.executable, *args]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def mmcore_command(*args):
    return subprocess.run(
        [sys.executable, "-m", "mmcore", *args],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_version_names_the_version():
    done = mmcore_command("--version")
    assert (done.returncode, done.stdout) == (0, f"mmcore {mmcore.__version__}\n")


def test_env_as_json_names_build_and_machine():
    facts = json.loads(mmcore_command("env", "--json").stdout)
    assert facts["build"] == mmcore.build_info()
    assert facts["cpus"] >= 1


def test_help_lists_the_verbs():
    done = mmcore_command("--help")
    assert done.returncode == 0
    assert "env" in done.stdout


def test_a_missing_extra_is_named_in_one_line():
    # None in sys.modules makes an import fail as an absent package does.
    script = "import sys; sys.modules['cyclopts'] = None; import mmcore.__main__ as m; m.main()"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "mmcore: the command line needs: pip install 'mmcore-linux[cli]'\n"


def test_an_unknown_verb_is_one_line_and_exit_2():
    done = mmcore_command("nonsense")
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
