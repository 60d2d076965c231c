//! Tables in reserved, lazily committed address space.

use crate::error::{Errno, Error, Result};
use crate::page::size::PAGE_SIZE;
use crate::sync::{AtomicU32, AtomicU64, PlainU64};
use std::marker::PhantomData;
use std::ptr::NonNull;

/// The size of the host's large pages, in bytes.
const HUGE: usize = 2 << 20;

/// A reservation of zeroed memory, committed by the host kernel on first touch.
///
/// A reservation of a quarter of a large page or more asks the host for large pages. The kernel's
/// own records and its map of all memory consist of large pages, too. Random accesses then miss the
/// host's TLB less often, and the speed of a machine does not depend on which small pages the host
/// had free.
#[derive(Debug)]
struct Reservation {
    base: NonNull<u8>,
    /// The address and the size of the mapping, for `munmap`. The mapping begins at or before
    /// `base`.
    mapped: (NonNull<u8>, usize),
}

// SAFETY: a reservation is plain memory owned by this value. `Table` and `Memory` decide which
// thread may access which part at which time.
unsafe impl Send for Reservation {}
// SAFETY: as above.
unsafe impl Sync for Reservation {}

impl Reservation {
    fn new(bytes: usize) -> Result<Reservation> {
        let bytes = bytes.max(PAGE_SIZE);
        // A large reservation is used from one border of the host's large pages to another. The
        // host may place the mapping anywhere, so it has room for one more large page.
        let large = bytes >= HUGE / 4;
        let reserved = if large { bytes.next_multiple_of(HUGE).saturating_add(HUGE) } else { bytes };
        // SAFETY: an anonymous private mapping at an address of the host's choice touches no
        // existing memory.
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
        // SAFETY: `skip` is less than HUGE, and the mapping is larger than its used part by at
        // least HUGE, so the sum stays within the mapping.
        let base = unsafe { mapped.add(skip) };
        // SAFETY: the range lies in the mapping just made, and the advice changes nothing but how
        // the range is committed. A host without large pages refuses the advice, and the mapping
        // works without it.
        unsafe {
            libc::madvise(base.as_ptr().cast(), bytes.next_multiple_of(HUGE), libc::MADV_HUGEPAGE);
        }
        Ok(Reservation { base, mapped: (mapped, reserved) })
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        // SAFETY: the range came from `mmap` in `new`, and no thread can reach it any more: every
        // reference into it borrows from the owner of this value.
        unsafe {
            libc::munmap(self.mapped.0.as_ptr().cast(), self.mapped.1);
        }
    }
}

/// Types whose values may begin as zeroed memory.
///
/// # Safety
/// All-zero bytes are a valid value of the type, and its values need no drop.
pub unsafe trait Zeroable {}

// SAFETY: atomics of integers; zero is valid; nothing to drop.
unsafe impl Zeroable for AtomicU64 {}
// SAFETY: as above.
unsafe impl Zeroable for AtomicU32 {}
// SAFETY: as above: a plain cell is an atomic of an integer underneath.
unsafe impl Zeroable for PlainU64 {}

/// A fixed array of zero-initialised values. The host commits its memory when it is touched.
#[derive(Debug)]
pub struct Table<T> {
    memory: Reservation,
    len: usize,
    _values: PhantomData<T>,
}

impl<T: Zeroable> Table<T> {
    /// A table of `len` zeroed values. `ENOMEM` if the host refuses the address space.
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
            crate::memory::copy::prefetch(std::ptr::from_ref(value).cast());
        }
    }
}

impl<T: Zeroable> std::ops::Deref for Table<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        // SAFETY: the reservation is page-aligned, holds `len` values (checked in `zeroed`), is
        // zeroed by the host and so initialised (`T: Zeroable`), and lives as long as `self`.
        // Values are only ever shared: mutation goes through their atomics.
        unsafe { std::slice::from_raw_parts(self.memory.base.as_ptr().cast(), self.len) }
    }
}
