//! Who holds one page: a look at the places where a holder of this page can be, not a census.

use super::{Holder, Ledger};
use crate::machine::Machine;
use crate::map::Area;
use crate::owner::{Owner, OwnerId};
use crate::page::{Flags, Pfn};
use crate::release::Release;

/// The entry of an area, if it maps the page.
fn entry(area: &Area, index: u32, pfn: Pfn) -> Option<Holder> {
    let maps = index < area.pages() && area.look(index).unlocked().maps(pfn);
    maps.then(|| Holder::Entry { space: area.space, vpn: area.first + u64::from(index) })
}

impl<R: Release> Machine<R> {
    /// Who holds references on a page. Exact at a quiet moment; at others what the look met.
    ///
    /// Costs a look at the CPUs' batches, the owner's areas and the ledger, not at the whole machine: errors
    /// carry it.
    pub fn holders(&self, pfn: Pfn, ledger: &Ledger) -> Vec<Holder> {
        let Some(page) = self.frames.get(pfn) else { return Vec::new() };
        let mut holders = Vec::new();
        self.owners.with(OwnerId(page.owner()), |owner| match owner {
            Owner::Free => {}
            Owner::Anon(areas) => {
                holders.extend(areas.iter().filter_map(|area| entry(area, page.index(), pfn)));
            }
            Owner::File { file, areas } => {
                let index = page.index();
                if index < file.capacity() && file.slot(index).page() == Some(pfn) {
                    holders.push(Holder::Cache { file: file.owner.0, index });
                    holders.extend(page.word().has(Flags::PRIVATE).then_some(Holder::Private));
                }
                holders.extend(areas.iter().filter_map(|area| entry(area, area.of_file(index)?, pfn)));
            }
            Owner::Movable(ops) => {
                holders.extend(ops.held().contains(&pfn).then_some(Holder::Driver));
            }
        });
        if page.word().has(Flags::SWAPCACHE) {
            holders.push(Holder::SwapCache { slot: page.private() });
        }
        for (cpu, context) in self.cpus.iter().enumerate() {
            let batches = context.batches.lock();
            let all = batches.added().iter().copied().chain(batches.moving());
            let queued = all.filter(|&queued| queued == pfn).count();
            holders.extend(std::iter::repeat_n(Holder::Batch { cpu }, queued));
        }
        if self.is_held_by_poison(pfn) {
            holders.push(Holder::Poison);
        }
        for (handle, count) in ledger.of(pfn) {
            holders.push(Holder::Handle { handle, count });
        }
        holders
    }
}
