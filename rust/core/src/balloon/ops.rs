//! The balloon as an owner of movable pages: its callbacks for migration, and its audit.

use super::inflate::BATCH;
use super::{Balloon, Host};
use crate::calls::Call;
use crate::error::Errno;
use crate::layout::kind::Kind;
use crate::machine::Machine;
use crate::migrate::mode::Mode;
use crate::movable::MovableOps;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::{Event, NodeItem};
use crate::sync::{Mutation, broken, mutated};

impl<R: Release> MovableOps<R> for Balloon {
    /// Takes a page off the list (`balloon_page_isolate`).
    fn isolate(&self, machine: &Machine<R>, pfn: Pfn) -> bool {
        let page = &machine.frames[pfn];
        page.expect_locked();
        machine.calls_on(Call::BalloonIsolate, pfn);
        let mut pages = self.pages.lock();
        if mutated(Mutation::BalloonKeepsIsolated) {
            pages.count_isolated();
            return true;
        }
        pages.isolate(page.index(), pfn)
    }

    /// Gives the host the page `to` and takes `from` back (`balloon_page_migrate`).
    ///
    /// `EAGAIN` while another thread talks to the host: this thread holds two page locks and must not
    /// wait for that thread. `EBUSY` if `from` is not an isolated page of the balloon.
    fn migrate(&self, machine: &Machine<R>, from: Pfn, to: Pfn, _mode: Mode) -> Result<(), Errno> {
        machine.traced(Call::BalloonMigrate, (from, to), || {
            machine.traced(Call::VirtballoonMigrate, (from, to), || self.exchange(machine, from, to))
        })
    }

    /// Puts an isolated page back on the list (`balloon_page_putback`).
    fn putback(&self, machine: &Machine<R>, pfn: Pfn) {
        let page = &machine.frames[pfn];
        page.expect_locked();
        machine.calls_on(Call::BalloonPutback, pfn);
        self.pages.lock().put_back(page.index(), pfn);
    }

    fn released(&self, _machine: &Machine<R>, pfn: Pfn) {
        let what = format_args!("page {pfn} was freed while it was in the balloon");
        broken("a page of the balloon leaves it before it is freed", what);
    }

    fn held(&self) -> Vec<Pfn> {
        let pages = self.pages.lock();
        pages.listed().map(|(_, pfn)| pfn).chain(pages.isolated_pages()).collect()
    }

    fn isolated(&self) -> Vec<Pfn> {
        self.pages.lock().isolated_pages().collect()
    }

    fn kind(&self) -> Kind {
        Kind::Balloon
    }

    /// Deflates the balloon, if the host allows it (`virtballoon_oom_notify`).
    fn out_of_memory(&self, machine: &Machine<R>, pages: u32) -> u32 {
        match machine.profile.deflate_on_oom {
            true => self.deflate(machine, pages.min(BATCH as u32)),
            false => 0,
        }
    }

    fn check(&self, machine: &Machine<R>, report: &mut dyn FnMut(&'static str, Option<Pfn>, String)) {
        let Host { pages: told } = *self.host.lock();
        let (held, isolated) = (MovableOps::<R>::held(self), self.pages.lock().isolated());
        let size = held.len();
        if told as usize != size {
            let what = format!("the host was told of {told} pages, but the balloon has {size}");
            report("the host has the pages of the balloon", None, what);
        }
        let marked = held.iter().filter(|&&pfn| machine.frames[pfn].word().has(Flags::ISOLATED)).count();
        if isolated as usize != marked {
            let what = format!("the counter is {isolated}, but {marked} pages are isolated");
            report("a balloon counts its isolated pages", None, what);
        }
        let events = |event| machine.stats.events(event);
        let counted = events(Event::BalloonInflate) - events(Event::BalloonDeflate);
        if counted != size as i64 {
            let what = format!("the counters' difference is {counted}, but the balloon has {size} pages");
            report("balloon_inflate minus balloon_deflate is the size of the balloon", None, what);
        }
        for (number, node) in machine.nodes.iter().enumerate() {
            let here = held.iter().filter(|&&pfn| machine.node_of(pfn) == number).count() as i64;
            let managed = machine.managed_pages(number).unwrap_or_default();
            let taken = if machine.profile.deflate_on_oom { 0 } else { here };
            if i64::from(node.blocks.online()) - taken != managed {
                let what = format!("node {number}: {managed} pages are managed, with {here} in the balloon");
                report("managed pages are those that the balloon has not taken", None, what);
            }
            let shown = machine.stats.on_node(number, NodeItem::BalloonPages);
            if machine.profile.balloon_counted && shown != here {
                let what = format!("node {number}: the counter is {shown}, but the balloon has {here} pages");
                report("nr_balloon_pages is the number of pages in the balloon", None, what);
            }
        }
    }
}

impl Balloon {
    /// Replaces a page by another one, for the host and on the list. Both pages are locked.
    fn exchange<R: Release>(&self, machine: &Machine<R>, from: Pfn, to: Pfn) -> Result<(), Errno> {
        machine.frames[from].expect_locked();
        machine.frames[to].expect_locked();
        let Some(mut host) = self.host.try_lock() else { return Err(Errno::EAGAIN) };
        let index = machine.frames[from].index();
        {
            let mut pages = self.pages.lock();
            if !pages.replace(index, from, to) && !mutated(Mutation::BalloonKeepsIsolated) {
                return Err(Errno::EBUSY);
            }
            machine.frames[to].get(to);
            machine.set_movable(to, self.id, index);
            machine.stats.event(Event::BalloonMigrate, 1);
        }
        // The host gets the new page before it gives the old one back.
        host.pages = host.pages.wrapping_add(1);
        // Where the new page lies on another node, the counters of both nodes change.
        if !mutated(Mutation::BalloonNodeNotMoved) && machine.node_of(from) != machine.node_of(to) {
            machine.count_balloon(from, -1);
            machine.count_balloon(to, 1);
        }
        machine.clear_movable(from);
        host.pages = host.pages.wrapping_sub(1);
        drop(host);
        // The put is not the last one: the isolation still holds `from`.
        machine.put(from);
        Ok(())
    }
}
