//! The coverage of a search: the pairs of steps of two threads that it has run one after the other, and their
//! lines.
//!
//! Two steps of different threads are a *pair* if they are neighbours among the accesses to one word or lock,
//! and at least one of them changes it. The pair is counted by the functions of the core that took the steps
//! and by the kind of the object (`page word`, `lruvec lock`), once for each schedule and order. A plain
//! write makes a pair only with a look that takes no lock: all other accesses to plain data are ordered by a
//! lock or a word, which has pairs of its own.

use super::functions;
use super::world::World;
use crate::sync::explored::{Between, ByAddress, Kind, Place, Runtime};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// Two functions whose steps were neighbours, by the kind of their object. `first` comes first in the
/// alphabet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Pair {
    /// The kind of the word or lock.
    pub object: String,
    /// The function of one step; outside of the core its file and line.
    pub first: String,
    /// The function of the other step.
    pub second: String,
}

/// A line of the core that took a step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Line {
    /// The file and the line: `migrate/one.rs:120`.
    pub place: String,
    /// The function around it.
    pub function: String,
}

/// The pairs and lines of a search, each with the number of schedules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    /// For each pair: the schedules in which the first function's step came first, and those in which the
    /// second's did. If both functions are the same, all schedules count as the first.
    pub pairs: BTreeMap<Pair, [u64; 2]>,
    /// For each line: the schedules in which the line took a step, and those in which its step was in a pair.
    pub lines: BTreeMap<Line, [u64; 2]>,
}

impl Pairs {
    /// Adds the counts of other schedules.
    pub fn add(&mut self, other: Pairs) {
        add(&mut self.pairs, other.pairs);
        add(&mut self.lines, other.lines);
    }
}

fn add<K: Ord>(counts: &mut BTreeMap<K, [u64; 2]>, more: BTreeMap<K, [u64; 2]>) {
    for (key, [one, two]) in more {
        let count = counts.entry(key).or_default();
        *count = [count[0] + one, count[1] + two];
    }
}

#[derive(Serialize)]
struct PairRow<'a> {
    #[serde(flatten)]
    pair: &'a Pair,
    first_then_second: u64,
    second_then_first: u64,
}

#[derive(Serialize)]
struct LineRow<'a> {
    #[serde(flatten)]
    line: &'a Line,
    schedules: u64,
    interleaved: u64,
}

impl Serialize for Pairs {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Rows<'a> {
            pairs: Vec<PairRow<'a>>,
            lines: Vec<LineRow<'a>>,
        }
        let pair = |(pair, &[one, two]): (_, &[u64; 2])| PairRow {
            pair,
            first_then_second: one,
            second_then_first: two,
        };
        let line = |(line, &[one, two]): (_, &[u64; 2])| LineRow { line, schedules: one, interleaved: two };
        let (pairs, lines) = (self.pairs.iter().map(pair), self.lines.iter().map(line));
        Rows { pairs: pairs.collect(), lines: lines.collect() }.serialize(serializer)
    }
}

/// A count of schedules, which counts each schedule once.
#[derive(Clone, Copy, Debug, Default)]
struct ScheduleCount {
    count: u64,
    schedule: u64,
}

impl ScheduleCount {
    fn add(&mut self, schedule: u64) {
        self.count += u64::from(self.schedule != schedule);
        self.schedule = schedule;
    }
}

/// Gathers the pairs of one explorer's schedules.
#[derive(Debug, Default)]
pub(super) struct Collector {
    /// The number of the running schedule, from 1.
    schedule: u64,
    /// Names of functions and of kinds of objects.
    names: Names,
    /// The number of each line, by the address of its location.
    places: ByAddress<u32>,
    /// The numbers of lines by file and line: one line may have several locations.
    numbers: HashMap<String, u32>,
    lines: Vec<LineCount>,
    /// The kinds of words that outlive a schedule.
    kinds: ByAddress<u32>,
    /// The last access to each object in the running schedule.
    last: ByAddress<Access>,
    pairs: HashMap<(u32, u32, u32), [ScheduleCount; 2]>,
}

#[derive(Debug)]
struct LineCount {
    line: Line,
    function: u32,
    ran: ScheduleCount,
    interleaved: ScheduleCount,
}

#[derive(Clone, Copy, Debug)]
struct Access {
    thread: u8,
    line: u32,
    usage: Use,
}

/// The use of an object by a step, or by the code between two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Use {
    Reads,
    Writes,
    /// A look at plain data that takes no lock.
    Peeks,
    WritesPlain,
}

impl Use {
    fn pairs_with(self, other: Use) -> bool {
        match (self, other) {
            (Use::WritesPlain, other) | (other, Use::WritesPlain) => other == Use::Peeks,
            (one, other) => one == Use::Writes || other == Use::Writes,
        }
    }
}

/// The kind of the object that threads sleep on.
const QUEUE: &str = "queue of sleepers";

/// The kind of a word without a name: its owner was made and dropped within the schedule.
const UNNAMED: &str = "unnamed word";

impl Collector {
    /// Adds the schedule that has just run.
    pub fn add(&mut self, world: &impl World, runtime: &Runtime) {
        self.schedule += 1;
        self.last.clear();
        runtime.traced(|steps, values, locks, between| {
            let mut between = between.iter().peekable();
            for (number, (step, values)) in (0..).zip(steps.iter().zip(values)) {
                while let Some(event) = between.next_if(|event| event.after <= number) {
                    self.event(world, event);
                }
                let step = step.get();
                let Some(place) = values.place.filter(|_| !step.kind.is_local()) else { continue };
                let changes = values.before != values.after;
                let usage = match step.kind {
                    Kind::Peek => Use::Peeks,
                    Kind::Cas | Kind::TryLock if !changes => Use::Reads,
                    Kind::ReadLock | Kind::ReadUnlock => Use::Reads,
                    kind if kind.reads_only() => Use::Reads,
                    _ => Use::Writes,
                };
                let access = Access { thread: step.owner() as u8, line: self.line(place), usage };
                self.lines[access.line as usize].ran.add(self.schedule);
                match step.kind {
                    // The queue of a word is an object of its own; words have even addresses.
                    Kind::Park | Kind::Unpark => {
                        self.access(step.address | 1, access, |names| (names.number(QUEUE), true));
                    }
                    Kind::Lock | Kind::Unlock | Kind::TryLock | Kind::ReadLock | Kind::ReadUnlock => {
                        let class = || locks.iter().find(|(lock, _)| *lock == step.address);
                        let name = || class().map_or(UNNAMED, |(_, class)| class.name());
                        self.access(step.address, access, |names| (names.number(name()), false));
                    }
                    _ => self.access(step.address, access, |names| unlocked(names, world, step.address)),
                }
            }
            between.for_each(|event| self.event(world, event));
        });
    }

    /// Adds an event between two steps.
    fn event(&mut self, world: &impl World, event: &Between) {
        match event.write {
            None => {
                self.last.remove(&event.address);
            }
            Some((thread, place)) => {
                let access = Access { thread, line: self.line(place), usage: Use::WritesPlain };
                self.access(event.address, access, |names| unlocked(names, world, event.address));
            }
        }
    }

    /// Returns the number of a line.
    fn line(&mut self, place: Place) -> u32 {
        let address = std::ptr::from_ref(place).addr();
        if let Some(&line) = self.places.get(&address) {
            return line;
        }
        let (function, place) = functions::at(place);
        let function = function.map_or_else(|| place.clone(), str::to_owned);
        let next = self.lines.len() as u32;
        let line = *self.numbers.entry(place.clone()).or_insert(next);
        if line == next {
            let number = self.names.number(&function);
            let line = Line { place, function };
            let (ran, interleaved) = (ScheduleCount::default(), ScheduleCount::default());
            self.lines.push(LineCount { line, function: number, ran, interleaved });
        }
        self.places.insert(address, line);
        line
    }

    /// Adds an access to an object; `kind` names the object's kind, and says whether the object outlives the
    /// schedule.
    fn access(&mut self, object: usize, access: Access, kind: impl FnOnce(&mut Names) -> (u32, bool)) {
        let Some(before) = self.last.insert(object, access) else { return };
        if before.thread == access.thread || !before.usage.pairs_with(access.usage) {
            return;
        }
        let kind = match self.kinds.get(&object) {
            Some(&kind) => kind,
            None => {
                let (kind, lasts) = kind(&mut self.names);
                if lasts {
                    self.kinds.insert(object, kind);
                }
                kind
            }
        };
        let [one, two] = [before.line, access.line].map(|line| {
            let line = &mut self.lines[line as usize];
            line.ran.add(self.schedule);
            line.interleaved.add(self.schedule);
            line.function
        });
        let (key, order) = match self.names.texts[one as usize] <= self.names.texts[two as usize] {
            true => ((kind, one, two), 0),
            false => ((kind, two, one), 1),
        };
        self.pairs.entry(key).or_default()[order].add(self.schedule);
    }

    /// Returns the counts so far, and begins anew.
    pub fn take(&mut self) -> Pairs {
        let name = |number: u32| self.names.texts[number as usize].clone();
        let pair = |(&(kind, one, two), orders): (&(u32, u32, u32), &[ScheduleCount; 2])| {
            (
                Pair { object: name(kind), first: name(one), second: name(two) },
                orders.map(|order| order.count),
            )
        };
        let pairs = self.pairs.iter().map(pair).collect();
        let ran = self.lines.iter().filter(|line| line.ran.count > 0);
        let lines = ran.map(|line| (line.line.clone(), [line.ran.count, line.interleaved.count])).collect();
        self.pairs.clear();
        for line in &mut self.lines {
            (line.ran, line.interleaved) = (ScheduleCount::default(), ScheduleCount::default());
        }
        self.schedule = 0;
        Pairs { pairs, lines }
    }
}

/// The kind of a word, and whether the word outlives the schedule.
fn unlocked(names: &mut Names, world: &impl World, address: usize) -> (u32, bool) {
    let (kind, lasts) = world.kind(address).unwrap_or_else(|| (UNNAMED.to_owned(), false));
    (names.number(&kind), lasts)
}

/// Texts by number.
#[derive(Debug, Default)]
struct Names {
    texts: Vec<String>,
    numbers: HashMap<String, u32>,
}

impl Names {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(&number) = self.numbers.get(text) {
            return number;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.to_owned());
        self.numbers.insert(text.to_owned(), number);
        number
    }
}
