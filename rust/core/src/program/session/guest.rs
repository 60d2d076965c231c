//! The work that the recorded guest does beside the script, in guests with a third node.

use super::Session;
use super::actor::Actor;
use crate::program::{Backing, Op};
use crate::release::Release;

/// The fewest pages of a large region: one whose page tables are made by reads of its own pages.
const LARGE: u32 = 511;

/// The pages that one page table maps.
const TABLE: usize = 512;

impl<R: Release> Session<R> {
    /// Makes the page tables of a region that prefers another node than the first, so that no table lies on
    /// the preferred node. Each table of a large region is made by a read of one page. For a small region the
    /// guest maps and writes one more page, of which the script does not know. Fails if there is no memory
    /// for this page. After a region of a file, all batches are drained, too.
    pub fn make_page_tables(&self, actor: &Actor, op: &Op) -> crate::error::Result<()> {
        let &Op::Map { region, backing, pages, node: Some(1..), .. } = op else { return Ok(()) };
        let Ok(mapped) = self.region(actor, region) else { return Ok(()) };
        if pages >= LARGE {
            for page in (0..pages).step_by(TABLE) {
                // A read that fails makes no table. The script meets the same error later.
                let _ = self.machine.read_word(&mapped.area, page, 0);
            }
        } else {
            let beside = self.machine.mmap(&self.space, 1)?;
            self.machine.write_word(&beside, 0, 0, 1)?;
        }
        if matches!(backing, Backing::File | Backing::Filepriv) {
            self.machine.lru_drain_all();
        }
        Ok(())
    }
}
