"""`mmcore conformance`: replays recordings of real kernels and compares every step."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - the command line reads the annotations
from typing import Annotated

from cyclopts import Parameter

import mmcore
from mmcore._cli import inputs, output, showing, signals
from mmcore._cli.progress import Bar
from mmcore._errors import InputError


def conformance(
    *recordings: Path,
    set_: inputs.Fields = (),
    until_unsupported: Annotated[bool, Parameter(negative=())] = False,
    view: showing.View | None = None,
) -> int:
    """Replay recordings of real kernels and compare every step.

    Args:
        recordings: files, or folders of which every recording is taken (docs/conformance.md).
        set_: FIELD=VALUE: a field of the profile, set over the profile of each recording's kernel.
        until_unsupported: count a recording as matching if all steps match before the first
            operation that the machine cannot do.
        view: the options by which the result is printed and saved.
    """
    view = view or showing.View()
    if not recordings:
        raise InputError("name a recording, or a folder of recordings")

    view.check()
    fields = inputs.fields(set_)

    def work() -> mmcore.results.Conformance:
        with Bar("replaying") as bar:
            return mmcore.conformance(
                recordings,
                profile=fields,
                until_unsupported=until_unsupported,
                skip_unread=True,
                progress=lambda done, total: bar.update(done=done, of=total),
            )

    def show(result: mmcore.results.Conformance) -> int:
        code = showing.CODES[result.status]
        if result.rows or view.as_json:
            code = showing.finish(result, view)
        for line in result.unread:
            output.complain(line)
        return code

    return signals.report(work, show)
