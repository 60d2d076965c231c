//! Rule 7 for locked memory: a page has `MLOCKED` exactly as long as a locked entry maps it.

use super::census::Seen;
use super::report::Report;
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;

/// Checks one page. A page in a batch is skipped, as the batch may be about to change its flags.
pub(super) fn check<R: Release>(machine: &Machine<R>, seen: &Seen, pfn: Pfn, report: &mut Report<'_>) {
    let word = machine.frames[pfn].word();
    if word.count() == 0 || seen.in_batch {
        return;
    }
    let locked = word.has(Flags::MLOCKED);
    if locked && !seen.mlocked {
        report.page("an mlocked page has a locked mapping", pfn, word.to_string());
    }
    // Two delays are legal and only reclaim corrects them: a page that comes back from swap is not
    // locked at once (`swapin_mlocks`), and one CPU's batched unlock may overtake another's lock.
    // In kernels without `mlock_parts`, mlock leaves a large page alone if it covers only some of its parts.
    let spared = word.has(Flags::HEAD) && !machine.profile.mlock_parts;
    if !locked && seen.mlocked && !spared && !machine.may_swap() && machine.cpus.len() == 1 {
        report.page("a page that a locked entry maps is mlocked", pfn, word.to_string());
    }
    if !locked && word.has(Flags::UNEVICTABLE | Flags::LRU) {
        report.page("an unevictable page is mlocked", pfn, word.to_string());
    }
}
