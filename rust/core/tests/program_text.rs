//! The text language: a printed program parses to the same program, no text makes the parser panic,
//! and every operation of the recordings prints exactly as it was recorded.
//!
//! The random programs are drawn from the table of operations itself, so a new operation is tested
//! as soon as it is in the table.

use mmcore::program::{
    ArgSpec, Boot, MachineSpec, MemoryModel, Op, OpSpec, ParseError, Place, Program, Switch, Syntax, Thread,
    operations, parse,
};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use std::collections::{BTreeMap, BTreeSet};

/// Each form of an operation in the recordings.
const RECORDED: &str = include_str!("data/recorded_ops.txt");

fn recorded() -> impl Iterator<Item = &'static str> {
    RECORDED.lines().filter(|line| !line.starts_with('#'))
}

fn number() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 0..10_u32, 1 => any::<u32>(), 1 => Just(u32::MAX)]
}

fn page_list() -> impl Strategy<Value = String> {
    let range = (number(), number()).prop_map(|(a, b)| format!("{}-{}", a.min(b), a.max(b)));
    let item = prop_oneof![number().prop_map(|page| page.to_string()), range];
    prop::collection::vec(item, 1..4).prop_map(|items| items.join(","))
}

/// A word of this syntax, as text.
fn word(syntax: Syntax) -> BoxedStrategy<String> {
    match syntax {
        Syntax::Number { min, max } => {
            let near_zero = (min.max(-3)..=9).prop_map(|number| number.to_string());
            prop_oneof![near_zero, (min..=max).prop_map(|number| number.to_string())].boxed()
        }
        Syntax::Choice(words) => select(words).prop_map(str::to_owned).boxed(),
        Syntax::Name(letter) => any::<u16>().prop_map(move |number| format!("{letter}{number}")).boxed(),
        Syntax::Token => token().boxed(),
        Syntax::Blocks => {
            let range = (0u32..40, 0u32..40, 1u32..5, 0u32..5).prop_map(|(first, more, keep, rest)| {
                format!("{first}-{}/{keep}:{}", first + more, keep + rest)
            });
            let one = number().prop_map(|block| block.to_string());
            prop::collection::vec(prop_oneof![one, range], 1..4).prop_map(|items| items.join(",")).boxed()
        }
        Syntax::Sizes => {
            let one = prop_oneof![Just("same".to_owned()), (0u32..=4096).prop_map(|size| size.to_string())];
            prop::collection::vec(one, 1..4).prop_map(|items| items.join(",")).boxed()
        }
        Syntax::Bytes => (any::<u32>(), select(&["", "K", "M", "G"][..]))
            .prop_map(|(n, unit)| format!("{n}{unit}"))
            .boxed(),
        Syntax::Selection { listed, single, sum } => {
            let whole =
                (select(listed), any::<u16>()).prop_map(|(letter, number)| format!("{letter}{number}"));
            let part = (whole.clone(), page_list()).prop_map(|(name, list)| format!("{name}:{list}"));
            let mut one = prop_oneof![whole, part].boxed();
            for &name in single {
                let name = if name.len() == 1 {
                    any::<u16>().prop_map(move |number| format!("{name}{number}")).boxed()
                } else {
                    Just(name.to_owned()).boxed()
                };
                one = prop_oneof![3 => one, 1 => name].boxed();
            }
            let most = if sum { 3 } else { 1 };
            prop::collection::vec(one, 1..=most).prop_map(|parts| parts.join("+")).boxed()
        }
        Syntax::Options(options) => {
            let options = options.iter().map(|&(name, value)| match value {
                Some(&value) => word(value).prop_map(move |value| format!("{name}={value}")).boxed(),
                None => Just(name.to_owned()).boxed(),
            });
            proptest::strategy::Union::new(options).boxed()
        }
    }
}

/// The text of an argument with the blank before it, or nothing.
fn argument(arg: ArgSpec) -> BoxedStrategy<String> {
    let one = match (arg.place, arg.syntax) {
        (Place::Positional, syntax) => word(syntax).prop_map(|word| format!(" {word}")).boxed(),
        (Place::Key, syntax) => word(syntax).prop_map(move |word| format!(" {}={word}", arg.name)).boxed(),
        (Place::Options, Syntax::Choice(words)) => subsequence(words, 0..=words.len())
            .prop_shuffle()
            .prop_map(|words| words.iter().map(|word| format!(" {word}")).collect())
            .boxed(),
        (Place::Options, Syntax::Options(options)) => {
            // Each option at most once, in any order.
            let each: Vec<_> = (0..options.len())
                .map(|i| prop::option::of(word(Syntax::Options(&options[i..=i]))))
                .collect();
            each.prop_shuffle()
                .prop_map(|words| words.into_iter().flatten().map(|word| format!(" {word}")).collect())
                .boxed()
        }
        (Place::Options, other) => panic!("options that are no words: {other:?}"),
    };
    if arg.required { one } else { prop::option::of(one).prop_map(Option::unwrap_or_default).boxed() }
}

/// The text of an operation.
fn line(spec: OpSpec) -> impl Strategy<Value = String> {
    let arguments: Vec<_> = spec.args.iter().copied().map(argument).collect();
    arguments.prop_map(move |arguments| format!("{}{}", spec.word, arguments.concat()))
}

fn op_text() -> impl Strategy<Value = String> {
    select(operations()).prop_flat_map(line)
}

fn op() -> impl Strategy<Value = Op> {
    op_text().prop_map(|text| text.parse().unwrap_or_else(|error| panic!("{text}: {error}")))
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 0..4)
}

fn token() -> impl Strategy<Value = String> {
    "[!-\"$-<>-~]{1,12}"
}

fn machine() -> impl Strategy<Value = MachineSpec> {
    let profile = prop::collection::btree_map("[a-z_]{3,12}", token(), 0..3).prop_map(|fields| {
        let reserved =
            ["nodes", "pages", "cpus", "movable", "offline", "block", "pressure", "memory", "kernel"];
        let kept = fields.into_iter().filter(|(name, _)| !reserved.contains(&name.as_str()));
        kept.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect::<BTreeMap<_, _>>()
    });
    let kernel = prop::option::of(token().prop_map(|kernel| kernel.parse().unwrap()));
    let pages = prop::collection::vec(number(), 0..4);
    let listed = || prop::collection::vec(number(), 0..3);
    let cpus = prop::option::of(number());
    let block = prop::option::of(number());
    let pressure = prop::option::of(select(&[Switch::On, Switch::Off][..]));
    let memory = prop::option::of(select(&[MemoryModel::Sc, MemoryModel::Tso][..]));
    (any::<bool>(), pages, cpus, listed(), listed(), block, pressure, memory, kernel, profile).prop_map(
        |(say_nodes, pages, cpus, movable, offline, block, pressure, memory, kernel, profile)| {
            let nodes = say_nodes.then_some(if pages.is_empty() { 2 } else { pages.len() as u32 });
            MachineSpec { nodes, pages, cpus, movable, offline, block, pressure, memory, kernel, profile }
        },
    )
}

fn threads() -> impl Strategy<Value = Vec<Thread>> {
    let thread = (prop::option::of(number()), ops());
    prop::collection::btree_map(token(), thread, 0..4).prop_map(|threads| {
        let thread = |(name, (cpu, ops)): (String, _)| Thread { name: name.parse().unwrap(), cpu, ops };
        threads.into_iter().map(thread).collect()
    })
}

fn program() -> impl Strategy<Value = Program> {
    let boot = prop::option::of(any::<bool>().prop_map(|ballast| Boot { ballast }));
    (boot, prop::option::of(machine()), ops(), threads(), ops()).prop_map(
        |(boot, machine, setup, threads, finally)| Program { boot, machine, setup, threads, finally },
    )
}

/// Checks the outcome of a parse.
fn sound(text: &str, outcome: Result<Program, ParseError>) -> Result<(), TestCaseError> {
    match outcome {
        Ok(program) => prop_assert_eq!(parse(&program.to_string()), Ok(program)),
        Err(error) => {
            prop_assert!((1..=text.lines().count()).contains(&error.line), "{error} in {text:?}");
            let line = text.lines().nth(error.line - 1).unwrap();
            prop_assert!((1..=line.chars().count() + 2).contains(&error.column), "{error} in {text:?}");
            prop_assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
            prop_assert!(error.message.len() < 500, "{error}");
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_program_reads_back_as_printed(program in program()) {
        prop_assert_eq!(parse(&program.to_string()), Ok(program));
    }

    #[test]
    fn a_program_reads_back_from_json(program in program()) {
        prop_assert_eq!(Program::from_json(&program.to_json()), Ok(program));
    }

    #[test]
    fn an_operation_is_printed_in_one_way(text in op_text()) {
        let op: Op = text.parse().unwrap();
        let printed = op.to_string();
        prop_assert_eq!(printed.parse::<Op>().unwrap().to_string(), printed);
    }

    #[test]
    fn blanks_and_comments_mean_nothing(
        program in program(),
        blank in "[ \t]{1,3}",
        comment in prop::option::of("#[^\r\n]{0,10}"),
    ) {
        let spread = |line: &str| {
            if line.starts_with('#') {
                return line.to_owned();
            }
            let line = line.trim().replace(' ', &blank);
            format!("{blank}{line}{blank}{}\r\n\n", comment.clone().unwrap_or_default())
        };
        // The program has a boot line of its own; otherwise the first comment could be read as one.
        let program = Program { boot: Some(Boot { ballast: true }), ..program };
        let text: String = program.to_string().lines().map(|line| spread(line) + "\n").collect();
        prop_assert_eq!(parse(&text), Ok(program));
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "(?s).{0,200}") {
        sound(&text, parse(&text))?;
    }

    #[test]
    fn no_soup_of_its_words_makes_the_parser_panic(
        parts in prop::collection::vec(
            prop_oneof![
                3 => select(operations()).prop_map(|spec| spec.word.to_owned()),
                2 => select(vec!["machine", "thread", "finally", "node=", "r0:", "+", ",", "-", "=", ":"])
                    .prop_map(str::to_owned),
                4 => op_text(),
                2 => number().prop_map(|number| number.to_string()),
                1 => "\\PC{0,4}",
            ],
            0..20,
        ),
        joints in prop::collection::vec(select(vec![" ", "\n", "", "\n  ", "#", "\r"]), 20),
    ) {
        let text: String = parts.iter().zip(joints).map(|(part, joint)| format!("{part}{joint}")).collect();
        sound(&text, parse(&text))?;
    }

    #[test]
    fn no_broken_program_makes_the_parser_panic(
        program in program(), at in any::<Index>(), length in 0..4_usize, patch in "(?s).{0,3}",
    ) {
        let mut text: Vec<char> = program.to_string().chars().collect();
        let from = at.index(text.len() + 1);
        let to = (from + length).min(text.len());
        text.splice(from..to, patch.chars());
        let text: String = text.into_iter().collect();
        sound(&text, parse(&text))?;
    }

    #[test]
    fn no_broken_json_makes_the_reader_panic(program in program(), at in any::<Index>(), patch in ".{0,3}") {
        let mut json: Vec<char> = program.to_json().chars().collect();
        let from = at.index(json.len());
        json.splice(from..=from, patch.chars());
        let json: String = json.into_iter().collect();
        match Program::from_json(&json) {
            Ok(program) => prop_assert_eq!(parse(&program.to_string()), Ok(program)),
            Err(error) => prop_assert!(!error.to_string().contains('\n'), "{error}"),
        }
    }
}

#[test]
fn recorded_operations_are_printed_word_for_word() {
    for text in recorded() {
        let op: Op = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(op.to_string(), text);
        assert!(op.is_system_call(), "{text}");
    }
}

#[test]
fn the_lab_recorded_nearly_every_system_call() {
    let said: BTreeSet<&str> = recorded().filter_map(|line| line.split(' ').next()).collect();
    let silent = operations().iter().filter(|spec| spec.is_system_call() && !said.contains(spec.word));
    let silent: Vec<&str> = silent.map(|spec| spec.word).collect();
    assert_eq!(silent, ["drop", "sync", "sleep"]);
}

#[test]
fn the_table_names_operations_as_json_does() {
    for spec in operations() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let text = line(*spec).new_tree(&mut runner).unwrap();
        let text = proptest::strategy::ValueTree::current(&text);
        let program = Program { setup: vec![text.parse().unwrap()], ..Program::default() };
        let json = program.to_json();
        assert!(json.contains(&format!("{{\"op\":\"{}\"", spec.name())), "{json}");
    }
}

#[test]
fn json_has_the_documented_shape() {
    let program = parse(
        "machine nodes=2 pages=8 cpus=2 movable=1 kernel=6.12 release=split\n\
         map r0 anon 4\n\
         thread A cpu=1\n  move r0:0-1,3+zero0 node=1 pid=c0 all\n\
         finally\n  audit\n",
    );
    let expected = concat!(
        r#"{"schema":1,"boot":null,"#,
        r#""machine":{"nodes":2,"pages":[8],"cpus":2,"movable":[1],"offline":[],"block":null,"pressure":null,"memory":null,"kernel":"6.12","profile":{"release":"split"}},"#,
        r#""setup":[{"op":"map","region":"r0","backing":"anon","pages":4,"node":null,"order":null}],"#,
        r#""threads":[{"name":"A","cpu":1,"ops":[{"op":"move","#,
        r#""pages":[{"of":"r0","pages":[[0,1],[3,3]]},{"of":"zero0","pages":null}],"#,
        r#""node":1,"options":["pid=c0","all"]}]}],"#,
        r#""finally":[{"op":"audit"}]}"#,
    );
    assert_eq!(program.unwrap().to_json(), expected);
}

#[test]
fn json_that_no_text_could_say_is_refused() {
    let with = |body: &str| Program::from_json(&format!("{{\"schema\":1,{body}}}")).unwrap_err().to_string();
    let op = |op: &str| with(&format!("\"setup\":[{op}]"));
    for (error, part) in [
        (Program::from_json("{}").unwrap_err().to_string(), "\"schema\" must be 1"),
        (Program::from_json("{\"schema\":2}").unwrap_err().to_string(), "\"schema\" must be 1"),
        (Program::from_json("[1]").unwrap_err().to_string(), "\"schema\" must be 1"),
        (with("\"steps\":[]"), "unknown field `steps`"),
        (op(r#"{"op":"jump"}"#), "unknown variant `jump`"),
        (op(r#"{"op":"drain","cpu":1}"#), "unknown field `cpu`"),
        (op(r#"{"op":"fillnode"}"#), "missing field `node`"),
        (op(r#"{"op":"fillnode","node":-1}"#), "expected u32"),
        (op(r#"{"op":"fork","child":"r0"}"#), "`r0` is not a name such as c0"),
        (op(r#"{"op":"get","pages":[]}"#), "get needs SEL"),
        (
            op(r#"{"op":"get","pages":[{"of":"r0","pages":[]}]}"#),
            "a value changes when it is read back from text",
        ),
        (op(r#"{"op":"get","pages":[{"of":"r0","pages":[[3,1]]}]}"#), "should be pages such as"),
        (
            op(r#"{"op":"madv","pages":{"of":"r0","pages":null},"advice":"cold","options":["each","each"]}"#),
            "twice",
        ),
        (with(r#""threads":[{"name":"A B","ops":[]}]"#), "`A B` is not a word"),
        (with(r#""threads":[{"name":"A","ops":[]},{"name":"A","ops":[]}]"#), "a thread A already"),
        (with(r#""machine":{"profile":{"nodes":"2"}}"#), "a value changes when it is read back from text"),
    ] {
        assert!(error.contains(part), "{error:?} does not say {part:?}");
    }
}

/// Wrong texts, each with the whole message.
const MISTAKES: &[(&str, &str)] = &[
    ("drain\nmvoe r0 node=1", "line 2, column 1: `mvoe` is no operation; did you mean `move`?"),
    (
        "jump",
        "line 1, column 1: `jump` is no operation; \
         write an operation such as `map r0 anon 1`, or `thread NAME`, or `finally`",
    ),
    (
        "map r0 anon",
        "line 1, column 13: map needs PAGES; \
         usage: map rN anon|shm|tmpfs|tmpfspriv|file|filepriv PAGES [node=K] [order=K]",
    ),
    (
        "  map r0 heap 4",
        "line 1, column 10: `heap` should be one of anon, shm, tmpfs, tmpfspriv, file, filepriv; \
         usage: map rN anon|shm|tmpfs|tmpfspriv|file|filepriv PAGES [node=K] [order=K]",
    ),
    (
        "write r0:3-1",
        "line 1, column 7: `r0:3-1` should be pages such as r0, r0:0-3,7 (ranges ascend); usage: write SEL",
    ),
    (
        "get c0",
        "line 1, column 5: `c0` should be pages such as r0, r0:0-3,7, m0, z0, b0, p0, r0+r1:2 (ranges ascend); \
         usage: get SEL[+SEL...]",
    ),
    (
        "move r0",
        "line 1, column 9: move needs node=; usage: move SEL[+SEL...] node=K [all] [alt] [flags=K] [pid=cN]",
    ),
    (
        "move r0 node=x all",
        "line 1, column 14: `x` should be a number from -2147483648 to 2147483647; \
         usage: move SEL[+SEL...] node=K [all] [alt] [flags=K] [pid=cN]",
    ),
    (
        "move r0 node=1 al",
        "line 1, column 16: `al` should be one of all, alt, flags=K, pid=cN; \
         usage: move SEL[+SEL...] node=K [all] [alt] [flags=K] [pid=cN]",
    ),
    (
        "move r0 node=1 flags=1 flags=2",
        "line 1, column 24: `flags=2` is given twice; remove one; \
         usage: move SEL[+SEL...] node=K [all] [alt] [flags=K] [pid=cN]",
    ),
    ("unpin g0 now", "line 1, column 10: unpin takes no `now` here; remove it; usage: unpin gN"),
    (
        "drain\nmachine nodes=2",
        "line 2, column 1: `machine` comes too late; move it before the first operation",
    ),
    ("machine nodes", "line 1, column 9: `nodes` is no FIELD=VALUE"),
    ("machine nodes=2 nodes=2", "line 1, column 17: `nodes` is given twice; remove one"),
    (
        "machine nodes=2 pages=8,8,8",
        "line 1, column 1: pages= gives 3 sizes for 2 nodes; give one, or one a node",
    ),
    ("machine pages=8,x", "line 1, column 17: `x` should be a number from 0 to 4294967295"),
    ("thread", "line 1, column 8: thread needs NAME"),
    ("thread A\nthread A", "line 2, column 1: there is a thread A already; take another name"),
    ("finally\nthread A", "line 2, column 1: a thread cannot follow `finally`; move it before"),
    ("finally\nfinally", "line 2, column 1: there is a `finally` already; join the two"),
    (
        "# own-boot no-balast",
        "line 1, column 12: own-boot takes no `no-balast`; write `no-ballast`, or a colon before a remark",
    ),
    ("dr\u{1b}ain", "line 1, column 1: `dr\\u{1b}ain` is no operation; did you mean `drain`?"),
];

#[test]
fn a_mistake_is_told_with_its_place_and_what_to_write() {
    for (text, message) in MISTAKES {
        assert_eq!(parse(text).unwrap_err().to_string(), *message, "{text:?}");
    }
}

#[test]
fn own_boot_counts_in_the_first_line_only() {
    let boot = |text: &str| parse(text).unwrap().boot;
    assert_eq!(boot("# own-boot\ndrain"), Some(Boot { ballast: true }));
    assert_eq!(boot("# own-boot: the zero page\ndrain"), Some(Boot { ballast: true }));
    assert_eq!(boot("# own-boot no-ballast\n"), Some(Boot { ballast: false }));
    assert_eq!(boot("# own-boots\n"), None);
    assert_eq!(boot("drain\n# own-boot"), None);
}

#[test]
fn one_word_with_two_meanings_is_told_apart_by_its_keys() {
    for (text, name) in [
        ("migrate from=0 to=1", "MigratePages"),
        ("migrate r0 node=1 mode=sync_light reason=demotion", "Migrate"),
        ("drain", "Drain"),
        ("drain cpu=1", "DrainCpu"),
    ] {
        let op: Op = text.parse().unwrap();
        assert!(format!("{op:?}").split([' ', '{']).next() == Some(name), "{op:?}");
        assert_eq!(op.to_string(), text);
    }
}

#[test]
fn a_script_is_one_sequence_of_system_calls() {
    let is_script = |text: &str| parse(text).unwrap().is_script();
    assert!(is_script("# own-boot\nmap r0 anon 1\nwrite r0\ndrain"));
    assert!(!is_script("map r0 anon 1\nisolate r0"));
    assert!(!is_script("drain cpu=0"));
    assert!(!is_script("thread A\n drain"));
    assert!(!is_script("machine nodes=2\ndrain"));
}
