//! A zram device, with blocks of a chosen compressed size.

use super::Session;
use super::actor::Actor;
use super::block_content::{Filling, Known, Written, content};
use super::check::CONTENT;
use super::memory::nothing_punched;
use super::process::Outcome;
use super::step::{Problem, Step, ZramShown};
use crate::audit::Finding;
use crate::error::Errno;
use crate::program::{Blocks, Bytes, PutOption, Sizes, Token};
use crate::release::Release;
use crate::stat::NodeItem;
use crate::sync::stop_point;
use crate::zram::{BLOCK_WORDS, Compressor, Words, Zram};
use std::sync::Arc;

impl<R: Release> Session<R> {
    pub(super) fn device<'a>(&'a self, actor: &'a Actor) -> Outcome<&'a Arc<Zram>> {
        let device = actor.names.device.as_ref().or(self.names.device.as_ref());
        device.ok_or_else(|| Problem::misuse("there is no zram device: write `zs_open 8` before it"))
    }

    pub(super) fn zs_open(
        &self,
        actor: &mut Actor,
        pages: u32,
        algo: Option<&Token>,
        limit: Option<Bytes>,
    ) -> Outcome {
        actor.no_page_lock()?;
        if self.device(actor).is_ok() {
            return Err(Problem::misuse("there is a zram device already: write `zs_close` before it"));
        }
        let compressor = algo.map_or(Ok(Compressor::Lz4), |algo| Compressor::from_name(algo.as_str()))?;
        let device = Zram::new(&self.machine, pages, compressor)?;
        device.set_limit(limit.map_or(0, |limit| limit.0));
        actor.names.device = Some(device);
        Ok(())
    }

    pub(super) fn zs_put(
        &self,
        actor: &mut Actor,
        blocks: &Blocks,
        sizes: &Sizes,
        node: Option<u32>,
        options: &[PutOption],
    ) -> Step {
        let found = actor
            .no_page_lock()
            .and_then(|()| Ok((Arc::clone(self.device(actor)?), self.node(node.unwrap_or(0))?)));
        let (device, node) = match found {
            Ok(found) => found,
            Err(problem) => return Step::refused(problem),
        };
        let each = options.contains(&PutOption::Each);
        let mut step = Step { problem: no_block(blocks, device.blocks()), ..Step::default() };
        let mut shown = ZramShown::default();
        for (block, size) in blocks.indices(device.blocks()).zip(sizes.0.iter().cycle()) {
            stop_point();
            self.put_block(actor, &device, (block, Filling::Sized(*size)), node, &mut step);
            if each {
                shown.used_after.push(device.pool().pages());
            }
        }
        device.pool().free_empty(&self.machine);
        if step.ret == 0 && step.errno == Some(Errno::EIO) && step.problem.is_none() {
            step.problem = Some(Problem::misuse("no block was stored: the device has no room"));
        }
        self.show_alone(actor, step, &device, shown)
    }

    /// Writes a block. The step counts the written blocks. If a write fails, the step has the errno of the
    /// failure.
    fn put_block(
        &self,
        actor: &mut Actor,
        device: &Zram,
        (block, what): (u32, Filling),
        node: usize,
        step: &mut Step,
    ) {
        let before = self.known(actor, block);
        // Each thread numbers its writes from a start of its own. Two threads that write the same size to a
        // block therefore write different bytes, and a check notices a lost write.
        let fresh = u32::from(actor.number) << 16;
        let written = Written { version: before.version.max(fresh) + 1, what };
        match device.write(&self.machine, block, &content(block, written), node) {
            Ok(()) => {
                actor.blocks.insert(block, written);
                step.ret += 1;
            }
            // The kernel's block layer reports a write without memory as `EIO`.
            Err(error) if error.errno == Errno::ENOMEM => step.errno = Some(Errno::EIO),
            Err(error) => {
                step.errno = Some(error.errno);
                step.problem.get_or_insert_with(|| error.into());
            }
        }
    }

    /// Makes a device and fills it.
    pub(super) fn zram_fill(&self, actor: &mut Actor, pages: u32, node: Option<u32>) -> Step {
        let made = self.node(node.unwrap_or(0)).and_then(|node| {
            self.zs_open(actor, pages, None, None)?;
            Ok((node, Arc::clone(self.device(actor)?)))
        });
        let (node, device) = match made {
            Ok(made) => made,
            Err(problem) => return Step::refused(problem),
        };
        let mut step = Step::default();
        for block in 0..pages {
            stop_point();
            self.put_block(actor, &device, (block, Filling::Partly), node, &mut step);
        }
        device.pool().free_empty(&self.machine);
        step
    }

    /// Discards all but the first `keep` blocks of each group of `of` blocks.
    pub(super) fn zram_punch(&self, actor: &mut Actor, (keep, of): (u32, u32)) -> Step {
        let discarded = |block: u32| block.checked_rem(of).is_some_and(|at| at >= keep);
        let step = self.discard_blocks(actor, |len| (0..len).filter(|&block| discarded(block)).collect());
        Step { zram: None, problem: step.problem.or_else(|| nothing_punched(keep, of)), ..step }
    }

    /// Reads the first `keep` blocks of each group of `of` blocks. The result is the number of blocks
    /// that differ from the content that `zram_fill` wrote.
    pub(super) fn zram_check(&self, actor: &Actor, (keep, of): (u32, u32)) -> Step {
        let read = |block: u32| block.checked_rem(of).is_some_and(|at| at < keep);
        self.check_read(actor, |len| (0..len).filter(|&block| read(block)).collect(), true)
    }

    /// Returns the last write to a block that the actor knows: the actor's own, or the set-up's.
    fn known(&self, actor: &Actor, block: u32) -> Written {
        let known = actor.blocks.get(&block).or_else(|| self.blocks.get(&block));
        known.copied().unwrap_or_default()
    }

    /// Returns the writes of which one must be the content of a block: the actor's own last write,
    /// else the last writes of the threads that the actor has joined, else the set-up's last write.
    fn allowed(&self, actor: &Actor, block: u32) -> Vec<Written> {
        let others = actor.others.iter().filter(|(of, _)| *of == block).map(|(_, written)| *written);
        match (actor.blocks.get(&block), others.collect::<Vec<_>>()) {
            (Some(own), _) => vec![*own],
            (None, others) if others.is_empty() => vec![self.known(actor, block)],
            (None, others) => others,
        }
    }

    fn is_right(&self, actor: &Actor, block: u32, words: &Words) -> bool {
        self.allowed(actor, block).iter().any(|written| content(block, *written) == *words)
    }

    /// Adds the counters of the device to the result of an operation.
    fn show(&self, mut step: Step, device: &Zram, mut shown: ZramShown) -> Step {
        shown.mm_stat = Some(device.mm_stat());
        let nodes = 0..self.machine.nodes().len();
        shown.nr_zspages = nodes.map(|node| self.machine.stats().on_node(node, NodeItem::Zspages)).sum();
        step.zram = Some(Box::new(shown));
        step
    }

    /// Adds the counters of the device, unless other threads run, whose changes would be in the
    /// counters too.
    fn show_alone(&self, actor: &Actor, step: Step, device: &Zram, shown: ZramShown) -> Step {
        if actor.concurrent { step } else { self.show(step, device, shown) }
    }

    pub(super) fn zs_del(&self, actor: &mut Actor, blocks: &Blocks) -> Step {
        let mut none = None;
        let step = self.discard_blocks(actor, |len| {
            none = no_block(blocks, len);
            blocks.indices(len).collect()
        });
        Step { problem: step.problem.or(none), ..step }
    }

    /// Discards blocks. `which` gets the number of blocks of the device, and returns those to discard.
    fn discard_blocks(&self, actor: &mut Actor, which: impl FnOnce(u32) -> Vec<u32>) -> Step {
        let found = actor.no_page_lock().and_then(|()| self.device(actor).map(Arc::clone));
        let device = match found {
            Ok(device) => device,
            Err(problem) => return Step::refused(problem),
        };
        let mut step = Step::default();
        for block in which(device.blocks()) {
            stop_point();
            match device.discard(&self.machine, block) {
                Ok(()) => {
                    let version = self.known(actor, block).version;
                    actor.blocks.insert(block, Written { version, what: Filling::Nothing });
                    step.ret += 1;
                }
                Err(error) => step.fails(error.into()),
            }
        }
        device.pool().free_empty(&self.machine);
        self.show_alone(actor, step, &device, ZramShown::default())
    }

    /// Reads blocks and compares them with their last writes. While other threads run, this thread does
    /// not know the last write of a block; then a block counts as damaged only if the read fails.
    pub(super) fn zs_check(&self, actor: &Actor, blocks: &Blocks) -> Step {
        let mut none = None;
        let step = self.check_read(
            actor,
            |len| {
                none = no_block(blocks, len);
                blocks.indices(len).collect()
            },
            false,
        );
        Step { problem: step.problem.or(none), ..step }
    }

    /// Reads and compares blocks. `which` gets the number of blocks of the device, and returns those to
    /// read. The result is the number of damaged blocks. With `filled` it is the number of blocks that
    /// differ from the content that `zram_fill` wrote: discarded and rewritten blocks count, too.
    fn check_read(&self, actor: &Actor, which: impl FnOnce(u32) -> Vec<u32>, filled: bool) -> Step {
        let device = match self.device(actor) {
            Ok(device) => device,
            Err(problem) => return Step::refused(problem),
        };
        let mut step = Step::default();
        let mut checked = 0;
        let known = !actor.concurrent && !device.pool().is_closed() && !self.is_lent(device);
        let fill = |block| content(block, Written { version: 1, what: Filling::Partly });
        for block in which(device.blocks()) {
            stop_point();
            checked += 1;
            match self.read_block(device, block) {
                Err(error) => {
                    step.findings.push(damaged(block, &error.to_string()));
                    step.ret += 1;
                }
                Ok(words) => {
                    let right = !known || self.is_right(actor, block, &words);
                    if !right {
                        step.findings.push(damaged(block, "does not have the content that was written last"));
                    }
                    step.ret += i64::from(if filled { words != fill(block) } else { !right });
                }
            }
        }
        step.zram = Some(Box::new(ZramShown { checked: Some(checked), ..ZramShown::default() }));
        step
    }

    fn read_block(&self, device: &Zram, block: u32) -> crate::error::Result<Words> {
        let mut words = [0; BLOCK_WORDS];
        device.read(&self.machine, block, &mut words).map(|()| words)
    }

    pub(super) fn zs_stat(&self, actor: &Actor) -> Step {
        match self.device(actor) {
            Ok(device) => {
                let zspages = Some(device.pool().zspages());
                self.show(Step::default(), device, ZramShown { zspages, ..ZramShown::default() })
            }
            Err(problem) => Step::refused(problem),
        }
    }

    pub(super) fn zs_compact(&self, actor: &Actor) -> Step {
        let device = match actor.no_page_lock().and_then(|()| self.device(actor)) {
            Ok(device) => device,
            Err(problem) => return Step::refused(problem),
        };
        device.pool().compact(&self.machine);
        device.pool().free_empty(&self.machine);
        self.zs_stat(actor)
    }

    /// Frees the empty zspages that could not be freed at once.
    pub(super) fn zs_free_empty(&self, actor: &Actor) -> Outcome {
        actor.no_page_lock()?;
        self.device(actor)?.pool().free_empty(&self.machine);
        Ok(())
    }

    pub(super) fn zs_close(&self, actor: &mut Actor) -> Outcome {
        actor.no_page_lock()?;
        if let Some(held) = actor.handles.find(|held| self.delays_close(held)) {
            let why = format!("the thread holds {held}, and the close waits until it is put back");
            return Err(Problem::misuse(why));
        }
        let device = self.device(actor)?;
        let reset = match self.machine.begin_zram_reset(device)? {
            true => device.finish_reset(&self.machine),
            false => Ok(()),
        };
        // A reset that fails because another thread uses the device has discarded all blocks before, and the
        // device stays open. No reset of a program's thread ends between two blocks: the threads of a program
        // run neither under a deadline nor within a call that a signal handler can end.
        let nothing = |block| (block, Written { what: Filling::Nothing, ..self.known(actor, block) });
        let discarded: Known = (0..device.blocks()).map(nothing).collect();
        actor.blocks.extend(discarded);
        reset?;
        actor.names.device = None;
        Ok(())
    }

    /// Returns true if the device is the swap space, or was the swap space before.
    fn is_lent(&self, device: &Zram) -> bool {
        *self.lent.lock() == Some(device.pool().id)
    }

    /// Compares the content of each block with the last write to it. If several threads have written the
    /// block, the last write of any of them is right. If no thread has, the set-up's last write is right.
    pub(super) fn check_blocks(&self, program: &Actor, findings: &mut Vec<Finding>) {
        let Ok(device) = self.device(program) else { return };
        if device.pool().is_closed() || self.is_lent(device) {
            return;
        }
        let touched: std::collections::BTreeSet<u32> = self
            .blocks
            .keys()
            .chain(program.blocks.keys())
            .chain(program.others.iter().map(|(b, _)| b))
            .copied()
            .collect();
        for block in touched {
            match self.read_block(device, block) {
                Ok(words) if self.is_right(program, block, &words) => {}
                Ok(_) => findings.push(damaged(block, "does not have the content that was written last")),
                Err(error) => findings.push(damaged(block, &error.to_string())),
            }
        }
    }
}

fn damaged(block: u32, what: &str) -> Finding {
    Finding { rule: CONTENT, pfn: None, detail: format!("block {block} of the zram device {what}") }
}

/// Returns a problem if the device, which has `len` blocks, has no block of the list.
fn no_block(blocks: &Blocks, len: u32) -> Option<Problem> {
    let none = blocks.indices(len).next().is_none();
    none.then(|| {
        Problem::misuse(format!("the device has blocks 0 to {}, not {blocks}", len.saturating_sub(1)))
    })
}
