//! Reads pages ahead of their use (`MADV_WILLNEED`).
//!
//! The kind of the area decides which pages are read (`madvise_willneed`). In anonymous memory these are the
//! pages whose entries name a slot of the swap space. In a file of a memory file system these are the pages
//! whose slots in the file name a swap slot. In a file of a disk these are the pages that are not cached. A
//! private mapping of a file is treated as the file, so its own copies that are swapped out are not read.

use super::file::fill::Fill;
use super::{Area, Entry};
use crate::machine::Machine;
use crate::release::Release;
use crate::sync::interrupted;
use std::ops::Range;

impl<R: Release> Machine<R> {
    /// Reads the pages of a stretch of an area, as far as that succeeds. An error ends the reading and is
    /// not returned: the fault on a page that was not read reads it.
    pub(super) fn will_need(&self, area: &Area, pages: Range<u32>) {
        let mut pages = pages.take_while(|_| !interrupted());
        let Some(map) = area.file() else {
            let swapped = |&index: &u32| matches!(area.look(index).entry(), Entry::Swap { .. });
            if pages.filter(swapped).try_for_each(|index| self.read_ahead(area, index)).is_ok() {
                self.lru_drain_local();
            }
            return;
        };
        let (file, node) = (&map.file, area.preferred());
        let mut of_file = pages.by_ref().map(|index| map.first + index);
        if file.is_written_back() {
            for index in of_file.filter(|&index| index < file.pages()) {
                if file.cached_page(index).is_some() {
                    continue;
                }
                match self.file_page(file, index, node, Fill::Content) {
                    Ok(cached) => self.unlock_and_put(cached.pfn),
                    Err(_) => return,
                }
            }
        } else if of_file.try_for_each(|index| self.read_ahead_of_file(file, index, node)).is_ok() {
            self.lru_drain_local();
        }
    }
}
