//! The names of the calls in a kernel, and the probes that can see them.

use super::call::{Call, Recorded};
use crate::error::Errno;
use crate::page::Pfn;
use crate::profile::CallNames;
use std::fmt::Write;

/// A recorded call as a kernel shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The key under which the call is counted: the name, and for a return also the value.
    pub key: String,
    /// The call's line in an ordered list.
    pub line: String,
}

/// A probe on entry: its name, and the values of the page that it shows.
pub(super) struct Probe(pub(super) &'static str, Shows);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Shows {
    /// No value: the probe sees only the return.
    Return,
    Name,
    Count,
    CountAndMappings,
}

impl Call {
    /// Returns the probes on the entry of the call, in the order in which they are hit. The list is
    /// empty if the kernel has no such function, or has inlined it.
    pub(super) fn entries(self, names: CallNames) -> &'static [Probe] {
        use CallNames::{Folios, Pages};
        use Shows::{Count, CountAndMappings, Name, Return};
        match (self, names) {
            (Call::LruCacheDisable, _) => &[Probe("lru_cache_disable", Name)],
            (Call::LruAddDrainAll, _) => &[Probe("lru_add_drain_all", Name)],
            (Call::IsolateLru, Pages) => &[Probe("isolate_lru_page", Count)],
            (Call::IsolateLruInWalk, Pages) => &[],
            (Call::IsolateLru | Call::IsolateLruInWalk, Folios) => &[Probe("folio_isolate_lru", Count)],
            (Call::PutbackLru, Pages) => {
                &[Probe("putback_lru_page", Count), Probe("folio_putback_lru", Count)]
            }
            (Call::PutbackLru, Folios) => &[Probe("folio_putback_lru", Count)],
            (Call::PutbackMovablePages, _) => &[Probe("putback_movable_pages", Name)],
            (Call::IsolateMovable, _) => &[Probe("isolate_movable_page", Count)],
            (Call::BalloonIsolate, _) => &[Probe("balloon_page_isolate", Name)],
            (Call::BalloonMigrate, _) => &[Probe("balloon_page_migrate", Name)],
            (Call::VirtballoonMigrate, _) => &[Probe("virtballoon_migratepage", Return)],
            (Call::BalloonPutback, _) => &[Probe("balloon_page_putback", Name)],
            (Call::ZsIsolate, _) => &[Probe("zs_page_isolate", Name)],
            (Call::ZsMigrate, _) => &[Probe("zs_page_migrate", Name)],
            (Call::ZsPutback, _) => &[Probe("zs_page_putback", Name)],
            (Call::MigratePages, _) => &[Probe("migrate_pages", Name)],
            (Call::TryToMigrate, _) => &[Probe("try_to_migrate", CountAndMappings)],
            (Call::TryToUnmap, _) => &[Probe("try_to_unmap", CountAndMappings)],
            (Call::MoveToNew, _) => &[Probe("move_to_new_folio", CountAndMappings)],
            (Call::MigrateMapping { .. }, Pages) => &[Probe("folio_migrate_mapping", Count)],
            (Call::MigrateMapping { .. }, Folios) => &[Probe("__folio_migrate_mapping", Count)],
            (Call::SplitFolio, Pages) => &[Probe("split_huge_page_to_list", CountAndMappings)],
            (Call::SplitFolio, Folios) => &[Probe("split_huge_page_to_list_to_order", CountAndMappings)],
            (Call::RemoveMigrationPtes, _) => &[Probe("remove_migration_ptes", Name)],
            (Call::PutFinal, _) => &[Probe("folio_put_final", Name)],
            (Call::ShakePage, _) | (Call::ShakeFolio, Pages) => &[Probe("shake_page", Count)],
            (Call::GetHwpoisonPage, _) | (Call::GetUnpoisonPage, Pages) => {
                &[Probe("get_hwpoison_page", Return)]
            }
            (Call::EvictFolio, Pages) => &[Probe("invalidate_inode_page", Return)],
            (Call::EvictFolio, Folios) => &[Probe("mapping_evict_folio", Count)],
            (Call::PageHandlePoison { .. }, _) => &[Probe("page_handle_poison", Count)],
            (Call::TakePageOffBuddy, _) => &[Probe("take_page_off_buddy", Count)],
            (Call::UnmapPoisoned, Folios) => &[Probe("unmap_poisoned_folio", CountAndMappings)],
            (Call::HwpoisonUserMappings, Folios) => &[Probe("hwpoison_user_mappings", Return)],
            (Call::SoftOfflinePage, _) => &[Probe("soft_offline_page", Return)],
            (Call::MemoryFailure, _) => &[Probe("memory_failure", Return)],
            (Call::UnpoisonMemory, _) => &[Probe("unpoison_memory", Return)],
            (Call::ShakeFolio | Call::GetUnpoisonPage, Folios)
            | (Call::UnmapPoisoned | Call::HwpoisonUserMappings, Pages) => &[],
            (
                Call::MigratePagesSync
                | Call::MigratePagesBatch { .. }
                | Call::MigrateFolioMove
                | Call::Copy
                | Call::MigrateUndoSrc { .. }
                | Call::MigrateDone,
                Pages,
            )
            | (
                Call::ReleasePages
                | Call::MmPageAlloc
                | Call::MmPageFree
                | Call::MmLruInsertion
                | Call::MmLruActivate
                | Call::MmMigratePages { .. },
                _,
            ) => &[],
            (Call::MigratePagesSync, Folios) => &[Probe("migrate_pages_sync", Name)],
            (Call::MigratePagesBatch { .. }, Folios) => &[Probe("migrate_pages_batch", Name)],
            (Call::MigrateFolioMove, Folios) => &[Probe("migrate_folio_move", CountAndMappings)],
            (Call::Copy, Folios) => &[Probe("folio_mc_copy", Count)],
            (Call::MigrateUndoSrc { .. }, Folios) => &[Probe("migrate_folio_undo_src", Count)],
            (Call::MigrateDone, Folios) => &[Probe("migrate_folio_done", Count)],
        }
    }

    /// Returns the step's name in a recent kernel, or in an older kernel if no recent kernel has
    /// the function.
    pub(crate) fn name(self) -> &'static str {
        let probed = |names| self.entries(names).first().map(|Probe(name, _)| *name);
        probed(CallNames::Folios).or_else(|| probed(CallNames::Pages)).unwrap_or(match self {
            Call::MmPageAlloc => "mm_page_alloc",
            Call::MmPageFree => "mm_page_free",
            Call::MmLruInsertion => "mm_lru_insertion",
            Call::MmLruActivate => "mm_lru_activate",
            Call::MmMigratePages { .. } => "mm_migrate_pages",
            Call::ShakeFolio => "shake_folio",
            _ => "release_pages",
        })
    }

    /// Returns the return value of the kernel's function. In 6.1 an isolation returns 0 or an
    /// errno; in later kernels it returns 1 or 0.
    pub(super) fn returned(self, ret: i32, names: CallNames) -> i32 {
        match (self, names) {
            (Call::IsolateLru | Call::IsolateMovable, CallNames::Pages) if ret == 0 => Errno::EBUSY.status(),
            (Call::IsolateLru | Call::IsolateMovable, CallNames::Pages) => 0,
            _ => ret,
        }
    }

    /// Returns the arguments of the call that the probe shows.
    pub(super) fn arguments(self, names: CallNames) -> String {
        match (self, names) {
            (Call::MigratePagesBatch { mode, passes }, _) => format!(" mode={mode} passes={passes}"),
            (Call::MigrateMapping { extra, .. }, CallNames::Pages) => format!(" extra={extra}"),
            (Call::MigrateMapping { expected, .. }, CallNames::Folios) => format!(" expected={expected}"),
            (Call::PageHandlePoison { free, release }, _) => {
                format!(" hugeorfree={} release={}", u8::from(free), u8::from(release))
            }
            (Call::MigrateUndoSrc { was_mapped, locked }, _) => {
                format!(" was_mapped={} locked={}", u8::from(was_mapped), u8::from(locked))
            }
            _ => String::new(),
        }
    }
}

impl Recorded {
    /// Returns the lines of one recorded call: two or more if the kernel's function calls another
    /// probed function, none if no probe sees the call.
    fn shown(&self, names: CallNames, frame: &mut impl FnMut(Pfn) -> String) -> Vec<Shown> {
        let probes = self.call.entries(names).iter();
        if let Some(ret) = self.ret {
            let ret = self.call.returned(ret, names);
            let shown = |Probe(name, _): &Probe| Shown {
                key: format!("{name}={ret}"),
                line: format!("{name}() ret={ret}"),
            };
            return probes.map(shown).collect();
        }
        let shown = |&Probe(name, shows): &Probe| {
            let mut line = name.to_owned();
            // Writing to a string cannot fail.
            if let Some(dst) = self.dst {
                let _ = write!(line, " ->{}", frame(dst));
            }
            if let Some(page) = self.page {
                let _ = write!(line, " {}", frame(page.pfn));
                if shows != Shows::Name {
                    let _ = write!(line, " ref={}", page.count);
                }
                if shows == Shows::CountAndMappings {
                    let _ = write!(line, " map={}", page.mapcount);
                }
            }
            line.push_str(&self.call.arguments(names));
            Shown { key: name.to_owned(), line }
        };
        probes.filter(|Probe(_, shows)| *shows != Shows::Return).map(shown).collect()
    }
}

/// Returns the lines that a kernel with these names shows for a list of calls. `frame` returns the
/// name of a frame.
pub fn shown(calls: &[Recorded], names: CallNames, mut frame: impl FnMut(Pfn) -> String) -> Vec<Shown> {
    seen(calls).flat_map(|call| call.shown(names, &mut frame)).collect()
}

/// Returns the calls that a kernel makes: no `ReleasePages`, and no `PutFinal` by a thread that is
/// releasing several pages together.
pub(super) fn seen(calls: &[Recorded]) -> impl Iterator<Item = &Recorded> {
    let mut releasing: Vec<usize> = Vec::new();
    calls.iter().filter(move |call| match (call.call, call.ret) {
        (Call::ReleasePages, None) => {
            releasing.push(call.thread);
            false
        }
        (Call::ReleasePages, Some(_)) => {
            let place = releasing.iter().rposition(|&thread| thread == call.thread);
            place.map(|place| releasing.remove(place));
            false
        }
        (Call::PutFinal, _) => !releasing.contains(&call.thread),
        _ => true,
    })
}
