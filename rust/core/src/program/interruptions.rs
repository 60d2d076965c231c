//! An operation that is interrupted leaves a machine that is whole. A long operation asks now and then
//! whether it is to end. The tests end each operation at one of these questions, another one in each run
//! ([`ended`]). Then the machine is checked, the same operation runs to its end, and the machine is checked
//! once more.

use super::session::{Actor, Session, Step};
use super::setup::Defaults;
use super::{Op, parse};
use crate::audit::Finding;
use crate::release::{Packed, Putback, Release, Split};
use crate::stat::NodeItem;
use crate::sync::{Ordering, ended};

/// The test ends an operation at each of its first questions, up to this number. Later questions are asked
/// for pages like those before, so the test takes fewer and fewer of them: all would take five minutes.
const ALL: u32 = 4;

/// Frames of a node.
const FRAMES: u32 = 1024;

/// Operations that drop the content of pages one by one.
const DROPS: [&str; 5] = ["dontneed", " free", "punch", "truncate", "zs_close"];

/// The rules that a page has the content that the program wrote.
const CONTENT: [&str; 2] = ["content is what was last written", "a written page is dirty"];

struct Bench<R: Release> {
    session: Session<R>,
    program: Actor,
}

impl<R: Release> Bench<R> {
    /// Makes the machine of a program and does its set-up; `line` is an operation that follows.
    fn new(text: &str, line: &str) -> Bench<R> {
        let program = parse(&format!("{text}\nfinally\n{line}")).unwrap_or_else(|e| panic!("{text}: {e}"));
        let spec = program.machine.clone().unwrap_or_default();
        let mut config = spec.config(&Defaults { pages: FRAMES, ..Defaults::RUN }).unwrap();
        config.profile.release = R::DESIGN;
        let session = Session::for_program(&config, &program).unwrap();
        let mut bench = Bench { session, program: Actor::program() };
        for op in &program.setup {
            let step = bench.session.step(&mut bench.program, op);
            assert_eq!(step.problem, None, "{op}");
        }
        bench
    }

    fn step(&mut self, line: &str) -> Step {
        let op: Op = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        self.session.step(&mut self.program, &op)
    }

    /// The findings of an audit of the machine, in words.
    fn findings(&mut self) -> Vec<String> {
        let mut found: Vec<String> = self.step("audit").findings.iter().map(Finding::to_string).collect();
        let machine = self.session.machine();
        for (number, item) in [NodeItem::IsolatedAnon, NodeItem::IsolatedFile]
            .into_iter()
            .flat_map(|item| (0..machine.nodes.len()).map(move |number| (number, item)))
        {
            let isolated = machine.stats.on_node(number, item);
            if isolated != 0 {
                found.push(format!("node {number}: {} is {isolated}", item.name()));
            }
        }
        // Relaxed: no other thread runs.
        if machine.lru_disabled.load(Ordering::Relaxed) != 0 {
            found.push("the LRU batches are switched off".to_owned());
        }
        found
    }
}

/// Ends the operation of `line` at its questions, one in each run. Returns the number of questions.
fn ends_anywhere<R: Release>(text: &str, line: &str) -> u32 {
    let mut at = 0;
    loop {
        let mut bench = Bench::<R>::new(text, line);
        let (step, was_ended) = ended::at(at, || bench.step(line));
        let mut found = bench.findings();
        if DROPS.iter().any(|word| line.contains(word)) {
            // The program expects the content of all pages until the operation has dropped all of them.
            found.retain(|finding| !CONTENT.iter().any(|rule| finding.starts_with(rule)));
        }
        assert!(found.is_empty(), "{line}, ended at question {at}: {found:#?}\n{step:?}\n{text}");
        if !was_ended {
            return at;
        }
        let again = bench.step(line);
        let found = bench.findings();
        assert!(found.is_empty(), "{line} after {at} questions: {found:#?}\n{again:?}\n{text}");
        at += if at < ALL { 1 } else { 1 + at / 2 };
    }
}

/// Set-ups, each with operations that ask questions there.
const OPERATIONS: &[(&str, &[&str])] = &[
    (
        "map r0 anon 140\nwrite r0\ndrain",
        &[
            "move r0 node=1",
            "move r0 node=1 alt",
            "mbind r0 node=1 move",
            "mbind r0 node=1",
            "migrate from=0 to=1",
            "query r0",
            "madv r0 cold",
            "madv r0 dontneed",
            "madv r0 free",
            "madv r0 soft_offline",
            "madv r0 hwpoison",
            "mlock r0",
            "munlock r0",
            "unmap r0",
            "fork c0",
            "read r0",
            "write r0",
            "punch r0 keep=1 of=2",
            "compact node=0",
            "kcompactd order=4 node=0",
            "compact_for order=4 node=0",
            "alloc_range p0 0 256",
            "memblk 0 offline node=0",
            "reclaim 100 node=0",
            "huge node=0 n=8 size=64",
        ],
    ),
    (
        "map r0 anon 140\nwrite r0\nmlock r0:3-9,70\nfork c0\npin g0 r0:20,90 longterm\ndrain",
        &[
            "move r0 node=1 all",
            "mbind r0 node=1 move_all strict",
            "migrate from=0 to=1",
            "exit c0",
            "unmap r0",
            "compact node=0",
            "alloc_range p0 0 256",
        ],
    ),
    (
        "map r0 anon 160 order=2\nwrite r0\ndrain",
        &[
            "move r0 node=1",
            "mbind r0 node=1 move",
            "madv r0 cold",
            "madv r0:2-101 pageout",
            "madv r0:2-101 free",
            "unmap r0:3-150",
            "fork c0",
            "compact node=0",
            "alloc_range p0 0 256",
        ],
    ),
    (
        "swapon 2\nmap r0 anon 140\nwrite r0\ndrain",
        &["madv r0 pageout", "reclaim 140 node=0", "drop 3", "age node=0"],
    ),
    (
        "swapon 2\nmap r0 anon 140\nwrite r0\ndrain\nmadv r0 pageout\ndrain",
        &["swapoff", "madv r0 willneed", "read r0", "unmap r0", "fork c0"],
    ),
    (
        "map r0 file 140\nwrite r0\ndrain",
        &[
            "sync",
            "msync r0",
            "fread r0",
            "fwrite r0",
            "move r0 node=1",
            "truncate r0 3",
            "unmap r0",
            "reclaim 140 node=0",
            "compact node=0",
        ],
    ),
    (
        "map r0 file 140\nwrite r0\nsync\nunmap r0\nmap r1 tmpfs 70\nwrite r1\ndrain",
        &["drop 1", "reclaim 200 node=0", "move r1 node=1", "truncate r1 3", "compact node=0"],
    ),
    (
        "machine pressure=on\nswapon 16\nmap r0 anon 900\nwrite r0\nmap r1 anon 900 node=1\nwrite r1\ndrain",
        &[
            "move r0:0-99 node=1",
            "mbind r0:0-99 node=1 move",
            "allocate p0 order=3",
            "kswapd node=0",
            "kswapd node=0 order=4",
        ],
    ),
    (
        "movable m0 140\nmap r0 anon 60\nwrite r0\ndrain",
        &["compact node=0", "alloc_range p0 0 256", "memblk 0 offline node=0", "release m0"],
    ),
    ("map r0 anon 4", &["inflate 600", "huge node=0 n=30 size=64", "huge node=0 n=1 size=4096"]),
    ("inflate 600", &["deflate 600", "compact node=0"]),
    ("huge node=0 n=30 size=64", &["huge node=0 n=0 size=64", "alloc_range p0 0 256"]),
    (
        "zs_open 64\nzs_put 0-63 size=2000\nzs_del 0-63/1:2",
        &["zs_compact", "zs_close", "compact node=0", "zs_put 0-31 size=1000"],
    ),
    (
        "zs_open 256\nswapon 1 zram\nmap r0 anon 140\nwrite r0\ndrain",
        &["madv r0 pageout", "reclaim 140 node=0"],
    ),
];

fn all_operations<R: Release>(machine: &str) {
    let mut questions = 0;
    for (setup, lines) in OPERATIONS {
        for line in *lines {
            let setup = match setup.strip_prefix("machine") {
                Some(rest) => format!("machine {machine}{rest}"),
                None => format!("machine {machine}\n{setup}"),
            };
            questions += ends_anywhere::<R>(&setup, line);
        }
    }
    assert!(questions > 1000, "only {questions} questions");
}

#[test]
fn operations_end_at_their_questions_in_the_newest_kernel() {
    all_operations::<Split>("kernel=6.19");
}

#[test]
fn operations_end_at_their_questions_in_the_default_kernel() {
    all_operations::<Packed>("kernel=6.12 lru_policy=mglru");
}

#[test]
fn operations_end_at_their_questions_in_the_oldest_kernel() {
    all_operations::<Putback>("kernel=4.5");
}
