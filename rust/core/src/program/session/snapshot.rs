//! A fork copies its parent's memory as it was at one moment, whatever other threads write
//! meanwhile.
//!
//! Each write of a thread and each fork has a span, from one step of the schedule to another. The
//! copy of the child must fit a moment within the fork's span:
//!
//! * the copy has no write that began after the fork had ended;
//! * the copy lacks no write that had ended before the fork began;
//! * the copy has no later write of a thread without the thread's earlier writes, unless pages may be pinned.
//!   A fork copies a pinned page itself, one page after the other, and does not write-protect the parent's
//!   entries meanwhile (`copy_present_page`).
//!
//! Only the explored build numbers steps. Other builds record nothing.

use super::Session;
use super::actor::{Actor, Process};
use super::content::{Place, Version};
use crate::audit::Finding;
use crate::map::{AreaKind, Attributes, Entry};
use crate::memory::WORDS;
use crate::release::Release;

/// The name of the rule.
pub const SNAPSHOT: &str = "a fork copies its parent's memory at one moment";

impl<R: Release> Session<R> {
    /// Checks every child that a thread has forked and that still lives.
    pub(super) fn check_snapshots(&self, program: &Actor, findings: &mut Vec<Finding>) {
        for fork in &program.history.forks {
            for child in program.names.living().filter(|process| process.space.id == fork.child) {
                let held = self.held_by(program, child);
                if let Some((place, wrong)) = program.history.wrong(fork, &held) {
                    let detail = format!(
                        "page {} of space {}, a copy of {}, {wrong}",
                        place.page, fork.child, fork.parent
                    );
                    findings.push(Finding { rule: SNAPSHOT, pfn: None, detail });
                }
            }
        }
    }

    /// Returns the versions in the words of a child's pages that are still mapped in the child and
    /// its parent, and were not discarded.
    fn held_by(&self, program: &Actor, child: &Process) -> Vec<(Place, Version)> {
        let mut held = Vec::new();
        // Only anonymous memory is checked: a file has content before the first write.
        for (name, mapped) in
            child.regions.iter().filter(|(_, region)| matches!(region.area.kind, AreaKind::Anon { .. }))
        {
            let of_parent = program.names.regions.get(*name).or_else(|| self.names.regions.get(*name));
            let Some(of_parent) = of_parent.filter(|region| region.number == mapped.number) else { continue };
            for page in 0..mapped.area.pages() {
                // A discarded page has lost its versions, whenever they were written.
                let gone = |area: &crate::map::Area| {
                    area.attributes(page).contains(Attributes::UNMAPPED)
                        || self.discarded_by_a_thread(area, page)
                };
                if gone(&mapped.area) || gone(&of_parent.area) {
                    continue;
                }
                let place = Place { region: mapped.number, page };
                let word = |word| match mapped.area.look(page).entry() {
                    Entry::Present { pfn, zero: false } => {
                        place.version(word, self.machine.memory().load(pfn, word))
                    }
                    Entry::None | Entry::Present { .. } => Some(Version::NONE),
                    _ => None,
                };
                held.extend((0..WORDS).filter_map(word).map(|version| (place, version)));
            }
        }
        held
    }
}
