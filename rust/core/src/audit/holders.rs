//! Who holds one page: a look at the places where a holder of this page can be, not a census.

use super::{Holder, Ledger};
use crate::machine::Machine;
use crate::owner::{Owner, OwnerId};
use crate::page::Pfn;
use crate::release::Release;

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
                let index = page.index();
                for area in areas {
                    if index < area.pages() && area.look(index).unlocked().maps(pfn) {
                        holders.push(Holder::Entry { space: area.space, vpn: area.first + u64::from(index) });
                    }
                }
            }
            Owner::Movable(ops) => {
                holders.extend(ops.held().contains(&pfn).then_some(Holder::Driver));
            }
        });
        for (cpu, context) in self.cpus.iter().enumerate() {
            let queued = context.batches.lock().added().iter().filter(|&&queued| queued == pfn).count();
            holders.extend(std::iter::repeat_n(Holder::Batch { cpu }, queued));
        }
        for (handle, count) in ledger.of(pfn) {
            holders.push(Holder::Handle { handle, count });
        }
        holders
    }
}
