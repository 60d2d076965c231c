//! Accesses through a mapping, for a load or for a store: the hottest path when designs are
//! compared. An access takes no lock and no reference, and changes no counter. The cost of an
//! access is one fence for the TLB section, and one atomic operation if the access makes an entry
//! young or dirty.
//!
//! # Racing users
//!
//! Accesses of users may race, as on real hardware; a word is never torn. A range of bytes goes
//! word by word. Its first and last word may be covered in part only. Such a word is changed by
//! compare-exchange, so that concurrent writers of other bytes of the word lose nothing.

use super::fault::no_page;
use super::{Area, Entry, Pte};
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::memory::WORDS;
use crate::page::{Flags, PAGE_SIZE, Pfn};
use crate::release::Release;
use crate::sync::{AtomicU64, Ordering, broken};

const WORD: usize = size_of::<u64>();

/// The result of one look at an entry.
enum Look {
    /// The entry allows the access to this frame; `None` is the zero page.
    Frame(Option<Pfn>),
    /// The entry does not allow the access: a fault is needed.
    Fault,
    /// The entry changed between the load and the setting of its bits: another look is needed.
    Again,
}

impl<R: Release> Machine<R> {
    /// Loads one word of a page; 0 on an unbacked machine.
    ///
    /// Errors as [`Machine::fault`]; `EINTR` also if the thread was killed during a fault; `EINVAL` for
    /// a word outside of a page.
    #[inline]
    pub fn read_word(&self, area: &Area, index: u32, word: usize) -> Result<u64> {
        word_in_page(word)?;
        self.access(area, index, false, |frame| frame.map_or(0, |pfn| self.memory.load(pfn, word)))
    }

    /// Stores one word of a page. On an unbacked machine the value is lost.
    ///
    /// Errors as [`Machine::read_word`].
    #[inline]
    pub fn write_word(&self, area: &Area, index: u32, word: usize, value: u64) -> Result<()> {
        word_in_page(word)?;
        self.access(area, index, true, |frame| {
            if let Some(pfn) = frame {
                self.memory.store(pfn, word, value);
            }
        })
    }

    /// Loads bytes from `offset` on, page by page. If a page fails, the earlier part of `into` is
    /// filled already.
    pub fn read_bytes(&self, area: &Area, offset: u64, into: &mut [u8]) -> Result<()> {
        for piece in pieces(area.pages(), offset, into.len())? {
            let into = &mut into[piece.range()];
            self.access(area, piece.index, false, |frame| {
                let found = frame.and_then(|pfn| Some((pfn, self.memory.frame(pfn)?)));
                let Some((pfn, words)) = found else { return into.fill(0) };
                for part in words_of(piece.start, into.len()) {
                    // Relaxed: a user's load, as in `Memory::load`.
                    let value = words[part.word].load(Ordering::Relaxed).to_le_bytes();
                    self.memory.used(pfn, part.word, false);
                    into[part.at..][..part.len].copy_from_slice(&value[part.skip..][..part.len]);
                }
            })?;
        }
        Ok(())
    }

    /// Stores bytes from `offset` on, page by page. If a page fails, the bytes of earlier pages are
    /// stored already.
    pub fn write_bytes(&self, area: &Area, offset: u64, from: &[u8]) -> Result<()> {
        for piece in pieces(area.pages(), offset, from.len())? {
            let from = &from[piece.range()];
            self.access(area, piece.index, true, |frame| {
                let Some((pfn, words)) = frame.and_then(|pfn| Some((pfn, self.memory.frame(pfn)?))) else {
                    return;
                };
                for part in words_of(piece.start, from.len()) {
                    store_part(&words[part.word], part.skip, &from[part.at..][..part.len]);
                    self.memory.used(pfn, part.word, true);
                }
            })?;
        }
        Ok(())
    }

    /// Calls `touch` once with the frame of the page (`None` for the zero page), inside a TLB
    /// section.
    #[inline]
    fn access<T>(
        &self,
        area: &Area,
        index: u32,
        write: bool,
        mut touch: impl FnMut(Option<Pfn>) -> T,
    ) -> Result<T> {
        if index >= area.pages() {
            return Err(no_page(area, index));
        }
        // Another round follows only if another thread has changed the entry, or after a fault,
        // which either makes the entry fit or waits for a migration to end.
        loop {
            let look = {
                let _section = self.tlb.enter();
                match walk(area, index, write) {
                    Look::Frame(frame) => {
                        let value = touch(frame);
                        self.still_mapped(frame);
                        return Ok(value);
                    }
                    other => other,
                }
            };
            // The section has ended here, because a fault may sleep.
            if let Look::Fault = look {
                self.fault(area, index, write)?;
                // A thread that was killed during the fault does not try its access again.
                self.may_go_on("end of a fault")?;
            }
        }
    }
}

impl<R: Release> Machine<R> {
    /// Checks, in the explored build only, that the frame of an access was not freed during the
    /// access. An unmap must wait for the section to end before it puts the mapping's reference.
    #[inline]
    fn still_mapped(&self, frame: Option<Pfn>) {
        let Some(pfn) = frame.filter(|_| cfg!(feature = "explored")) else { return };
        let own = self.frames[pfn].word();
        let word = if own.has(Flags::TAIL) { self.frames[self.frames.head(pfn)].word() } else { own };
        if word.count() == 0 {
            broken("use of a freed frame", format_args!("page {pfn} ({word}) within an access"));
        }
    }
}

/// Walks the page table as hardware does on an access: finds the entry, checks its permissions, and
/// makes it young and dirty.
#[inline]
fn walk(area: &Area, index: u32, write: bool) -> Look {
    let pte = area.look(index);
    let (needed, marks) = match write {
        false => (Pte::PRESENT, Pte::YOUNG),
        true => (Pte::PRESENT | Pte::WRITE, Pte::YOUNG | Pte::DIRTY),
    };
    if !pte.has(needed) {
        return Look::Fault;
    }
    if !area.touch(index, pte, marks) {
        return Look::Again;
    }
    match pte.entry() {
        Entry::Present { pfn, zero: false } => Look::Frame(Some(pfn)),
        _ => Look::Frame(None),
    }
}

fn word_in_page(word: usize) -> Result<()> {
    if word < WORDS {
        return Ok(());
    }
    Err(Error::new(Errno::EINVAL, format!("a page has {WORDS} words, there is no word {word}")))
}

/// The part of a byte range that lies in one page.
pub(super) struct Piece {
    pub index: u32,
    /// The first byte within the page.
    pub start: usize,
    /// The offset of the piece in the caller's buffer.
    at: usize,
    pub len: usize,
}

impl Piece {
    pub fn range(&self) -> std::ops::Range<usize> {
        self.at..self.at + self.len
    }
}

/// The number of bytes that a page has: `PAGE_SIZE`, but fewer in the explored build.
pub(super) const PAGE_BYTES: usize = WORDS * WORD;

/// Cuts a byte range at page boundaries. `EFAULT` if the range does not lie within `pages` pages.
pub(super) fn pieces(pages: u32, offset: u64, len: usize) -> Result<impl Iterator<Item = Piece> + use<>> {
    let size = u64::from(pages) * PAGE_SIZE as u64;
    let end = offset.checked_add(len as u64).filter(|&end| end <= size);
    if end.is_none() {
        let why = format!("{len} bytes from byte {offset} on do not lie in {size} bytes");
        return Err(Error::new(Errno::EFAULT, why));
    }
    let first = offset / PAGE_SIZE as u64;
    let mut at = 0;
    let all = (first..).map_while(move |index| {
        let start = ((offset + at as u64) % PAGE_SIZE as u64) as usize;
        let piece = Piece { index: index as u32, start, at, len: (len - at).min(PAGE_SIZE - start) };
        at += piece.len;
        (piece.len > 0).then_some(piece)
    });
    // Frames of the explored build are short, and bytes beyond their end do not exist for users.
    if PAGE_BYTES < PAGE_SIZE && len > 0 {
        let last = (offset + len as u64 - 1) % PAGE_SIZE as u64;
        let crosses = first != (offset + len as u64 - 1) / PAGE_SIZE as u64;
        if crosses || last >= PAGE_BYTES as u64 {
            return Err(Error::new(Errno::EFAULT, format!("pages have {PAGE_BYTES} bytes in this build")));
        }
    }
    Ok(all)
}

/// The part of a byte range that lies in one word.
pub(super) struct Part {
    pub word: usize,
    /// The number of bytes of the word before the part.
    pub skip: usize,
    /// The offset of the part in the page's piece.
    pub at: usize,
    pub len: usize,
}

/// Cuts a range of `len` bytes, which begins at byte `start` of a page, at word boundaries.
#[inline]
pub(super) fn words_of(start: usize, len: usize) -> impl Iterator<Item = Part> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let (word, skip) = ((start + at) / WORD, (start + at) % WORD);
        let part = Part { word, skip, at, len: (len - at).min(WORD - skip) };
        at += part.len;
        (part.len > 0).then_some(part)
    })
}

/// Stores some bytes of a word and leaves its other bytes to concurrent writers.
#[inline]
pub(super) fn store_part(word: &AtomicU64, skip: usize, bytes: &[u8]) {
    if let Ok(whole) = <[u8; WORD]>::try_from(bytes) {
        // Relaxed: a user's store, as in `Memory::store`.
        return word.store(u64::from_le_bytes(whole), Ordering::Relaxed);
    }
    let mut old = word.load(Ordering::Relaxed);
    loop {
        let mut value = old.to_le_bytes();
        value[skip..][..bytes.len()].copy_from_slice(bytes);
        // Relaxed: as above. The exchange fails because another user's store succeeded, or
        // spuriously.
        let new = u64::from_le_bytes(value);
        match word.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => old = now,
        }
    }
}
