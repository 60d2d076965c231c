//! The zero page under memory failure. Memory failure can neither take the page out of use nor move
//! or unmap it. The page is counted as poisoned all the same and stays poisoned for good, and all
//! processes go on reading zeroes from it.

use crate::calls::Call;
use crate::error::{Errno, Error, Result};
use crate::machine::Machine;
use crate::page::ZERO_PAGE;
use crate::release::Release;

/// The number of attempts to find the page in a state that can be handled.
const SHAKES: u8 = 3;

impl<R: Release> Machine<R> {
    /// Returns true if the zero page is poisoned.
    pub fn zero_page_is_poisoned(&self) -> bool {
        self.failure.books.lock().zero
    }

    /// Soft offline of the zero page, on which the caller has no reference. `EIO`, because the page
    /// has no owner that could give it up; success if the page is poisoned already.
    pub(super) fn soft_offline_zero_page(&self) -> Result<()> {
        let _serial = self.failure.mutex.lock();
        if self.zero_page_is_poisoned() {
            self.returns(Call::SoftOfflinePage, 0);
            return Ok(());
        }
        (0..SHAKES).for_each(|_| self.shake_page(ZERO_PAGE));
        self.returns(Call::GetHwpoisonPage, Errno::EIO.status());
        self.returns(Call::SoftOfflinePage, Errno::EIO.status());
        Err(Error::new(Errno::EIO, "the zero page is not handled"))
    }

    /// Hard failure of the zero page: counts and ignores it. `EBUSY` the first time, `EHWPOISON`
    /// afterwards.
    pub(super) fn fail_zero_page(&self) -> Result<()> {
        let _serial = self.failure.mutex.lock();
        let fresh = !std::mem::replace(&mut self.failure.books.lock().zero, true);
        let errno = if fresh { Errno::EBUSY } else { Errno::EHWPOISON };
        if fresh {
            self.shake_folio(ZERO_PAGE);
            self.failure.books.lock().counted += 1;
        }
        self.returns(Call::MemoryFailure, errno.status());
        Err(Error::new(errno, "the zero page is not handled"))
    }
}
