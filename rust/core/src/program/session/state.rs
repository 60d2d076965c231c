//! A session as the explorer shows it: names for its words, and a number for what it is.

use super::Session;
use crate::page::Pfn;
use crate::release::Release;
use std::hash::{Hash, Hasher};

impl<R: Release> Session<R> {
    /// What the word at `address` is called.
    pub fn label(&self, address: usize) -> Option<String> {
        let frames = self.machine.frames();
        let mut pages = (0..frames.len()).map(Pfn);
        if let Some((pfn, field)) = pages.clone().find_map(|pfn| Some((pfn, frames[pfn].field_at(address)?)))
        {
            return Some(format!("page {pfn} {field}"));
        }
        let words = |pfn: Pfn| self.machine.memory().frame(pfn).into_iter().flatten().enumerate();
        let found = pages.find_map(|pfn| {
            let (word, _) = words(pfn).find(|(_, word)| std::ptr::from_ref(*word).addr() == address)?;
            Some(format!("page {pfn} byte {}", word * 8))
        });
        let area_entry = || {
            let regions = self.names.regions.iter();
            regions
                .flat_map(|(name, mapped)| (0..mapped.area.pages()).map(move |page| (name, mapped, page)))
                .find_map(|(name, mapped, page)| {
                    (mapped.area.entry_key(page) == address).then(|| format!("entry of {name}:{page}"))
                })
        };
        found.or_else(area_entry)
    }

    /// Adds what the pages are to a hash that tells final states apart.
    pub fn fingerprint(&self, hash: &mut impl Hasher) {
        let frames = self.machine.frames();
        for pfn in (0..frames.len()).map(Pfn) {
            let page = &frames[pfn];
            (page.word().0, page.mapcount(), page.order()).hash(hash);
        }
        for (_, mapped) in self.names.regions.iter() {
            (0..mapped.area.pages()).for_each(|page| mapped.area.look(page).hash(hash));
        }
    }
}
