//! The page of a file, locked and with its content: found in the cache, or made and read in.

use super::state::File;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::map::slot::Slot;
use crate::memory::WORDS;
use crate::page::{Flags, Pfn, reckon};
use crate::release::Release;
use crate::stat::Event;
use crate::sync::{Mutation, mutated};

/// The size of a page in KiB.
const KIB: i64 = (crate::page::PAGE_SIZE / 1024) as i64;

/// A page of a file, locked, with a reference.
#[derive(Clone, Copy, Debug)]
pub(in crate::map) struct Cached {
    pub pfn: Pfn,
    /// True if the page was neither in the cache nor in the swap space.
    pub new: bool,
    /// True if the page was read from the swap space.
    pub swapped_in: bool,
    /// True if the page's frame is bad.
    pub poisoned: bool,
}

/// The part of a page's content that the caller needs if the page is not cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::map) enum Fill {
    /// The whole content.
    Content,
    /// No content: the caller overwrites the whole page under its lock.
    Overwritten,
}

impl<R: Release> Machine<R> {
    /// Returns page `index` of a file, locked, with a reference. A page that is not cached is made,
    /// in a frame of `node` if the file has no policy and the node has room. The page is up to
    /// date, except a new page that the caller will overwrite (`fill`).
    ///
    /// `EFAULT` beyond the file's end (the kernel's SIGBUS), `ENOMEM` without a free frame, `EIO`
    /// if the disk or the swap space fails, `EINTR` if the deadline of a wait for the page lock passes.
    pub(in crate::map) fn file_page(
        &self,
        file: &File,
        index: u32,
        node: usize,
        fill: Fill,
    ) -> Result<Cached> {
        // Another round follows only if another thread has made, moved or removed the page.
        loop {
            if let Some(pfn) = self.cache_get(file, index) {
                let page = &self.frames[pfn];
                if !page.lock_patiently() {
                    self.put(pfn);
                    return Err(Error::interrupted());
                }
                // The size is read under the page lock. A truncation that was decided earlier has
                // set the size already, and a later one waits for the lock.
                let ours = self.word_in_file(pfn, file, index);
                if let Some(word) = ours
                    && index < file.pages()
                {
                    let poisoned = word.has(Flags::HWPOISON);
                    return Ok(Cached { pfn, new: false, swapped_in: false, poisoned });
                }
                self.unlock_and_put(pfn);
                if ours.is_some() {
                    return Err(beyond(file, index));
                }
                continue;
            }
            let _against_truncation = file.invalidate.read();
            if index >= file.pages() {
                return Err(beyond(file, index));
            }
            if self.may_swap()
                && let Slot::Swap(slot) = file.slot(index)
            {
                match self.file_page_from_swap(file, index, slot, node)? {
                    Some((pfn, swapped_in)) => {
                        let poisoned = self.frames[pfn].word().has(Flags::HWPOISON);
                        return Ok(Cached { pfn, new: false, swapped_in, poisoned });
                    }
                    None => continue,
                }
            }
            let pfn = self.alloc_for_file(file, index, node)?;
            let page = &self.frames[pfn];
            // The page is fresh, so its lock is free, except for a moment in which a walker with a
            // stale number tries it.
            page.lock();
            let Some(evicted) = self.cache_insert(file, index, pfn) else {
                self.unlock_and_put(pfn);
                continue;
            };
            // A page that will be overwritten is no refault, because its old content is not needed.
            if let (Some(shadow), Fill::Content) = (evicted, fill) {
                self.workingset_refault(pfn, shadow);
            }
            self.lru_add(pfn);
            if fill == Fill::Content {
                if let Err(error) = self.read_in(file, index, pfn) {
                    // A thread that has found the page meanwhile waits for its lock, and then reads
                    // the slot again.
                    if !mutated(Mutation::FailedReadStaysCached) {
                        self.cache_remove(file, index, pfn);
                    }
                    self.unlock_and_put(pfn);
                    return Err(error);
                }
                page.publish(Flags::UPTODATE);
            }
            return Ok(Cached { pfn, new: true, swapped_in: false, poisoned: false });
        }
    }

    /// Fills a locked page that is not up to date from its file's store, or with zeroes. `EIO` if
    /// the disk fails.
    pub(super) fn read_in(&self, file: &File, index: u32, pfn: Pfn) -> Result<()> {
        if !file.is_written_back() {
            self.memory.zero_page(pfn);
            return Ok(());
        }
        self.may_ask("read of a disk", pfn)?;
        if let Some(disk) = &file.disk {
            let start = index as usize * WORDS;
            for (word, cell) in disk[start..start + WORDS].iter().enumerate() {
                self.memory.store(pfn, word, cell.get());
            }
        }
        // The page was read in one request, and all its blocks are on disk.
        self.frames[pfn].set(Flags::MAPPEDTODISK);
        reckon::disk_read();
        self.stats.event(Event::Pgpgin, KIB);
        Ok(())
    }

    /// Writes a page to its file's disk, word by word, because users may store into the page
    /// meanwhile. If the disk fails, the dirty content is lost: the page is clean all the same, and
    /// the next sync fails.
    pub(super) fn write_out(&self, file: &File, index: u32, pfn: Pfn) {
        if self.may_ask("write to a disk", pfn).is_err() {
            return self.lose_write(file, index);
        }
        if let Some(disk) = &file.disk {
            let start = index as usize * WORDS;
            for (word, cell) in disk[start..start + WORDS].iter().enumerate() {
                cell.set(self.memory.load(pfn, word));
            }
        }
        reckon::disk_written();
        self.stats.event(Event::Pgpgout, KIB);
    }
}

#[cold]
pub(super) fn beyond(file: &File, index: u32) -> Error {
    Error::new(Errno::EFAULT, format!("page {index} is beyond the end of a file of {} pages", file.pages()))
}
