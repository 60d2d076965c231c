//! Compaction: makes large free blocks by moving pages to one end of a node (lifecycle 9).
//!
//! ```text
//!   node   |  . a . a a .  |  a . . a . a  |  . . a . a a  |  . a . . . .  |
//!             ---> migrate scanner                free scanner <---
//!             takes pages that can move            takes free frames as targets
//! ```
//!
//! Two scanners run towards each other. The *migrate scanner* goes up from the node's first frame and
//! isolates pages, 32 at a time and all of one pageblock. The *free scanner* goes down from the last
//! pageblock and takes free frames out of the allocator, to which the isolated pages migrate. The run is
//! complete when the scanners meet in one pageblock. Movable pages outside of the LRU are isolated from
//! their owners and move like pages of the LRU.
//!
//! A run over a whole node depends on the node's layout alone: on which frames are free, in use and
//! movable, and on the types of the pageblocks. Recordings of two kernels show each move of such runs.
//!
//! | file | idea |
//! |---|---|
//! | `state` | the state that a node keeps between two runs |
//! | `result` | the status of a run, its moves and its scans |
//! | `control` | one run: its loop, its end, its counters |
//! | `source` | the migrate scanner |
//! | `free` | the free scanner, and the targets that it gives to migrations |
//! | `direct` | runs for an allocation that found no block: hints, deferral, priorities |
//! | `daemon` | runs in the background: for a wanted order, or until a score is reached |
//! | `suitable` | whether a node has enough free memory to compact |
//! | `targets` | the frames that the free scanner has taken, until they are handed out |
//!
//! # What can go wrong
//!
//! * A target waits in the scanner's pool while another thread walks over the frames by number. Its count is
//!   zero until it is handed out, so that the walk can take no reference; otherwise the page that moves there
//!   would have a reference that the migration did not expect (lifecycle 9.2).
//! * A page is pinned. Its migration would fail after all the work, so the migrate scanner compares the count
//!   with the mappings first. The scanner must count the mappings of the *whole* page, because the count of a
//!   large page holds one reference for each mapping of each part. A comparison with the mappings of one part
//!   would make every large page look pinned (bug 29).
//! * A migration fails after it got a target. The target goes back to the pool, unless another thread holds a
//!   reference to it at this moment: then the last put gives it to the allocator.
//! * The scanner drops its last reference to a page under the lruvec lock. The last put takes that lock. So
//!   no reference is dropped while the lock is held.

mod control;
mod daemon;
mod direct;
mod free;
mod result;
mod source;
pub(crate) mod state;
mod suitable;
mod targets;

pub(crate) use control::CLUSTER;
pub use direct::CompactPriority;
pub use result::{CompactEvent, CompactStatus, Compacted};
pub use state::Remembered;
pub(crate) use suitable::{COSTLY_ORDER, free_to_compact, is_compaction_suitable};

use crate::calls::Call;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::page::MAX_ORDER;
use crate::release::Release;
use control::{Control, Request};

impl<R: Release> Machine<R> {
    /// Compacts a node (a write to its `compact` file): drains the LRU batches, and moves every page
    /// that can move towards the node's end, synchronously, over the whole node, whatever the skip
    /// hints say. With `trace` the result lists the moves and the scans.
    ///
    /// `EINVAL` for a node that does not exist; `ENOMEM` of the host if it has no memory for the lists.
    pub fn compact(&self, node: usize, trace: bool) -> Result<Compacted> {
        self.may_compact(node, 0)?;
        self.calls(Call::LruAddDrainAll);
        self.lru_drain_all();
        Control::new(self, node, Request::whole_node(trace)).run()
    }

    /// Checks the arguments of a compaction: `EINVAL` for a node or an order that does not exist.
    pub(crate) fn may_compact(&self, node: usize, order: u8) -> Result<()> {
        if node >= self.nodes.len() {
            return Err(Error::new(Errno::EINVAL, format!("no node {node}: there are {}", self.nodes.len())));
        }
        if order > MAX_ORDER {
            return Err(Error::new(Errno::EINVAL, format!("no order {order}: the largest is {MAX_ORDER}")));
        }
        Ok(())
    }

    /// The state that a node keeps between two runs of compaction: the positions of the scanners and the
    /// deferral.
    ///
    /// `EINVAL` for a node that does not exist.
    pub fn compaction_state(&self, node: usize) -> Result<Remembered> {
        self.may_compact(node, 0)?;
        Ok(self.nodes[node].zone.lock().compaction().clone())
    }

    /// The skip hint of each pageblock of a node, from its first frame on.
    ///
    /// `EINVAL` for a node that does not exist.
    pub fn skip_hints(&self, node: usize) -> Result<Vec<bool>> {
        self.may_compact(node, 0)?;
        let zone = self.nodes[node].zone.lock();
        let blocks = zone.pageblocks();
        Ok((0..blocks.len()).map(|block| blocks.skips(block << blocks.order())).collect())
    }

    /// True if compaction moves pages of the unevictable list
    /// (`/proc/sys/vm/compact_unevictable_allowed`, on at first).
    pub fn compact_unevictable_allowed(&self) -> bool {
        self.compact_settings.unevictable_allowed()
    }

    /// Sets whether compaction moves pages of the unevictable list. A run that has begun keeps the
    /// old setting.
    pub fn set_compact_unevictable_allowed(&self, allowed: bool) {
        self.compact_settings.set_unevictable_allowed(allowed);
    }
}
