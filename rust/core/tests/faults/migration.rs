//! Migrations of each kind of page, in each order, mode, copy and release design. Each page moves,
//! or stays as it was.

use super::scene::{Of, PAGES, Scene, Seen};
use super::walk::walk;
use mmcore::error::{Error, Result};
use mmcore::inject::{Kind, Plan};
use mmcore::migrate::{Mode, Reason};
use mmcore::page::{Flags, Pfn};
use mmcore::profile::{CopyOrder, MigrationOrder};
use mmcore::release::{Release, Split};

for_each_design!(a_page_moves_or_stays_as_it_was_whatever_fails);

const KINDS: [Of; 8] =
    [Of::Anon, Of::Shared, Of::Disk, Of::Tmpfs, Of::Cached, Of::SwapCache, Of::Large, Of::Movable];

fn migrate<R: Release>(scene: &Scene<R>, mode: Mode) {
    let machine = &scene.machine;
    let isolate = |&pfn: &Pfn| match machine.page(pfn).unwrap().flags().contains(Flags::MOVABLE) {
        true => machine.isolate_movable_page(pfn),
        false => machine.isolate(pfn).is_ok(),
    };
    let mut list: Vec<Pfn> = scene.pages().into_iter().filter(isolate).collect();
    let mut target = |src: Pfn| machine.alloc_pages(1, machine.page(src).unwrap().order()).ok();
    machine.migrate_pages(&mut list, &mut target, mode, Reason::Compaction);
    machine.putback_movable_pages(&mut list);
}

/// Checks that each page has moved, or is as it was before.
fn check<R: Release>(scene: &Scene<R>, before: &[Seen], plan: &Plan, whole: bool, what: &str) {
    if plan.kind == Kind::Poison {
        return;
    }
    let after = scene.see();
    // A large page may have been split. Kernels that migrate one by one always split it first.
    if scene.of == Of::Large && after.len() != before.len() {
        assert!(plan.fired() > 0 || !whole, "{what}");
        return;
    }
    assert_eq!(after.len(), before.len(), "{what}");
    for (now, then) in after.iter().zip(before) {
        match scene.machine.node_of(now.pfn) {
            0 => assert_eq!(now, then, "{what}"),
            _ => assert_ne!(now.pfn, then.pfn, "{what}"),
        }
    }
    let moved = after.iter().all(|page| scene.machine.node_of(page.pfn) == 1);
    let harmless = matches!(plan.kind, Kind::Killed | Kind::SpuriousWakeup);
    assert!(moved || (plan.fired() > 0 && !harmless), "{what}: not all pages moved");
}

fn walk_migrations<R: Release>(order: MigrationOrder, copy: CopyOrder, modes: &[Mode]) {
    for of in KINDS {
        for &mode in modes {
            let build = || {
                Scene::<R>::with(of, |config| {
                    config.profile.copy = copy;
                    config.profile.migration = order;
                    if order == MigrationOrder::OneByOne {
                        (config.profile.passes, config.profile.sync_passes) = (10, 0);
                    }
                })
            };
            let before = std::cell::RefCell::new(Vec::new());
            let work = |scene: &Scene<R>| -> Result<(), Error> {
                *before.borrow_mut() = scene.see();
                migrate(scene, mode);
                Ok(())
            };
            walk(&format!("{order:?} {copy:?} {mode:?}"), build, work, |scene, plan, _, what| {
                check(scene, &before.borrow(), plan, order == MigrationOrder::Batched, what);
            });
        }
    }
}

fn a_page_moves_or_stays_as_it_was_whatever_fails<R: Release>() {
    assert_eq!(PAGES, 4);
    walk_migrations::<R>(
        MigrationOrder::Batched,
        CopyOrder::BeforeCommit,
        &[Mode::Async, Mode::SyncLight, Mode::Sync],
    );
}

#[test]
fn a_migration_one_by_one_moves_or_leaves_each_page() {
    walk_migrations::<Split>(MigrationOrder::OneByOne, CopyOrder::BeforeCommit, &[Mode::Sync]);
}

#[test]
fn a_copy_after_the_switch_moves_or_leaves_each_page() {
    walk_migrations::<Split>(MigrationOrder::Batched, CopyOrder::AfterCommit, &[Mode::Async, Mode::Sync]);
}
