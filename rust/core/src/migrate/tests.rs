//! A migration in windows ends in the same state as a migration page by page. A machine that records its
//! calls moves each page alone; an equal machine that records nothing moves them in windows.

use super::{Migrated, Mode, MoveFlags, Reason};
use crate::machine::{Config, Machine, NodeConfig};
use crate::map::{AddressSpace, Area, FileKind, FileMap, PinKind};
use crate::movable::PagePool;
use crate::page::Pfn;
use crate::profile::Atomics;
use crate::release::{HookLate, Packed, Putback, Release, Split};
use crate::stat::{Event, NodeItem};
use proptest::prelude::*;
use std::fmt::Write;
use std::sync::Arc;

/// Pages of an area, so that the list has runs of pages with one owner.
const RUN: usize = 7;

/// The special state of a page of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Plain,
    Mlocked,
    Pinned,
    Held,
    Locked,
    Gone,
    File,
    Large,
    Movable,
    Poisoned,
}

const KINDS: [Kind; 10] = [
    Kind::Plain,
    Kind::Mlocked,
    Kind::Pinned,
    Kind::Held,
    Kind::Locked,
    Kind::Gone,
    Kind::File,
    Kind::Large,
    Kind::Movable,
    Kind::Poisoned,
];

/// Mostly plain pages, with others between them.
fn kinds() -> impl Strategy<Value = Vec<Kind>> {
    let kind = prop_oneof![4 => Just(Kind::Plain), 1 => prop::sample::select(&KINDS[..])];
    prop::collection::vec(kind, 1..170)
}

/// The circumstances of a migration.
#[derive(Clone, Copy, Debug)]
struct Setting {
    sync: bool,
    forked: bool,
    backed: bool,
    /// The node of the destinations.
    to: usize,
    /// Frames of node 1.
    room: u32,
    atomics: Atomics,
}

fn settings() -> impl Strategy<Value = Setting> {
    let room = prop_oneof![3 => Just(1024u32), 1 => 16u32..200];
    (any::<bool>(), any::<bool>(), any::<bool>(), 0..2usize, room).prop_map(
        |(sync, forked, backed, to, room)| Setting {
            sync,
            forked,
            backed,
            to,
            room,
            atomics: Atomics::Kernel,
        },
    )
}

fn machine<R: Release>(setting: Setting, alone: bool) -> Machine<R> {
    let mut config = Config::new(2, 2048);
    config.nodes[1] = NodeConfig { frames: setting.room, ..config.nodes[1] };
    config.backed = setting.backed;
    config.profile.release = R::DESIGN;
    config.profile.atomics = setting.atomics;
    config.calls = alone;
    Machine::new(&config).unwrap()
}

/// Everything of a machine that its users could see later.
pub(crate) fn state<R: Release>(machine: &Machine<R>, areas: &[Arc<Area>]) -> String {
    let mut seen = String::new();
    for pfn in (0..machine.frames.len()).map(Pfn) {
        let page = &machine.frames[pfn];
        let fields = (page.word(), page.mapcount(), page.owner(), page.index(), page.order(), page.private());
        // The links hold the order of every list.
        writeln!(seen, "{pfn}: {fields:?} {:?}", page.peek_links()).unwrap();
    }
    for (number, node) in machine.nodes.iter().enumerate() {
        writeln!(seen, "node {number}: {:?} {:?}", node.lruvec.lock(), node.zone.lock()).unwrap();
        let items = NodeItem::ALL.iter().map(|&item| (item.name(), machine.stats.on_node(number, item)));
        writeln!(seen, "{:?}", items.collect::<Vec<_>>()).unwrap();
    }
    for cpu in &machine.cpus {
        let arrays: Vec<Vec<Pfn>> = cpu.pcp.iter().map(|pcp| pcp.lock().frames().to_vec()).collect();
        writeln!(seen, "{:?} {arrays:?}", cpu.batches.lock()).unwrap();
    }
    for area in areas {
        writeln!(seen, "{:?}", area.mapped().collect::<Vec<_>>()).unwrap();
    }
    let events = Event::ALL.iter().map(|&event| (event.name(), machine.stats.events(event)));
    writeln!(seen, "{:?}", events.collect::<Vec<_>>()).unwrap();
    seen
}

/// A machine with a list of isolated pages.
struct Scene<R: Release> {
    machine: Machine<R>,
    areas: Vec<Arc<Area>>,
    list: Vec<Pfn>,
    _spaces: Vec<Arc<AddressSpace>>,
    _pool: Arc<PagePool>,
}

fn scene<R: Release>(kinds: &[Kind], setting: Setting, alone: bool) -> Scene<R> {
    let machine = machine::<R>(setting, alone);
    let space = machine.address_space().unwrap();
    let pool = PagePool::new(&machine).unwrap();
    let (mut areas, mut places) = (Vec::new(), Vec::new());
    for run in kinds.chunks(RUN) {
        let area = machine.mmap(&space, run.len() as u32).unwrap();
        let file = machine.file(FileKind::Disk, run.len() as u32).unwrap();
        let map = FileMap { file, first: 0, private: false, random: true };
        let mapped = machine.mmap_file(&space, map, run.len() as u32).unwrap();
        let large = machine.mmap_large(&space, 4 * run.len() as u32, 2).unwrap();
        for (index, kind) in (0..).zip(run) {
            let place = match kind {
                Kind::File => (&mapped, index),
                Kind::Large => (&large, 4 * index),
                _ => (&area, index),
            };
            if *kind == Kind::Mlocked {
                machine.mlock(&space, place.0, index..index + 1).unwrap();
            }
            if *kind != Kind::Movable {
                machine.write_word(place.0, place.1, 0, u64::from(index)).unwrap();
            }
            places.push((Arc::clone(place.0), place.1));
        }
        areas.extend([area, mapped, large]);
    }
    let mut spaces = vec![Arc::clone(&space)];
    if setting.forked {
        spaces.push(machine.fork(&space).unwrap());
    }
    machine.lru_drain_all();
    let mut list = Vec::new();
    for (&kind, (area, index)) in kinds.iter().zip(&places) {
        let (pfn, isolated) = match kind {
            Kind::Movable => {
                let pfn = pool.pfn(pool.add(&machine, 0).unwrap()).unwrap();
                (pfn, machine.isolate_movable_page(pfn))
            }
            _ => {
                let pfn = machine.frames.head(machine.page_at(area, *index).unwrap());
                (pfn, machine.isolate(pfn).is_ok())
            }
        };
        assert!(isolated, "{kind:?}");
        let page = &machine.frames[pfn];
        match kind {
            Kind::Pinned => _ = machine.pin(area, *index, PinKind::Pin, false).unwrap(),
            Kind::Held => page.get(pfn),
            // A migration that may wait would wait for ever.
            Kind::Locked if !setting.sync => page.lock(),
            Kind::Gone => machine.munmap(&space, area, *index..*index + 1).unwrap(),
            Kind::Poisoned => _ = page.set(crate::page::Flags::HAS_HWPOISONED),
            _ => {}
        }
        list.push(pfn);
    }
    Scene { machine, areas, list, _spaces: spaces, _pool: pool }
}

/// The result, the pages that are left, and the state before and after they are put back.
fn migrated<R: Release>(kinds: &[Kind], setting: Setting, alone: bool) -> (Migrated, Vec<Pfn>, [String; 2]) {
    let Scene { machine, areas, mut list, .. } = scene::<R>(kinds, setting, alone);
    let mode = if setting.sync { Mode::Sync } else { Mode::Async };
    let result = machine.migrate_pages(&mut list, &mut machine.on_node(setting.to), mode, Reason::Compaction);
    let (left, after) = (list.clone(), state(&machine, &areas));
    machine.putback_movable_pages(&mut list);
    (result, left, [after, state(&machine, &areas)])
}

/// The statuses of `move_pages` for plain pages of several areas, and the state afterwards.
fn moved(pages: &[(u8, bool)], setting: Setting, alone: bool) -> (super::Moved, String) {
    let machine = machine::<Split>(setting, alone);
    let space = machine.address_space().unwrap();
    let areas: Vec<Arc<Area>> = (0..3).map(|_| machine.mmap(&space, 90).unwrap()).collect();
    for (area, index) in areas.iter().flat_map(|area| (0..80).map(move |index| (area, index))) {
        machine.write_word(area, index, 0, 1).unwrap();
    }
    if setting.forked {
        machine.fork(&space).unwrap();
    }
    let addresses: Vec<u64> =
        pages.iter().enumerate().map(|(at, &(page, _))| areas[at / 60 % 3].address(page.into())).collect();
    let nodes: Vec<u32> = pages.iter().map(|&(_, stays)| u32::from(!stays)).collect();
    let flags = MoveFlags { all: setting.sync };
    let moved = machine.move_pages(&space, &addresses, &nodes, flags);
    (moved, state(&machine, &areas))
}

/// Equal states; a difference is reported by its first line.
pub(crate) fn same(together: &str, alone: &str) -> Result<(), TestCaseError> {
    for (one, other) in together.lines().zip(alone.lines()) {
        prop_assert_eq!(one, other);
    }
    Ok(())
}

fn equal<R: Release>(kinds: &[Kind], setting: Setting) -> Result<(), TestCaseError> {
    let (together, alone) = (migrated::<R>(kinds, setting, false), migrated::<R>(kinds, setting, true));
    prop_assert_eq!((together.0, together.1), (alone.0, alone.1));
    same(&together.2[0], &alone.2[0])?;
    same(&together.2[1], &alone.2[1])
}

fn merged_is_equal<R: Release>(kinds: &[Kind], setting: Setting, alone: bool) -> Result<(), TestCaseError> {
    let merged = migrated::<R>(kinds, Setting { atomics: Atomics::Merged, ..setting }, alone);
    let kernel = migrated::<R>(kinds, setting, alone);
    prop_assert_eq!((merged.0, merged.1), (kernel.0, kernel.1));
    same(&merged.2[0], &kernel.2[0])?;
    same(&merged.2[1], &kernel.2[1])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_migration_in_windows_ends_as_one_page_by_page(kinds in kinds(), setting in settings()) {
        equal::<Split>(&kinds, setting)?;
        equal::<Packed>(&kinds, setting)?;
        equal::<HookLate>(&kinds, setting)?;
    }

    #[test]
    fn merged_atomics_end_in_the_state_of_the_kernels(
        kinds in kinds(),
        setting in settings(),
        alone in any::<bool>()
    ) {
        merged_is_equal::<Split>(&kinds, setting, alone)?;
        merged_is_equal::<Putback>(&kinds, setting, alone)?;
        merged_is_equal::<HookLate>(&kinds, setting, alone)?;
        merged_is_equal::<Packed>(&kinds, setting, alone)?;
    }

    #[test]
    fn move_pages_leaves_the_same_in_windows(
        pages in prop::collection::vec((0u8..90, prop::bool::weighted(0.1)), 1..200),
        setting in settings()
    ) {
        let (together, alone) = (moved(&pages, setting, false), moved(&pages, setting, true));
        prop_assert_eq!(together.0, alone.0);
        same(&together.1, &alone.1)?;
    }
}

/// Under `putback` the sources go to a batch too. In a window they follow all destinations of the window;
/// page by page, each source follows its own destination. The comparison must see this.
#[test]
fn the_comparison_sees_the_order_in_a_batch() {
    let setting =
        Setting { sync: false, forked: false, backed: false, to: 1, room: 1024, atomics: Atomics::Kernel };
    assert!(equal::<Putback>(&[Kind::Plain; 2], setting).is_err());
    assert!(equal::<Split>(&[Kind::Plain; 2], setting).is_ok());
}
