//! The pages that a recorded call handles, and the value that the kernel's function would return.

use crate::error::{Errno, Error};
use crate::page::Pfn;

/// The pages that a call handles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    pub page: Option<Pfn>,
    /// The destination page, if the call moves a page.
    pub dst: Option<Pfn>,
}

impl From<()> for About {
    fn from((): ()) -> About {
        About { page: None, dst: None }
    }
}

impl From<Pfn> for About {
    fn from(pfn: Pfn) -> About {
        About { page: Some(pfn), dst: None }
    }
}

impl From<(Pfn, Pfn)> for About {
    fn from((src, dst): (Pfn, Pfn)) -> About {
        About { page: Some(src), dst: Some(dst) }
    }
}

/// A result that can be recorded as the return value of the kernel's function.
pub(crate) trait Returned {
    /// Returns 0 or 1, a number of pages, or an errno below zero.
    fn ret(&self) -> i32;
}

impl Returned for () {
    fn ret(&self) -> i32 {
        0
    }
}

impl Returned for bool {
    fn ret(&self) -> i32 {
        i32::from(*self)
    }
}

impl<T> Returned for Result<T, Errno> {
    fn ret(&self) -> i32 {
        self.as_ref().map_or_else(|errno| errno.status(), |_| 0)
    }
}

impl<T> Returned for Result<T, Error> {
    fn ret(&self) -> i32 {
        self.as_ref().map_or_else(|error| error.errno.status(), |_| 0)
    }
}
