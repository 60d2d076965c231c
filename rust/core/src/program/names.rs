//! Checks that a program makes each thing before it names the thing: in the set-up, or earlier in
//! the same section.
//!
//! Without this check, an operation on a region that is never mapped would fail in every schedule.
//! A search would find no broken rule and count as a pass, although the operation was never tested.

use super::word::Thing;
use super::{Op, Program, SetupError};
use std::collections::BTreeMap;

/// The things made so far, each with the section that made it.
type Made<'a> = BTreeMap<Thing, &'a str>;

impl Program {
    /// Refuses a program that names a thing which cannot exist at that point in any schedule.
    pub(super) fn check_names(&self) -> Result<(), SetupError> {
        let mut before = Made::new();
        let nothing = Made::new();
        self.check_section("setup", &self.setup, &mut before, &nothing)?;
        // A thing that a thread makes is private to the thread until all threads have ended.
        let mut all = Made::new();
        for thread in &self.threads {
            let made = thread.ops.iter().filter_map(Op::makes);
            all.extend(made.map(|thing| (thing, thread.name.as_str())));
        }
        for thread in &self.threads {
            let mut made = before.clone();
            self.check_section(thread.name.as_str(), &thread.ops, &mut made, &all)?;
        }
        before.extend(all);
        self.check_section("finally", &self.finally, &mut before, &nothing)
    }

    fn check_section<'a>(
        &self,
        section: &'a str,
        ops: &[Op],
        made: &mut Made<'a>,
        elsewhere: &Made<'_>,
    ) -> Result<(), SetupError> {
        for op in ops {
            let makes = op.makes();
            let mut missing = None;
            op.names(&mut |thing| {
                if Some(thing) != makes && !made.contains_key(&thing) {
                    missing.get_or_insert(thing);
                }
            });
            if let Some(thing) = missing {
                let how = how(thing);
                let why = match elsewhere.get(&thing) {
                    Some(&other) if other == section => format!("{thing} is made after it: {how} before"),
                    Some(other) => {
                        format!("{thing} is thread {other}'s own until all threads end: {how} in the set-up")
                    }
                    None => format!("there is no {thing}: {how} before it"),
                };
                return Err(SetupError(format!("{section}: `{op}`: {why}")));
            }
            made.extend(makes.map(|thing| (thing, section)));
        }
        Ok(())
    }
}

/// Returns the advice to write the operation that makes a thing.
fn how(thing: Thing) -> String {
    match thing.letter {
        'r' => format!("write `map {thing} anon 1`"),
        'c' => format!("write `fork {thing}`"),
        'g' => format!("write `pin {thing} r0 longterm`"),
        'm' => format!("write `movable {thing} 1`"),
        'z' if thing.number == 0 => "write `zs_open 8`".into(),
        'z' => "the only zram device is z0".into(),
        _ => format!("write `allocate {thing}`"),
    }
}

#[cfg(test)]
mod tests {
    use crate::program::parse;

    fn checked(text: &str) -> Result<(), String> {
        parse(text).unwrap().check_names().map_err(|error| error.0)
    }

    #[test]
    fn a_thing_is_made_before_it_is_named() {
        for text in [
            "map r0 anon 1\nread r0\nthread A\n  read r0\nfinally\n  read r0",
            "thread A\n  map r0 anon 1\n  read r0\nfinally\n  read r0",
            "map r0 anon 1\nunmap r0\nread r0",
            "fork c0\nthread A\n  move zero0 node=0 pid=c0\n  exit c0",
            "map r0 anon 1\nthread A\n  pin g0 r0 pipe\n  unpin g0\n  allocate p0\n  get p0+r0",
            "swapon 4 zram\nget z0:0",
        ] {
            assert_eq!(checked(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn a_thing_that_can_never_exist_is_refused_in_one_line() {
        for (text, why) in [
            ("read r0", "setup: `read r0`: there is no r0: write `map r0 anon 1` before it"),
            ("thread A\n  unpin g3", "A: `unpin g3`: there is no g3: write `pin g3 r0 longterm` before it"),
            (
                "thread A\n  map r1 anon 1\nthread B\n  read r1",
                "B: `read r1`: r1 is thread A's own until all threads end: write `map r1 anon 1` in the set-up",
            ),
            (
                "thread A\n  free p0\n  allocate p0",
                "A: `free p0`: p0 is made after it: write `allocate p0` before",
            ),
            (
                "finally\n  release m0:3",
                "finally: `release m0:3`: there is no m0: write `movable m0 1` before it",
            ),
            (
                "thread A\n  migrate from=0 to=1 pid=c0",
                "A: `migrate from=0 to=1 pid=c0`: there is no c0: write `fork c0` before it",
            ),
            (
                "thread A\n  move zero0 node=0 pid=c0",
                "A: `move zero0 node=0 pid=c0`: there is no c0: write `fork c0` before it",
            ),
        ] {
            assert_eq!(checked(text), Err(why.to_owned()), "{text}");
        }
    }
}
