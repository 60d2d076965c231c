"""The fields of a profile, and the differences of two kernels."""

import json
import shlex

import pytest

import mmcore
import mmcore.searches
from mmcore._cli import run
from mmcore.errors import InputError


def test_every_field_is_listed_with_every_presets_choice_its_source_and_meaning():
    listed = mmcore.profiles()
    assert listed.presets == tuple(mmcore.Profile.PRESETS)
    assert [field.name for field in listed.fields] == list(mmcore.Profile())
    for field in listed.fields:
        assert field.meaning
        assert field.source
        assert field.accepts
        for preset, value in field.values.items():
            assert mmcore.Profile(kernel=preset)[field.name] == value


def refused(name, value):
    """The message with which a profile refuses the value; None if the profile has it."""
    try:
        assert mmcore.Profile(**{name: value})[name] == value
    except InputError as error:
        return str(error)


@pytest.mark.parametrize(
    "call",
    [
        lambda profile: mmcore.searches.soak(5, profile=profile),
        lambda profile: mmcore.searches.standard(
            matching="movable 1: release", preemptions=0, profile=profile
        ),
    ],
    ids=["soak", "standard"],
)
def test_the_command_of_a_whole_profile_has_its_preset_and_the_fields_that_differ(call, capsys):
    result = call(mmcore.Profile(kernel="6.1", pagevec=7, split_poisons=False))
    words = shlex.split(result.command)
    options = {word for word in words if word.startswith("--set=")}
    assert options == {"--set=pagevec=7", "--set=split_poisons=false"}
    assert words[words.index("--kernel") + 1] == "6.1"
    assert run(words[1:]) == 0, capsys.readouterr()


def test_a_release_among_the_fields_is_the_one_design_of_a_search():
    of_one = {"matching": "movable 1: release", "preemptions": 0}
    for profile in ({"release": "packed"}, mmcore.Profile(release="packed")):
        result = mmcore.searches.standard(profile=profile, **of_one)
        assert {each.design for each in result.searches} == {"packed"}
    with pytest.raises(InputError, match="leave one out"):
        mmcore.searches.standard(release="hook", profile={"release": "packed"}, **of_one)


@pytest.mark.parametrize("value", [0, 16, 32, 101, 255, 256, -1])
def test_a_number_out_of_range_is_refused_under_its_own_name(value):
    profile = mmcore.Profile()
    numbers = [name for name in profile if type(profile[name]) is int]
    assert {"passes", "sync_passes"} <= set(numbers)
    for name in numbers:
        message = refused(name, value)
        assert message is None or message.startswith(f'{name} cannot be "{value}": it accepts')


def test_two_presets_differ_exactly_where_their_profiles_do():
    one, other = mmcore.Profile(kernel="6.1"), mmcore.Profile(kernel="6.12")
    compared = mmcore.profiles("6.1", "6.12")
    assert {row["field"] for row in compared.table} == {
        name for name in one if one[name] != other[name]
    }
    assert compared.table[0]["values"].keys() == {"6.1", "6.12"}
    assert str(mmcore.profiles("6.12", "6.12")) == "6.12 and 6.12 do not differ"


def test_every_differing_field_of_the_recorded_kernels_cites_a_recording():
    for field in mmcore.profiles("6.1", "6.12").fields:
        assert "6.1 and 6.12: " in field.source, field.name


def test_the_command_prints_lines_or_json(capsys):
    assert run(["profiles"]) == 0
    shown = capsys.readouterr().out
    assert "pagevec: 4.5 14, 4.8 14, 6.1 15, 6.12 31, 6.19 31\n" in shown
    assert "    Accepts a number" in shown
    assert run(["profiles", "6.1", "6.12", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["kind"], data["presets"]) == ("profiles", ["6.1", "6.12"])
    assert data["compared"]
    assert "release" not in {row["field"] for row in data["fields"]}
    assert run(["profiles", "6.12"]) == 0
    assert "pagevec: 31\n" in capsys.readouterr().out.replace("6.12 ", "")


@pytest.mark.parametrize("arguments", [["5.0"], ["6.1", "5.0"], ["6.1", "6.12", "4.5"]])
def test_an_unknown_preset_is_refused_in_one_line_with_2(arguments, capsys):
    assert run(["profiles", *arguments]) == 2
    complaint = capsys.readouterr().err
    assert complaint.startswith("mmcore: ")
    assert complaint.count("\n") == 1


def unmap(region, _other):
    region.unmap(0, 1)


def dontneed(region, _other):
    region.madvise("dontneed", 0, 1)


def leave(_region, other):
    other.exit()


@pytest.mark.parametrize("end", [unmap, dontneed, leave])
def test_unmapping_drains_the_batches_in_older_kernels(build, end):
    listed = {}
    for kernel in mmcore.Profile.PRESETS:
        machine = build(nodes=["1MiB"], kernel=kernel)
        region, other = machine.address_space().mmap(3 * 4096), machine.address_space()
        machine.drain()
        for page in range(3):
            region[page * 4096] = 1
        end(region, other)
        listed[kernel] = "lru" in region.page(2).flags
    assert listed == {"4.5": True, "4.8": True, "6.1": True, "6.12": True, "6.19": False}
