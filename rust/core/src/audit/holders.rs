//! The holders of one page, found without a census: the search covers only the places that can hold
//! a reference on the page.

use super::{Handle, Holder, Ledger};
use crate::machine::Machine;
use crate::map::Area;
use crate::owner::{Owner, OwnerId};
use crate::page::{Flags, Pfn};
use crate::release::Release;

/// Returns the entries of an area that map the page, or parts of it.
fn entries(area: &Area, index: u32, parts: impl Iterator<Item = Pfn>) -> impl Iterator<Item = Holder> {
    let maps = |(index, part): &(u32, Pfn)| *index < area.pages() && area.look(*index).unlocked().maps(*part);
    (index..)
        .zip(parts)
        .filter(maps)
        .map(|(index, _)| Holder::Entry { space: area.space, vpn: area.first + u64::from(index) })
}

impl<R: Release> Machine<R> {
    /// Returns the kind of handle that this machine counts for `handle`: in a kernel that does not
    /// count pins, a pin is a plain reference.
    pub(super) fn counted_as(&self, handle: Handle) -> Handle {
        match handle {
            Handle::Pin if self.pin_references() == 1 => Handle::Ref,
            handle => handle,
        }
    }

    /// Returns the holders of references on a page. The list is exact on a machine at rest; at
    /// other times it may lack a holder, or have a holder that is gone.
    ///
    /// The search does not cover the whole machine, because error messages name the holders, and so
    /// must be cheap.
    pub fn holders(&self, pfn: Pfn, ledger: &Ledger) -> Vec<Holder> {
        if self.frames.get(pfn).is_none() {
            return Vec::new();
        }
        // A holder of a part holds a reference on the whole page.
        let head = self.frames.head(pfn);
        let pfn = if self.frames.get(head).is_some() { head } else { pfn };
        let page = &self.frames[pfn];
        let mut holders = Vec::new();
        self.owners.with(OwnerId(page.owner()), |owner| match owner {
            Owner::Free => {}
            Owner::Anon(areas) => {
                let index = page.index();
                holders.extend(areas.iter().flat_map(|area| entries(area, index, self.frames.parts(pfn))));
            }
            Owner::File { file, areas } => {
                let index = page.index();
                if index < file.capacity() && file.slot(index).page() == Some(pfn) {
                    holders.push(Holder::Cache { file: file.owner.0, index });
                    holders.extend(page.word().has(Flags::PRIVATE).then_some(Holder::Private));
                }
                let here = areas.iter().filter_map(|area| Some((area, area.of_file(index)?)));
                holders.extend(here.flat_map(|(area, at)| entries(area, at, std::iter::once(pfn))));
            }
            Owner::Movable(ops) => {
                holders.extend(ops.held().contains(&pfn).then_some(Holder::Driver));
            }
        });
        if page.word().has(Flags::SWAPCACHE) {
            let slots = page.private()..page.private() + (1 << page.order());
            holders.extend(slots.map(|slot| Holder::SwapCache { slot }));
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
        holders.extend(self.is_in_pool(pfn).then_some(Holder::HugePool));
        let injected = self.injected_references().into_iter().filter(|&head| self.frames.head(head) == pfn);
        holders.extend(injected.map(|_| Holder::Fault));
        for (handle, count) in self.frames.parts(pfn).flat_map(|part| ledger.of(part)) {
            holders.push(Holder::Handle { handle: self.counted_as(handle), count });
        }
        holders
    }
}
