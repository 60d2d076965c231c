//! Reading and writing through the file (`pread`, `pwrite`): the same bytes that mappings show.
//!
//! A read holds a reference on the page and no lock, so a migration that meets the reference has to
//! try again. A write holds the page lock.

use super::failure::poisoned;
use super::fill::{Cached, Fill, beyond};
use super::state::File;
use crate::error::{Errno, Error, Result, Why};
use crate::machine::Machine;
use crate::map::access::{PAGE_BYTES, Piece, pieces, store_part, words_of};
use crate::map::slot::Slot;
use crate::memory::WORDS;
use crate::page::{Flags, Pfn};
use crate::release::Release;
use crate::sync::Ordering;

impl<R: Release> Machine<R> {
    /// Reads bytes from `offset` on, page by page. Pages that are not cached are read into frames of
    /// `node` if it has free frames. If a page fails, the part of `into` before it is filled already.
    ///
    /// `EFAULT` for a range beyond the end, `ENOMEM` without a free frame, `EBADF` for a removed
    /// file, `EIO` for a page of a memory file system whose frame is bad or if the disk or the swap
    /// space fails, `EINTR` if the caller is killed or the deadline of a wait for a page lock passes.
    pub fn file_read(&self, file: &File, offset: u64, into: &mut [u8], node: usize) -> Result<()> {
        let _inside = self.enter_file(file)?;
        for piece in pieces(file.pages(), offset, into.len())? {
            self.may_go_on("read of a file")?;
            let Some(pfn) = self.page_to_read(file, piece.index, node)? else {
                into[piece.range()].fill(0);
                continue;
            };
            let into = &mut into[piece.range()];
            match self.memory.frame(pfn) {
                None => into.fill(0),
                Some(words) => {
                    for part in words_of(piece.start, into.len()) {
                        // Relaxed: a user's load, as in `Memory::load`.
                        let value = words[part.word].load(Ordering::Relaxed).to_le_bytes();
                        self.memory.used(pfn, part.word, false);
                        into[part.at..][..part.len].copy_from_slice(&value[part.skip..][..part.len]);
                    }
                }
            }
            self.mark_read(file, piece.index, pfn);
            self.put(pfn);
        }
        Ok(())
    }

    /// Marks a page that was read through its file as accessed. In a file with a disk, reads that
    /// follow in the same page do not mark it again (`filemap_read`). A page of a memory file system
    /// is marked at each read (`shmem_file_read_iter`).
    fn mark_read(&self, file: &File, index: u32, pfn: Pfn) {
        // Relaxed: only a hint, as in the kernel; readers that race may mark a page once more or
        // once less.
        let last = file.last_read.swap(index + 1, Ordering::Relaxed);
        if !file.is_written_back() || last != index + 1 {
            self.mark_page_accessed(pfn);
        }
    }

    /// Marks a page accessed, as a read of a cached page does. Returns false if the page
    /// is not cached.
    #[cfg(not(any(loom, feature = "explored")))]
    pub(crate) fn read_cached(&self, file: &File, index: u32) -> bool {
        let Some(pfn) = self.cache_get(file, index) else { return false };
        self.mark_page_accessed(pfn);
        self.put(pfn);
        true
    }

    /// Reads a page into the cache, as the first read through the file does.
    #[cfg(not(any(loom, feature = "explored")))]
    pub(crate) fn read_uncached(&self, file: &File, index: u32, node: usize) -> Result<()> {
        let Cached { pfn, .. } = self.file_page(file, index, node, Fill::Content)?;
        self.unlock_and_put(pfn);
        Ok(())
    }

    /// Writes bytes from `offset` on, page by page. If a page fails, the bytes of earlier pages are
    /// written already.
    ///
    /// The errors are those of [`Machine::file_read`].
    pub fn file_write(&self, file: &File, offset: u64, from: &[u8], node: usize) -> Result<()> {
        let _inside = self.enter_file(file)?;
        for piece in pieces(file.pages(), offset, from.len())? {
            self.may_go_on("write to a file")?;
            let whole = piece.start == 0 && piece.len == PAGE_BYTES;
            let fill = if whole { Fill::Overwritten } else { Fill::Content };
            let Cached { pfn, new, poisoned: bad, .. } = self.file_page(file, piece.index, node, fill)?;
            // A page that was cached before counts as accessed, even if the write then fails
            // (`shmem_get_folio`; recording g83137/10).
            if !new && !file.is_written_back() {
                self.mark_page_accessed(pfn);
            }
            if bad && !file.is_written_back() {
                self.unlock_and_put(pfn);
                return Err(poisoned(pfn, Errno::EIO));
            }
            self.write_piece(pfn, &piece, &from[piece.range()]);
            let page = &self.frames[pfn];
            if file.is_written_back() {
                self.attach_private(pfn);
            } else if new {
                page.set(Flags::REFERENCED);
            }
            page.publish(Flags::UPTODATE);
            match file.is_written_back() {
                true => self.set_buffer_dirty(pfn),
                false => self.set_page_dirty(pfn),
            }
            self.unlock_and_put(pfn);
        }
        Ok(())
    }

    fn write_piece(&self, pfn: Pfn, piece: &Piece, from: &[u8]) {
        if let Some(words) = self.memory.frame(pfn) {
            for part in words_of(piece.start, from.len()) {
                store_part(&words[part.word], part.skip, &from[part.at..][..part.len]);
                self.memory.used(pfn, part.word, true);
            }
        }
    }

    /// Returns the page to read from, with a reference. `None` for a hole in a file of a memory
    /// file system, which reads as zeroes.
    fn page_to_read(&self, file: &File, index: u32, node: usize) -> Result<Option<Pfn>> {
        let seen = file.slot(index);
        match self.cache_get_seen(file, index, seen) {
            Some(pfn) => {
                let word = self.frames[pfn].word();
                if word.has(Flags::HWPOISON) && !file.is_written_back() {
                    self.put(pfn);
                    return Err(poisoned(pfn, Errno::EIO));
                }
                if word.has(Flags::UPTODATE) {
                    return Ok(Some(pfn));
                }
                self.put(pfn);
            }
            // The lookup above and the test for a hole use one value of the slot, `seen`. With a second
            // load, a page that moves between memory and swap meanwhile could look like a hole.
            None if !file.is_written_back() && seen == Slot::Empty => {
                // The size is read after the slot: a truncation sets the size before it empties the
                // slot.
                return if index < file.pages() { Ok(None) } else { Err(beyond(file, index)) };
            }
            None => {}
        }
        let Cached { pfn, .. } = self.file_page(file, index, node, Fill::Content)?;
        self.frames[pfn].unlock(pfn);
        Ok(Some(pfn))
    }

    /// Writes a page's words to disk past the cache, as `O_DIRECT` does.
    ///
    /// `EBUSY` if the page is cached; `EINVAL` for a file without a disk, for a page that the file
    /// does not have, or for more words than a page has; `EBADF` for a removed file.
    pub fn write_disk(&self, file: &File, index: u32, words: &[u64]) -> Result<()> {
        let _inside = self.enter_file(file)?;
        if !file.is_written_back() || index >= file.pages() || words.len() > WORDS {
            let why = format!(
                "{} words for page {index}: the file needs a disk and has {} pages of {WORDS} words",
                words.len(),
                file.pages()
            );
            return Err(Error::new(Errno::EINVAL, why));
        }
        // The lock is held exclusively, so that no thread adds the page and reads the disk meanwhile.
        let _alone = file.invalidate.write();
        if let Some(pfn) = file.slot(index).page() {
            return Err(Error::at(Errno::EBUSY, pfn, Why::State("the page is cached".into())));
        }
        if let Some(disk) = &file.disk {
            let start = index as usize * WORDS;
            disk[start..start + WORDS].iter().zip(words).for_each(|(cell, &word)| cell.set(word));
        }
        Ok(())
    }

    /// Returns one word of a file as a read would find it now, without reading a page in. For checks
    /// while no other thread uses the file. 0 if there is no such word.
    pub fn file_word(&self, file: &File, index: u32, word: usize) -> u64 {
        match file.slot(index) {
            _ if word >= WORDS => 0,
            Slot::Page(pfn) => self.memory.load(pfn, word),
            Slot::Swap(slot) => self.swap_word(slot, word),
            _ => file.stored(index, word).unwrap_or(0),
        }
    }
}
