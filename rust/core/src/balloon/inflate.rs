//! Inflates and deflates the balloon: pages come in, and pages leave.

use super::Balloon;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::page::Pfn;
use crate::release::Release;
use crate::stat::{Event, NodeItem};
use crate::sync::{Mutation, Ordering, interrupted, mutated, stop_point};
use arrayvec::ArrayVec;

/// The most pages in one message to the host (`VIRTIO_BALLOON_ARRAY_PFNS_MAX`).
pub(super) const BATCH: usize = 256;

/// Pages on their way into the balloon, or out of it.
type Batch = ArrayVec<Pfn, BATCH>;

impl Balloon {
    /// Allocates up to `pages` pages for the balloon, on `node` as long as it has free frames, then on the
    /// others. Returns the number of pages that the balloon got. The number may be smaller than `pages`,
    /// because the allocations take no pages away from other work, or because the inflation was interrupted.
    ///
    /// `EINVAL` for a node that does not exist. `ENOMEM` if the process gets no memory for the list of
    /// pages; the pages of earlier batches stay in the balloon.
    pub fn inflate<R: Release>(&self, machine: &Machine<R>, pages: u32, node: usize) -> Result<u32> {
        if node >= machine.nodes.len() {
            return Err(Error::new(Errno::EINVAL, format!("no node {node}")));
        }
        let mut done = 0;
        while done < pages && !interrupted() {
            stop_point();
            let (got, full) = self.inflate_batch(machine, pages - done, node)?;
            done += got;
            if !full {
                break;
            }
        }
        Ok(done)
    }

    /// Inflates the balloon by one batch. Returns the number of pages that the balloon got, and whether
    /// there was a frame for every page of the batch.
    fn inflate_batch<R: Release>(&self, machine: &Machine<R>, most: u32, node: usize) -> Result<(u32, bool)> {
        let want = most.min(BATCH as u32);
        self.pages.lock().reserve(want as usize)?;
        let mut batch = Batch::new();
        let allocate = |batch: &mut Batch| {
            while batch.len() < want as usize
                && let Some(pfn) = self.allocate(machine, node)
            {
                batch.push(pfn);
            }
        };
        // The pages are allocated without the balloon lock. An allocation that found no frame would
        // deflate the balloon, and wait for the lock (kernel c7cdff0e8647).
        if !mutated(Mutation::BalloonAllocatesLocked) {
            allocate(&mut batch);
        }
        let mut host = self.host.lock();
        if mutated(Mutation::BalloonAllocatesLocked) {
            allocate(&mut batch);
        }
        let full = batch.len() == want as usize;
        let mut got = 0;
        if machine.profile.balloon_collects {
            batch.reverse();
        }
        for pfn in batch {
            if self.enqueue(machine, pfn) {
                host.pages += 1;
                got += 1;
            } else {
                // The page is freed here, or by a walker over frame numbers that has got a reference
                // on the fresh page: the last of the two puts frees it.
                machine.put(pfn);
            }
        }
        Ok((got, full))
    }

    /// Allocates a page, and gives up early if memory is short (`__GFP_NORETRY`).
    fn allocate<R: Release>(&self, machine: &Machine<R>, node: usize) -> Option<Pfn> {
        match mutated(Mutation::BalloonAllocatesLocked) {
            true => machine.alloc_pages_near(node, 0).ok(),
            false => machine.alloc_pages_unforced(node, 0).ok(),
        }
    }

    /// Puts a page into the balloon (`balloon_page_enqueue`). Returns false if another thread has locked
    /// the page, or the process gets no memory for the list.
    fn enqueue<R: Release>(&self, machine: &Machine<R>, pfn: Pfn) -> bool {
        // The page lock is held while the page is marked, so that no thread isolates the page before it is
        // on the list.
        let Some(_locked) = machine.frames[pfn].try_locked(pfn) else { return false };
        let mut pages = self.pages.lock();
        // Another inflation may have used the room that was reserved.
        if pages.reserve(1).is_err() {
            return false;
        }
        machine.set_movable(pfn, self.id, pages.insert(pfn));
        machine.stats.event(Event::BalloonInflate, 1);
        machine.count_balloon(pfn, 1);
        true
    }

    /// Takes up to `pages` pages out of the balloon and frees them. Returns their number, which is smaller
    /// than `pages` if the balloon has fewer, if a page is isolated or locked, or after an interruption.
    pub fn deflate<R: Release>(&self, machine: &Machine<R>, pages: u32) -> u32 {
        let mut done = 0;
        while done < pages {
            stop_point();
            let want = (pages - done).min(BATCH as u32);
            let listed = mutated(Mutation::DeflateCountsEarly).then(|| self.size().min(want));
            let got = self.deflate_batch(machine, want as usize);
            let got = listed.unwrap_or(got);
            done += got;
            // An allocation that runs out of memory deflates by one batch at most, and holds a lock under
            // which no signal handler may run. So a signal is looked for only if a second batch follows.
            if got < want || (done < pages && interrupted()) {
                break;
            }
        }
        done
    }

    fn deflate_batch<R: Release>(&self, machine: &Machine<R>, want: usize) -> u32 {
        let mut host = self.host.lock();
        let mut batch = self.dequeue(machine, want);
        if machine.profile.balloon_collects {
            batch.reverse();
        }
        // The host learns of the pages before they are freed, because the guest uses a freed page again.
        host.pages = host.pages.wrapping_sub(batch.len() as u32);
        batch.iter().for_each(|&pfn| machine.put(pfn));
        batch.len() as u32
    }

    /// Takes up to `want` pages off the list (`balloon_page_list_dequeue`). The balloon's references on them
    /// pass to the caller.
    fn dequeue<R: Release>(&self, machine: &Machine<R>, want: usize) -> Batch {
        let mut batch = Batch::new();
        let mut pages = self.pages.lock();
        let mut next = pages.after(None);
        while batch.len() < want
            && let Some((entry, pfn)) = next
        {
            next = pages.after(Some(entry));
            // The page lock comes before the lock of the list in the order of locks, so it is only tried.
            // A locked page may be about to be isolated, and stays in the balloon.
            let Some(_locked) = machine.frames[pfn].try_locked(pfn) else { continue };
            pages.remove(entry);
            machine.clear_movable(pfn);
            machine.stats.event(Event::BalloonDeflate, 1);
            machine.count_balloon(pfn, -1);
            batch.push(pfn);
        }
        batch
    }

    /// Inflates or deflates the balloon towards `pages` pages. Returns its size afterwards. The errors
    /// are those of [`Balloon::inflate`].
    pub fn resize<R: Release>(&self, machine: &Machine<R>, pages: u32, node: usize) -> Result<u32> {
        let size = self.size();
        match size < pages {
            true => {
                self.inflate(machine, pages - size, node)?;
            }
            false => {
                self.deflate(machine, size - pages);
            }
        }
        Ok(self.size())
    }
}

impl<R: Release> Machine<R> {
    /// Counts a page that comes into the balloon, or leaves it.
    pub(super) fn count_balloon(&self, pfn: Pfn, sign: i64) {
        let node = self.node_of(pfn);
        if self.profile.balloon_counted {
            self.stats.node(node, NodeItem::BalloonPages, sign);
        }
        // A balloon that deflates when memory runs out does not change the number of managed pages.
        if !self.profile.deflate_on_oom {
            // Relaxed: a counter that orders no other access.
            self.nodes[node].unmanaged.fetch_add(sign as u32, Ordering::Relaxed);
        }
    }
}

#[cfg(all(test, not(feature = "explored")))]
mod tests {
    use super::*;
    use crate::machine::Config;
    use crate::release::Split;
    use std::thread;

    #[test]
    fn a_fresh_page_whose_lock_is_held_does_not_end_the_inflation() {
        const FRAMES: u32 = 600;
        let machine = Machine::<Split>::new(&Config::new(1, FRAMES)).unwrap();
        let balloon = Balloon::new(&machine).unwrap();
        let host = balloon.host.lock();
        let (inflated, busy) = thread::scope(|scope| {
            let inflation = scope.spawn(|| balloon.inflate(&machine, 300, 0).unwrap());
            // The inflation has allocated its first batch, and waits for the lock of the host.
            let used = || (0..FRAMES).map(Pfn).filter(|&pfn| machine.frames[pfn].word().count() == 1);
            while used().count() < BATCH {
                thread::yield_now();
            }
            let busy = used().next().unwrap();
            assert!(machine.frames[busy].try_get() && machine.frames[busy].trylock());
            drop(host);
            (inflation.join().unwrap(), busy)
        });
        assert_eq!((inflated, balloon.size()), (300, 300));
        machine.frames[busy].unlock(busy);
        machine.put(busy);
        assert_eq!(balloon.deflate(&machine, 300), 300);
        machine.drain_pcp(0);
        assert_eq!(machine.free_frames(0), (FRAMES, 0));
    }
}
