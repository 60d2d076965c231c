//! Errors: the kernel's errno, and the state that was found.

use crate::page::pfn::Pfn;
use crate::sync::interrupted;
use std::fmt;

/// An errno as the kernel returns it (positive here; statuses are negative).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(pub i32);

macro_rules! errnos {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        impl Errno {
            $(#[doc = $text] pub const $name: Errno = Errno($value);)*

            /// The symbolic name, e.g. `EBUSY`; `None` for a number the core never returns.
            pub fn name(self) -> Option<&'static str> {
                match self.0 { $($value => Some(stringify!($name)),)* _ => None }
            }

            /// The short description of the C library.
            pub fn text(self) -> &'static str {
                match self.0 { $($value => $text,)* _ => "Unknown error" }
            }

            /// The number for a symbolic name.
            pub fn from_name(name: &str) -> Option<Errno> {
                match name { $(stringify!($name) => Some(Errno($value)),)* _ => None }
            }
        }
    };
}

errnos! {
    EPERM = 1, "Operation not permitted";
    ENOENT = 2, "No such file or directory";
    ESRCH = 3, "No such process";
    EINTR = 4, "Interrupted system call";
    EIO = 5, "Input/output error";
    ENXIO = 6, "No such device or address";
    E2BIG = 7, "Argument list too long";
    EBADF = 9, "Bad file descriptor";
    EAGAIN = 11, "Resource temporarily unavailable";
    ENOMEM = 12, "Cannot allocate memory";
    EACCES = 13, "Permission denied";
    EFAULT = 14, "Bad address";
    EBUSY = 16, "Device or resource busy";
    EEXIST = 17, "File exists";
    ENODEV = 19, "No such device";
    EINVAL = 22, "Invalid argument";
    ETXTBSY = 26, "Text file busy";
    EFBIG = 27, "File too large";
    ENOSPC = 28, "No space left on device";
    ERANGE = 34, "Numerical result out of range";
    ENOSYS = 38, "Function not implemented";
    ENODATA = 61, "No data available";
    EOVERFLOW = 75, "Value too large for defined data type";
    EOPNOTSUPP = 95, "Operation not supported";
    ECANCELED = 125, "Operation canceled";
    EHWPOISON = 133, "Memory page has hardware error";
}

impl Errno {
    /// The value as a per-page status: a negative number.
    pub const fn status(self) -> i32 {
        -self.0
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({})", self.text()),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "Errno({})", self.0),
        }
    }
}

/// An operation that failed as the kernel fails it, and the state that made it fail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{errno}: {why}")]
pub struct Error {
    /// The errno that the system call would return.
    pub errno: Errno,
    /// The page concerned, if any.
    pub pfn: Option<Pfn>,
    /// The state found.
    pub why: Why,
}

/// The state that made an operation fail.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Why {
    /// The reference count is not one that the operation may replace.
    #[error("the page has {count} references where {expected} were expected")]
    Count {
        /// References found.
        count: u32,
        /// References that the operation can account for.
        expected: u32,
    },
    /// The count is zero: the page is free or frozen.
    #[error("the page has no references: it is free or frozen")]
    NoReference,
    /// One more reference would take the count beyond its limit.
    #[error("the reference count is at its limit ({count})")]
    CountLimit {
        /// References found.
        count: u32,
    },
    /// The page lock is held.
    #[error("the page is locked")]
    Locked,
    /// The page is not on an LRU list: it is in a batch, isolated, or was never on one.
    #[error("the page is not on an LRU list: it is in a batch until a drain, isolated, or not of the LRU")]
    NotOnLru,
    /// The node has no free block of the order.
    #[error("node {node} has no free block of order {order}")]
    NoFrame {
        /// The node asked.
        node: u8,
        /// The order asked for.
        order: u8,
    },
    /// No node has a free block, and neither reclaim nor compaction can make one.
    #[error("out of memory: no node has a free block of order {order}, and no page can be reclaimed")]
    OutOfMemory {
        /// The order asked for.
        order: u8,
    },
    /// The host has no memory for a buffer of the library. Nothing in the machine can change that.
    #[error("the host has no memory for {what} ({bytes} bytes): ask for less at a time")]
    HostMemory {
        /// The purpose of the buffer.
        what: &'static str,
        /// The size of the buffer.
        bytes: u64,
    },
    /// The deadline of a wait has passed ([`patiently`](crate::sync::patiently)).
    #[error("the wait was interrupted: nothing has changed, and the call can be made again")]
    WaitInterrupted,
    /// The caller has ended the operation ([`interruptible`](crate::sync::interruptible)).
    #[error("a signal ended the operation: the part that was done stays")]
    Interrupted,
    /// Any other state, in words.
    #[error("{0}")]
    State(String),
}

impl Error {
    /// An error about `pfn`.
    pub fn at(errno: Errno, pfn: Pfn, why: Why) -> Error {
        Error { errno, pfn: Some(pfn), why }
    }

    /// The error for a host that has no memory for `len` values of a type; `what` is their purpose.
    #[cold]
    pub fn host_memory<T>(what: &'static str, len: usize) -> Error {
        let bytes = (len as u64).saturating_mul(size_of::<T>() as u64);
        Error { errno: Errno::ENOMEM, pfn: None, why: Why::HostMemory { what, bytes } }
    }

    /// True if the host has no memory, and not the machine.
    pub fn is_of_host(&self) -> bool {
        matches!(self.why, Why::HostMemory { .. })
    }

    /// An error that concerns no particular page.
    pub fn new(errno: Errno, why: impl Into<String>) -> Error {
        Error { errno, pfn: None, why: Why::State(why.into()) }
    }

    /// The error of a wait whose deadline has passed ([`patiently`](crate::sync::patiently)).
    #[cold]
    pub fn interrupted() -> Error {
        Error { errno: Errno::EINTR, pfn: None, why: Why::WaitInterrupted }
    }

    /// Passes a place between two pages of a long operation. `EINTR` if the caller ends the operation
    /// ([`interruptible`](crate::sync::interruptible)).
    #[inline]
    pub(crate) fn unless_interrupted() -> Result<()> {
        match interrupted() {
            true => Err(Error { errno: Errno::EINTR, pfn: None, why: Why::Interrupted }),
            false => Ok(()),
        }
    }

    /// True if the call can be made again because only its wait was interrupted. The `EINTR` of a killed
    /// thread is final.
    pub fn is_wait_interrupted(&self) -> bool {
        matches!(self.why, Why::WaitInterrupted)
    }
}

/// The core's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;
