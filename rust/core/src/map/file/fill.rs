//! A page of a file, locked and with its content: from the cache, or made and read in.

use super::{File, Slot};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::memory::WORDS;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::stat::Event;

/// KiB of a page.
const KIB: i64 = (crate::page::PAGE_SIZE / 1024) as i64;

/// A page of a file, locked, with a reference.
#[derive(Clone, Copy, Debug)]
pub(in crate::map) struct Cached {
    pub pfn: Pfn,
    /// It was not in the cache before, nor in the swap space.
    pub new: bool,
    /// It had to be read from the swap space.
    pub swapped_in: bool,
    /// Its frame is bad.
    pub poisoned: bool,
}

/// What a page is wanted for that is not in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::map) enum Fill {
    /// Its content.
    Content,
    /// All of it will be overwritten under the page lock that the caller gets.
    Overwritten,
}

impl<R: Release> Machine<R> {
    /// Page `index` of a file, locked, with a reference, and up to date unless it is new and will be
    /// overwritten. A page that is not cached is made, on `node` if the file says nothing else and there is room, and read in.
    ///
    /// `EFAULT` beyond the file's end (the kernel's SIGBUS), `ENOMEM` without a free frame, `EIO` if the disk fails.
    pub(in crate::map) fn file_page(
        &self,
        file: &File,
        index: u32,
        node: usize,
        fill: Fill,
    ) -> Result<Cached> {
        // Each further round follows from somebody else's making, moving or taking out of the page.
        loop {
            if let Some(pfn) = self.cache_get(file, index) {
                let page = &self.frames[pfn];
                if !page.lock_patiently() {
                    self.put(pfn);
                    return Err(Error::interrupted());
                }
                // Under the lock: a truncation that decided before us has set the size, one that decides later
                // waits for the lock.
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
            // Fresh: free, but for the wink of a stale walker.
            page.lock();
            let Some(evicted) = self.cache_insert(file, index, pfn) else {
                self.unlock_and_put(pfn);
                continue;
            };
            // What will be overwritten says nothing of the use of what was evicted.
            if let (Some(shadow), Fill::Content) = (evicted, fill) {
                self.workingset_refault(pfn, shadow);
            }
            self.lru_add(pfn);
            if fill == Fill::Content {
                if let Err(error) = self.read_in(file, index, pfn) {
                    // Whoever found it meanwhile waits for its lock, and looks again.
                    self.cache_remove(file, index, pfn);
                    self.unlock_and_put(pfn);
                    return Err(error);
                }
                page.publish(Flags::UPTODATE);
            }
            return Ok(Cached { pfn, new: true, swapped_in: false, poisoned: false });
        }
    }

    /// Fills a locked page that is not up to date from what backs its file.
    /// `EIO` if the disk fails.
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
        // One request for the whole page, whose blocks are all on disk.
        self.frames[pfn].set(Flags::MAPPEDTODISK);
        self.stats.event(Event::Pgpgin, KIB);
        Ok(())
    }

    /// Writes a page to what backs its file: word by word, because users may be writing to it. A disk that fails has
    /// lost what was dirty: the page is clean all the same, and the next sync says so.
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
        self.stats.event(Event::Pgpgout, KIB);
    }
}

#[cold]
pub(super) fn beyond(file: &File, index: u32) -> Error {
    Error::new(Errno::EFAULT, format!("page {index} is beyond the end of a file of {} pages", file.pages()))
}
