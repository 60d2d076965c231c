//! 7., for locked memory: a page says that it is locked as long as a locked entry maps it, and no longer.

use super::census::Seen;
use super::rules::Report;
use crate::machine::Machine;
use crate::page::{Flags, Pfn};
use crate::release::Release;

/// Judges a page; what waits in a batch is on its way.
pub(super) fn check<R: Release>(machine: &Machine<R>, seen: &Seen, pfn: Pfn, report: &mut Report<'_>) {
    let word = machine.frames[pfn].word();
    if word.count() == 0 || seen.waits {
        return;
    }
    let locked = word.has(Flags::MLOCKED);
    if locked && !seen.mlocked {
        report.page("a page that is locked has a locked mapping", pfn, word.to_string());
    }
    // Reclaim finds out later of what comes back from swap (`swapin_mlocks`), and of a lock whose batch was overtaken by an
    // unlock of another CPU's.
    if !locked && seen.mlocked && !machine.may_swap() && machine.cpus.len() == 1 {
        report.page("what a locked entry maps is locked", pfn, word.to_string());
    }
    if !locked && word.has(Flags::UNEVICTABLE | Flags::LRU) {
        report.page("what is unevictable is locked", pfn, word.to_string());
    }
}
