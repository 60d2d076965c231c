//! Reserved, lazily committed address space.

use crate::error::{Errno, Error, Result};
use crate::page::{PAGE_SIZE, Page, Pfn};
use crate::sync::{AtomicU32, AtomicU64, Ordering, PlainU64};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The host's large page.
const HUGE: usize = 2 << 20;

/// A reservation of zeroed memory, committed by the host kernel on first touch.
///
/// What fills large pages asks for them, as the kernel's own records and its map of all memory are made of
/// them: random accesses miss the host's TLB less, and how fast a machine is does not hang on which small pages
/// the host happened to have.
#[derive(Debug)]
struct Reservation {
    base: NonNull<u8>,
    /// What was mapped, to be given back: it begins at or before `base`.
    mapped: (NonNull<u8>, usize),
}

// SAFETY: a reservation is plain memory owned by this value; who may access which part when is
// decided by `Table` and `Memory`.
unsafe impl Send for Reservation {}
// SAFETY: as above.
unsafe impl Sync for Reservation {}

impl Reservation {
    fn new(bytes: usize) -> Result<Reservation> {
        let bytes = bytes.max(PAGE_SIZE);
        // Room to begin and to end at a large page's border.
        let large = bytes >= HUGE / 4;
        let reserved = if large { bytes.next_multiple_of(HUGE).saturating_add(HUGE) } else { bytes };
        // SAFETY: an anonymous private mapping at an address of the host's choice touches no existing
        // memory.
        let base = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                reserved,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
                -1,
                0,
            )
        };
        if base == libc::MAP_FAILED {
            return Err(Error::new(
                Errno::ENOMEM,
                format!("the host refuses to reserve {bytes} bytes; use smaller nodes"),
            ));
        }
        let mapped = NonNull::new(base.cast::<u8>()).expect("mmap gives no null");
        if !large {
            return Ok(Reservation { base: mapped, mapped: (mapped, reserved) });
        }
        let skip = mapped.as_ptr().align_offset(HUGE);
        // SAFETY: less than HUGE, by which the mapping is larger than what is used of it.
        let base = unsafe { mapped.add(skip) };
        // SAFETY: the range lies in the mapping just made; the advice changes how it is committed, nothing else. A
        // host without large pages refuses, which is as good.
        unsafe {
            libc::madvise(base.as_ptr().cast(), bytes.next_multiple_of(HUGE), libc::MADV_HUGEPAGE);
        }
        Ok(Reservation { base, mapped: (mapped, reserved) })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the range came from `mmap` in `new` and nobody can reach it any more: every
        // reference into it borrows from the owner of this value.
        unsafe {
            libc::munmap(self.mapped.0.as_ptr().cast(), self.mapped.1);
        }
    }
}

/// Types for which all-zero bytes are a valid value and that need no drop.
///
/// # Safety
/// Both must hold.
pub unsafe trait Zeroable {}

// SAFETY: atomics of integers; zero is valid; nothing to drop.
unsafe impl Zeroable for Page {}
// SAFETY: as above.
unsafe impl Zeroable for AtomicU64 {}
// SAFETY: as above.
unsafe impl Zeroable for AtomicU32 {}
// SAFETY: as above: a plain cell is an atomic of an integer underneath.
unsafe impl Zeroable for PlainU64 {}

/// A fixed array of zero-initialised values, committed when touched.
#[derive(Debug)]
pub struct Table<T> {
    memory: Reservation,
    len: usize,
    _values: PhantomData<T>,
}

impl<T: Zeroable> Table<T> {
    /// `len` zeroed values.
    pub fn zeroed(len: usize) -> Result<Table<T>> {
        let bytes = len
            .checked_mul(size_of::<T>())
            .ok_or_else(|| Error::new(Errno::ENOMEM, "the table does not fit an address space"))?;
        Ok(Table { memory: Reservation::new(bytes)?, len, _values: PhantomData })
    }

    /// Starts loading a value into the cache.
    #[inline]
    pub fn prefetch(&self, index: usize) {
        if let Some(value) = self.get(index) {
            super::copy::prefetch(std::ptr::from_ref(value).cast());
        }
    }
}

impl<T: Zeroable> std::ops::Deref for Table<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the reservation is page-aligned, holds `len` values (checked in `zeroed`), is zeroed by
        // the host and so initialised (`T: Zeroable`), and lives as long as `self`. Values are only ever
        // shared: mutation goes through their atomics.
        unsafe { std::slice::from_raw_parts(self.memory.base.as_ptr().cast(), self.len) }
    }
}

/// The bytes of every frame of a backed machine, or nothing for an unbacked one.
#[derive(Debug)]
pub struct Memory(Option<Table<AtomicU64>>);

const FRAME_WORDS: usize = super::WORDS;

impl Memory {
    /// Bytes for `frames` frames.
    pub fn backed(frames: u32) -> Result<Memory> {
        Ok(Memory(Some(Table::zeroed(frames as usize * FRAME_WORDS)?)))
    }

    /// Records only.
    pub fn unbacked() -> Memory {
        Memory(None)
    }

    /// Do frames have bytes?
    #[inline]
    pub fn is_backed(&self) -> bool {
        self.0.is_some()
    }

    /// The words of a frame; `None` on an unbacked machine.
    #[inline]
    pub fn frame(&self, pfn: Pfn) -> Option<&[AtomicU64]> {
        let start = pfn.index() * FRAME_WORDS;
        self.0.as_ref().map(|words| &words[start..start + FRAME_WORDS])
    }

    /// A user's load of one word. Zero on an unbacked machine.
    #[inline]
    pub fn load(&self, pfn: Pfn, word: usize) -> u64 {
        // Relaxed: users' accesses race as on real hardware and order nothing.
        self.frame(pfn).map_or(0, |frame| frame[word].load(Ordering::Relaxed))
    }

    /// A user's store of one word. Lost on an unbacked machine.
    #[inline]
    pub fn store(&self, pfn: Pfn, word: usize, value: u64) {
        if let Some(frame) = self.frame(pfn) {
            // Relaxed: as in `load`.
            frame[word].store(value, Ordering::Relaxed);
        }
    }

    /// A user has loaded or stored one word of [`Memory::frame`]. Only the explored build listens.
    #[inline(always)]
    pub fn used(&self, _pfn: Pfn, _word: usize, _stored: bool) {}

    /// The frame is about to be free. Only the explored build listens.
    #[inline(always)]
    pub fn retire(&self, _pfn: Pfn) {}

    /// Fills a frame that nobody else can reach with zeroes (a fresh anonymous page).
    #[inline]
    pub fn zero_page(&self, pfn: Pfn) {
        if let Some(frame) = self.frame(pfn) {
            super::copy::zero(frame);
        }
    }

    /// Is there nothing but zeroes in a frame that nobody stores to? Not known, hence no, of frames without bytes.
    pub fn is_zero(&self, pfn: Pfn) -> bool {
        // Relaxed: whoever stored before has been waited for.
        self.frame(pfn).is_some_and(|frame| frame.iter().all(|word| word.load(Ordering::Relaxed) == 0))
    }

    /// Copies a whole frame; see the module for what the caller has proved.
    #[inline]
    pub fn copy_page(&self, from: Pfn, to: Pfn) {
        if let (Some(from), Some(to)) = (self.frame(from), self.frame(to)) {
            super::copy::copy(from, to);
        }
    }

    /// Copies a whole frame of a file's page, which others may read meanwhile; nobody stores to it.
    #[inline]
    pub fn copy_cached_page(&self, from: Pfn, to: Pfn) {
        self.copy_page(from, to);
    }

    /// Starts loading a frame that will be copied next.
    #[inline]
    pub fn prefetch_page(&self, pfn: Pfn) {
        if let Some(frame) = self.frame(pfn) {
            super::copy::prefetch_frame(frame);
        }
    }
}
