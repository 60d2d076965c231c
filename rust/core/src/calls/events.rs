//! Recorded calls as a stream of events: the steps of the protocol under the names of a kernel, and
//! the kernel's tracepoints.

use super::call::{Call, Found, Recorded};
use super::names::seen;
use crate::lru::lruvec::LruList;
use crate::migrate::mode::{Mode, Reason};
use crate::page::Pfn;
use crate::profile::CallNames;

/// An event: the entry into a call, the return from a call, or a tracepoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The kernel's name for the event.
    pub name: &'static str,
    /// The time, by [`nanoseconds`](crate::sync::nanoseconds).
    pub when: u64,
    /// The slot of the calling thread.
    pub thread: usize,
    /// The CPU of the calling thread.
    pub cpu: usize,
    /// The page that the call handles; `None` on returns.
    pub page: Option<Found>,
    /// The destination page.
    pub dst: Option<Pfn>,
    /// The return value; `None` unless the event is a return.
    pub ret: Option<i32>,
    /// Further arguments, `name=value` each.
    pub arguments: String,
}

/// Returns the events that a kernel with these names shows for a list of calls.
pub fn events(calls: &[Recorded], names: CallNames) -> Vec<Event> {
    seen(calls).flat_map(|call| of(call, names)).collect()
}

fn of(call: &Recorded, names: CallNames) -> Vec<Event> {
    let event = |name, arguments| Event {
        name,
        when: call.when,
        thread: call.thread,
        cpu: call.cpu,
        page: call.page,
        dst: call.dst,
        ret: call.ret.map(|ret| call.call.returned(ret, names)),
        arguments,
    };
    if let Some((name, arguments)) = tracepoint(call) {
        return vec![event(name, arguments)];
    }
    let arguments = || match call.ret {
        None => call.call.arguments(names).trim_start().to_owned(),
        Some(_) => String::new(),
    };
    call.call.entries(names).iter().map(|probe| event(probe.0, arguments())).collect()
}

/// Returns the name and the fields of a tracepoint.
fn tracepoint(call: &Recorded) -> Option<(&'static str, String)> {
    let order = call.page.map_or(0, |page| page.order);
    let list = || call.page.map_or("", |page| LruList::of(page.word).name());
    Some(match call.call {
        Call::MmPageAlloc => ("mm_page_alloc", format!("order={order}")),
        Call::MmPageFree => ("mm_page_free", format!("order={order}")),
        Call::MmLruInsertion => ("mm_lru_insertion", format!("lru={}", list())),
        Call::MmLruActivate => ("mm_lru_activate", String::new()),
        Call::MmMigratePages { succeeded, failed, mode, reason } => (
            "mm_migrate_pages",
            format!(
                "nr_succeeded={succeeded} nr_failed={failed} mode={} reason={}",
                named(Mode::NAMES, mode),
                named(Reason::NAMES, reason)
            ),
        ),
        _ => return None,
    })
}

fn named<T: PartialEq>(names: &[(&'static str, T)], value: T) -> &'static str {
    names.iter().find(|(_, known)| *known == value).map_or("", |(name, _)| name)
}
