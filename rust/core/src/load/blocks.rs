//! The blocks of a thread that asks for large blocks and breaks up old ones.
//!
//! ```text
//!   request --- a block, by compaction if none is free ---> held, with a mark in each page
//!      ^                                                              |
//!      |  most of its frames get single pages,                        |  the oldest is
//!      +--------- and pages elsewhere are freed <-- freed <-----------+  given up
//! ```
//!
//! A block is a pageblock, the size of a huge page. The allocator splits its smallest blocks first, so a
//! freed block would stay whole and serve the next request: the load would compact once and never again.
//! After a block is freed, single pages are therefore put into most of its frames, as other programs would do
//! after a while. Each load chooses its own pages for this.
//!
//! After a refused request the thread compacts the whole node, as a write to the node's `compact` file does.
//! Otherwise the load would soon move no page: after a failure the allocator defers compaction, and refuses
//! the next requests without a run.
//!
//! Only requests and compactions of the whole node are measured.

use super::content::{Violation, Wrong};
use super::fault::{Finding, unless_interrupted};
use super::gauge::{Gauge, Tally};
use crate::error::Errno;
use crate::machine::Machine;
use crate::page::Pfn;
use crate::release::Release;
use crate::rng::Rng;
use crate::stat::Event;
use std::collections::VecDeque;

/// Of each 8 frames of a block that is given up, single pages use this many again on average.
const USED_AGAIN: u32 = 5;

/// A block that is held, with the mark of its first page.
#[derive(Clone, Copy, Debug)]
struct Block {
    head: Pfn,
    mark: u64,
}

/// The blocks of one thread.
#[derive(Debug)]
pub(super) struct Blocks {
    order: u8,
    /// The most blocks that the thread holds.
    most: usize,
    held: VecDeque<Block>,
    /// True if the last request was refused.
    refused: bool,
    /// The mark of the next block. No two blocks have the same marks, even in the same frames.
    next_mark: u64,
    backed: bool,
}

impl Blocks {
    /// Makes an empty set of blocks for thread `me`, which may hold `most` blocks of 2^`order`
    /// frames.
    pub fn new(order: u8, most: usize, me: usize, backed: bool) -> Blocks {
        Blocks {
            order,
            most,
            held: VecDeque::new(),
            refused: false,
            next_mark: (me as u64 + 1) << 48,
            backed,
        }
    }

    /// Asks for a block of node 0. If the thread then holds too many, or the request failed, the oldest
    /// block is given up and its first frame returned.
    pub fn request<R: Release>(
        &mut self,
        machine: &Machine<R>,
        gauge: &mut Gauge,
    ) -> Result<Option<Pfn>, Finding> {
        let order = self.order;
        if std::mem::take(&mut self.refused) {
            let mut run = Ok(());
            gauge.measure(|| {
                let (tally, done) = counted(machine, || machine.compact(0, false));
                run = done.map(drop);
                tally
            });
            run.map_err(Finding::refused("a compaction of the node"))?;
            gauge.did("whole_runs");
        }
        let found = gauge.request(|| counted(machine, || machine.alloc_pages(0, order)));
        match found {
            Ok(head) => {
                let block = Block { head, mark: self.next_mark };
                self.next_mark += 1 << order;
                self.held.push_back(block);
                gauge.aside(|| self.mark(machine, block));
                if self.held.len() <= self.most {
                    return Ok(None);
                }
            }
            Err(error) if error.errno == Errno::ENOMEM => self.refused = true,
            Err(error) => return Err(Finding::refused("a request for a block")(error)),
        }
        gauge.aside(|| self.give_up(machine))
    }

    fn frames(&self, block: Block) -> impl Iterator<Item = (Pfn, u64)> + use<> {
        (0..1u32 << self.order).map(move |at| (block.head.plus(at), block.mark + u64::from(at)))
    }

    fn mark<R: Release>(&self, machine: &Machine<R>, block: Block) {
        if self.backed {
            self.frames(block).for_each(|(pfn, mark)| machine.memory().store(pfn, 0, mark));
        }
    }

    /// Checks that each page of a block still has its mark; returns the number of pages.
    fn check<R: Release>(&self, machine: &Machine<R>, block: Block) -> Result<u64, Finding> {
        for (pfn, expected) in self.frames(block).take_while(|_| self.backed) {
            let value = machine.memory().load(pfn, 0);
            if value != expected {
                return Err(
                    Violation { page: pfn.0, word: 0, value, wrong: Wrong::NotKept { expected } }.into()
                );
            }
        }
        Ok(1 << self.order)
    }

    /// Gives the oldest block up; returns its first frame.
    fn give_up<R: Release>(&mut self, machine: &Machine<R>) -> Result<Option<Pfn>, Finding> {
        let Some(block) = self.held.pop_front() else { return Ok(None) };
        self.check(machine, block)?;
        machine.put(block.head);
        Ok(Some(block.head))
    }

    /// Puts single pages into most of the frames of a block that was given up. Each call of `place` makes
    /// one page, which gets the frame unless another thread takes the frame first.
    pub fn break_up<R: Release>(
        &self,
        machine: &Machine<R>,
        head: Pfn,
        rng: &mut Rng,
        mut place: impl FnMut(&mut Rng) -> Result<(), Finding>,
    ) -> Result<(), Finding> {
        for at in 0..1u32 << self.order {
            if rng.below(8) < USED_AGAIN && machine.stage_frame(head.plus(at)) {
                place(rng)?;
            }
        }
        Ok(())
    }

    /// Checks the marks of all blocks; returns the number of pages.
    pub fn verify<R: Release>(&self, machine: &Machine<R>) -> Result<u64, Finding> {
        self.held.iter().try_fold(0, |pages, &block| {
            unless_interrupted()?;
            Ok(pages + self.check(machine, block)?)
        })
    }

    /// Returns the first frames of the blocks that are held.
    pub fn held(&self) -> impl Iterator<Item = Pfn> + '_ {
        self.held.iter().map(|block| block.head)
    }

    /// Gives all blocks up.
    pub fn leave<R: Release>(&mut self, machine: &Machine<R>) {
        self.held.drain(..).for_each(|block| machine.put(block.head));
    }
}

/// Runs `work`, and counts the pages that the calling thread moves meanwhile.
fn counted<R: Release, T>(machine: &Machine<R>, work: impl FnOnce() -> T) -> (Tally, T) {
    let moves =
        || [Event::PgmigrateSuccess, Event::PgmigrateFail].map(|event| machine.stats.own_events(event));
    let before = moves();
    let done = work();
    let now = moves();
    let [migrated, failed] = [0, 1].map(|at| (now[at] - before[at]) as u64);
    (Tally { migrated, failed, ..Tally::default() }, done)
}
