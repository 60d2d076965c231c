//! The answer of an operation, as far as it is compared.

use crate::error::Errno;
use crate::program::session::{Access, Step};
use std::fmt;

/// The answer of an operation: the results of its pages, and the error of the whole.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Answer {
    pub ret: i64,
    pub errno: Option<Errno>,
    pub status: Vec<Option<i32>>,
    pub calls: Vec<i32>,
    pub acc: Vec<Access>,
    pub signals: (u32, u32),
    pub got: Option<u32>,
    /// The number of times that the fault which was armed for the operation has struck. The number is not
    /// compared. When an order is tried, the fault strikes as often as in the schedule.
    pub struck: u8,
}

impl Answer {
    pub fn of(step: &Step) -> Answer {
        // A process does not see whether it has read the latest content; the rules on content check that.
        let seen = |access: &Access| match access {
            Access::Sigbus | Access::Failed(_) => *access,
            _ => Access::Ok,
        };
        Answer {
            // No call returns the number of pages that were done before an error.
            ret: if step.errno.is_some() { -1 } else { step.ret },
            errno: step.errno,
            status: step.status.clone(),
            calls: step.calls_ret.clone(),
            acc: step.acc.iter().map(seen).collect(),
            signals: (step.async_sigbus, step.ar_sigbus),
            got: step.got,
            struck: step.fault.unwrap_or(0),
        }
    }

    /// True if the answers say the same.
    pub fn is_same(&self, other: &Answer) -> bool {
        self.struck == other.struck && self == other
            || *self == Answer { struck: self.struck, ..other.clone() }
    }

    /// True if a page was not done, or the operation as a whole was not.
    pub fn is_failure(&self) -> bool {
        self.errnos().next().is_some() || self.status.contains(&None) || self.acc.contains(&Access::Sigbus)
    }

    /// The number of pages that are answered for; 0 if the operation has one answer only.
    fn pages(&self) -> usize {
        self.status.len().max(self.calls.len()).max(self.acc.len())
    }

    /// The answer for one part of `all` parts; `None` if the answer is not by parts.
    pub fn part(&self, part: usize, all: usize) -> Option<Answer> {
        if all == 1 {
            return Some(self.clone());
        }
        (self.pages() == all).then(|| {
            let status: Vec<_> = self.status.get(part).copied().into_iter().collect();
            let calls: Vec<_> = self.calls.get(part).copied().into_iter().collect();
            let acc: Vec<_> = self.acc.get(part).copied().into_iter().collect();
            // A call that was refused as a whole has left the status of its pages unset.
            let errno = self.errno.filter(|_| status == [None]);
            Answer { errno, status, calls, acc, struck: self.struck, ..Answer::default() }
        })
    }

    /// The answer for the page of a part: its status, its call's result or, without them, the error of the
    /// whole operation. For an access, only the result of the access.
    pub fn of_part(&self) -> (Option<i32>, Option<Access>) {
        let told = self.status.first().copied().flatten().or(self.calls.first().copied());
        let error = self.errno.map(|errno| -errno.0);
        (told.or(error).filter(|_| self.acc.is_empty()), self.acc.first().copied())
    }

    /// The errors that the answer tells.
    pub fn errnos(&self) -> impl Iterator<Item = Errno> + '_ {
        let negative = |ret: &i32| (*ret < 0).then(|| Errno(-ret));
        let accesses = self.acc.iter().filter_map(|access| match access {
            Access::Failed(errno) => Some(*errno),
            _ => None,
        });
        let statuses = self.status.iter().flatten().filter_map(negative);
        self.errno.into_iter().chain(statuses).chain(self.calls.iter().filter_map(negative)).chain(accesses)
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let named = |ret: i32| Errno(-ret).name().map_or_else(|| ret.to_string(), |name| format!("-{name}"));
        match self.errno {
            Some(errno) => parts.push(errno.name().unwrap_or("E?").to_owned()),
            None if self.pages() == 0 => {
                parts.push(if self.ret == 0 { "done".into() } else { self.ret.to_string() })
            }
            None => {}
        }
        parts.extend(self.status.iter().map(|status| status.map_or("unset".into(), named)));
        parts.extend(self.calls.iter().map(|&ret| named(ret)));
        parts.extend(self.acc.iter().map(Access::to_string));
        if self.signals != (0, 0) {
            parts.push(format!("signals {:?}", self.signals));
        }
        parts.extend(self.got.map(|got| format!("got {got}")));
        write!(f, "-> {}", parts.join(" "))
    }
}
