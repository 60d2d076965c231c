//! All operations but migrations, each over the kinds of pages that it knows. An operation either
//! succeeds, or fails with an error and keeps the content.

use super::scene::{Of, PAGES, Scene, map};
use super::walk::walk;
use mmcore::error::{Errno, Error, Result};
use mmcore::inject::{Kind, Plan};
use mmcore::map::{Advice, Area, PinKind, Policy};
use mmcore::migrate::{MbindFlags, MoveFlags};
use mmcore::page::{Flags, PAGE_SIZE};
use mmcore::release::{Release, Split};
use std::sync::Arc;

for_each_design!(
    a_fork_that_fails_leaves_no_child,
    a_page_is_offlined_or_as_it_was,
    a_page_that_is_lost_is_lost_for_all,
    reclaim_frees_a_page_or_keeps_it,
);

type Work<R> = fn(&Scene<R>) -> Result<()>;

/// Walks the operation over scenes of these kinds.
#[track_caller]
fn all<R: Release>(what: &str, kinds: &[Of], work: Work<R>) {
    for &of in kinds {
        walk(what, || Scene::new(of), work, |_, _, _, _| {});
    }
}

/// Checks that the operation had its effect; only a fault of these kinds may prevent it.
#[track_caller]
fn done(plan: &Plan, kinds: &[Kind], is: bool, what: &str) {
    assert!(is || (plan.fired() > 0 && kinds.contains(&plan.kind)), "{what}: it was not done");
}

const MAPPED: [Of; 6] = [Of::Anon, Of::Shared, Of::Disk, Of::Tmpfs, Of::SwapCache, Of::Large];

fn a_fork_that_fails_leaves_no_child<R: Release>() {
    for of in [Of::Anon, Of::Shared, Of::Disk, Of::Tmpfs, Of::Swapped, Of::SwapCache, Of::Large] {
        for pinned in [false, true] {
            // A pin needs an exclusive page.
            if pinned && !matches!(of, Of::Anon | Of::Large) {
                continue;
            }
            let children = std::cell::Cell::new(0);
            let work = |scene: &Scene<R>| {
                let before = scene.machine.spaces().len();
                let pin = || scene.machine.pin(&scene.area, 1, PinKind::Pin, true);
                let pfn = if pinned { Some(pin()?) } else { None };
                let forked = scene.machine.fork(&scene.space);
                children.set(scene.machine.spaces().len() - before);
                if let Some(pfn) = pfn {
                    scene.machine.unpin(pfn, PinKind::Pin);
                }
                let child = forked?;
                // The child must have the parent's content.
                let area = child.find(scene.area.address(0)).unwrap().0;
                let read = (0..PAGES).try_for_each(|index| {
                    let word = scene.machine.read_word(&area, index, 1)?;
                    assert_eq!(word, 100 + u64::from(index));
                    Ok(())
                });
                scene.machine.exit(&child);
                read
            };
            walk(
                "fork",
                || Scene::new(of),
                work,
                |_, plan, result, what| {
                    // A failed fork has no child.
                    assert!(children.get() <= 1, "{what}");
                    if result.is_ok() && plan.fired() == 0 {
                        assert_eq!(children.get(), 1, "{what}");
                    }
                },
            );
        }
    }
}

fn a_page_is_offlined_or_as_it_was<R: Release>() {
    for of in [Of::Anon, Of::Shared, Of::Disk, Of::Tmpfs, Of::Cached, Of::SwapCache, Of::Large, Of::Movable] {
        let first = std::cell::Cell::new(mmcore::page::Pfn(0));
        let work = |scene: &Scene<R>| {
            let pfn = scene.pages()[0];
            first.set(pfn);
            scene.machine.soft_offline_page(pfn)
        };
        walk(
            "soft offline",
            || Scene::new(of),
            work,
            |scene, plan, result, what| {
                if plan.kind == Kind::Poison {
                    return;
                }
                let bad = scene.machine.page(first.get()).unwrap().flags().contains(Flags::HWPOISON);
                assert_eq!(bad, result.is_ok(), "{what}");
                assert_eq!(scene.machine.num_poisoned_pages(), i64::from(bad), "{what}");
            },
        );
    }
}

fn a_page_that_is_lost_is_lost_for_all<R: Release>() {
    for of in [Of::Disk, Of::Cached, Of::Anon, Of::Shared, Of::SwapCache, Of::Tmpfs, Of::Large] {
        for &(name, kind) in Kind::NAMES {
            for at in 0.. {
                let scene = Scene::<R>::new(of);
                let plan = scene.machine.arm(kind, at, 1);
                let handled = scene.machine.memory_failure(scene.pages()[0], None);
                let what = format!("{of:?}: {name} at {at} {:?} -> {:?}", plan.hits(), handled.verdict);
                scene.check_audit(&what);
                scene.machine.settle(scene.machine.disarm(&plan));
                assert!(handled.result.is_ok() || plan.fired() > 0, "{what}");
                scene.check_audit(&what);
                scene.check_content(true, &what);
                scene.end(&what);
                if plan.fired() == 0 {
                    break;
                }
            }
        }
    }
}

fn reclaim_frees_a_page_or_keeps_it<R: Release>() {
    for of in [Of::Anon, Of::Tmpfs, Of::Disk, Of::Cached, Of::SwapCache, Of::Large] {
        let build = || {
            let scene = Scene::<R>::new(of);
            if scene.machine.swap_use().total == 0 {
                scene.machine.swapon(16).unwrap();
            }
            scene
        };
        let pageout =
            |scene: &Scene<R>| scene.machine.madvise(&scene.space, &scene.area, 0..PAGES, Advice::Pageout);
        walk("pageout", build, pageout, |scene, plan, result, what| {
            let mapped =
                (0..PAGES).filter(|&index| scene.machine.page_at(&scene.area, index).is_some()).count();
            let may = [Kind::NoMemory, Kind::ExtraPin, Kind::DriverError, Kind::Poison, Kind::Killed];
            done(plan, &may, (mapped == 0 && result.is_ok()) || of == Of::Tmpfs, what);
        });
        let reclaim = |scene: &Scene<R>| scene.machine.reclaim(0, 64).map(drop);
        walk("reclaim", build, reclaim, |_, _, _, _| {});
    }
}

#[test]
fn a_first_touch_that_fails_maps_nothing() {
    let write: Work<Split> = |scene| {
        (0..PAGES)
            .try_for_each(|index| scene.machine.write_word(&scene.area, index, 1, 100 + u64::from(index)))
    };
    let read: Work<Split> =
        |scene| (0..PAGES).try_for_each(|index| scene.machine.read_word(&scene.area, index, 1).map(drop));
    all("first write", &[Of::Untouched], write);
    all("first read", &[Of::Untouched], read);
    // A fault that gets no large page takes base pages, which is no error.
    let large: Work<Split> = |scene| {
        let area = scene.machine.mmap_large(&scene.space, PAGES, 2)?;
        let filled = (0..PAGES).try_for_each(|index| scene.machine.write_word(&area, index, 1, 7));
        let words = (0..PAGES).map(|index| scene.machine.read_word(&area, index, 1)).collect::<Vec<_>>();
        scene.machine.munmap(&scene.space, &area, 0..PAGES).or(filled.clone())?;
        filled?;
        assert!(words.iter().all(|word| word.as_ref().is_ok_and(|&word| word == 7) || word.is_err()));
        Ok(())
    };
    all("large page", &[Of::Untouched], large);
}

#[test]
fn a_store_to_a_shared_page_copies_it_or_not_at_all() {
    let store: Work<Split> = |scene| {
        (0..PAGES)
            .try_for_each(|index| scene.machine.write_word(&scene.area, index, 1, 100 + u64::from(index)))
    };
    all(
        "store",
        &[Of::Shared, Of::Disk, Of::Tmpfs, Of::Cached, Of::SwapCache, Of::Swapped, Of::Large],
        store,
    );
}

#[test]
fn a_private_copy_of_a_file_is_made_or_not_at_all() {
    let private: Work<Split> = |scene| {
        let file = scene.file.as_ref().unwrap();
        let area: Arc<Area> = scene.machine.mmap_file(&scene.space, map(file, true), PAGES)?;
        (0..PAGES).try_for_each(|index| scene.machine.write_word(&area, index, 1, 9))
    };
    all("private copy", &[Of::Disk, Of::Tmpfs, Of::Cached], private);
}

#[test]
fn a_page_that_is_swapped_out_comes_back_or_stays_out() {
    let read: Work<Split> =
        |scene| (0..PAGES).try_for_each(|index| scene.machine.read_word(&scene.area, index, 1).map(drop));
    all("swap in", &[Of::Swapped, Of::SwapCache], read);
    let ahead: Work<Split> =
        |scene| scene.machine.madvise(&scene.space, &scene.area, 0..PAGES, Advice::Willneed);
    all("read ahead", &[Of::Swapped], ahead);
    let off: Work<Split> = |scene| match scene.machine.swapoff() {
        // EINVAL: an earlier run has removed the swap space already.
        Err(error) if error.errno == Errno::EINVAL => Ok(()),
        result => result,
    };
    all("swapoff", &[Of::Swapped, Of::SwapCache], off);
}

#[test]
fn a_page_of_tmpfs_that_is_swapped_out_comes_back_or_stays_out() {
    let build = || {
        let scene = Scene::<Split>::new(Of::Tmpfs);
        scene.machine.swapon(16).unwrap();
        scene.machine.madvise(&scene.space, &scene.area, 0..PAGES, Advice::Pageout).unwrap();
        scene.machine.reclaim(0, 64).unwrap();
        scene
    };
    let read = |scene: &Scene<Split>| {
        (0..PAGES).try_for_each(|index| scene.machine.read_word(&scene.area, index, 1).map(drop))
    };
    walk("swap in", build, read, |_, _, _, _| {});
    let off = |scene: &Scene<Split>| match scene.machine.swapoff() {
        Err(error) if error.errno == Errno::EINVAL => Ok(()),
        result => result,
    };
    walk("swapoff", build, off, |_, _, _, _| {});
}

#[test]
fn a_large_page_is_split_or_whole() {
    for of in [Of::Large, Of::Anon] {
        let split = |scene: &Scene<Split>| scene.machine.split_huge_page(scene.pages()[0]);
        walk(
            "split",
            || Scene::new(of),
            split,
            |scene, plan, result, what| {
                if plan.kind != Kind::Poison {
                    let whole = scene.machine.page(scene.pages()[0]).unwrap().order() > 0;
                    assert_eq!(whole, of == Of::Large && result.is_err(), "{what}");
                }
            },
        );
    }
}

#[test]
fn pages_are_moved_to_a_node_or_stay() {
    let moved: Work<Split> = |scene| {
        let addresses: Vec<u64> = (0..PAGES).map(|index| scene.area.address(index)).collect();
        let moved =
            scene.machine.move_pages(&scene.space, &addresses, &[1; PAGES as usize], MoveFlags { all: true });
        moved.ret.map(drop).map_err(|errno| Error::new(errno, "move_pages"))
    };
    all("move_pages", &MAPPED, moved);
    let bound: Work<Split> = |scene| {
        let flags = MbindFlags { move_own: true, move_all: true, strict: false };
        scene.machine.mbind(&scene.space, &scene.area, 0..PAGES, Policy::Bind(1), flags)
    };
    all("mbind", &MAPPED, bound);
    let between: Work<Split> = |scene| scene.machine.migrate_between(&scene.space, 0, 1).map(drop);
    all("migrate_pages", &MAPPED, between);
    let hinted: Work<Split> = |scene| match scene.machine.numa_fault(&scene.space, scene.area.address(0), 1) {
        // The page on a bad frame is not mapped any more.
        Err(error) if error.errno == Errno::EFAULT => Ok(()),
        result => result.map(drop),
    };
    all("hint fault", &MAPPED, hinted);
}

#[test]
fn a_lasting_pin_is_had_or_not_at_all() {
    for of in [Of::Anon, Of::Shared, Of::Tmpfs] {
        let build = || Scene::<Split>::with(of, |config| config.movable = vec![0]);
        let pin = |scene: &Scene<Split>| {
            let pfn = match scene.machine.pin_longterm(&scene.area, 0, true) {
                // The pin fails with ENOMEM whenever the page could not leave its node, for want of
                // a frame or because of other references. EBUSY is what `walk` allows for both.
                Err(error) if error.errno == Errno::ENOMEM => {
                    return Err(Error::new(Errno::EBUSY, error.why.to_string()));
                }
                pinned => pinned?,
            };
            scene.machine.unpin(pfn, PinKind::Pin);
            Ok(())
        };
        walk("lasting pin", build, pin, |_, _, _, _| {});
    }
}

#[test]
fn memory_is_locked_advised_and_unmapped_or_as_it_was() {
    let locked: Work<Split> = |scene| {
        scene.machine.mlock(&scene.space, &scene.area, 0..PAGES)?;
        scene.machine.munlock(&scene.space, &scene.area, 0..PAGES)
    };
    all("mlock", &MAPPED, locked);
    let cold: Work<Split> = |scene| scene.machine.madvise(&scene.space, &scene.area, 0..PAGES, Advice::Cold);
    all("cold", &MAPPED, cold);
    let mapped: Work<Split> = |scene| {
        let area = scene.machine.mmap(&scene.space, 2)?;
        scene.machine.write_word(&area, 0, 0, 1)?;
        scene.machine.munmap(&scene.space, &area, 0..2)
    };
    all("mmap", &[Of::Untouched], mapped);
    let parent_gone: Work<Split> = |scene| {
        let child = scene.machine.fork(&scene.space)?;
        scene.machine.exit(&child);
        Ok(())
    };
    all("fork and exit", &MAPPED, parent_gone);
}

#[test]
fn a_file_is_read_written_and_synced_or_as_it_was() {
    let read: Work<Split> = |scene| {
        let mut bytes = [0; PAGE_SIZE * PAGES as usize];
        scene.machine.file_read(scene.file.as_ref().unwrap(), 0, &mut bytes, 0)
    };
    let evicted = || {
        let scene = Scene::<Split>::new(Of::Cached);
        scene.machine.lru_drain_all();
        assert!(scene.machine.drop_caches().evicted > 0);
        scene
    };
    walk("read", evicted, read, |_, _, _, _| {});
    all("read", &[Of::Disk, Of::Tmpfs], read);
    // The write stores the words that the pages hold already, so the content is the same however
    // far it comes.
    let write: Work<Split> = |scene| {
        (0..PAGES).try_for_each(|index| {
            let offset = u64::from(index) * PAGE_SIZE as u64 + 8;
            let word = (100 + u64::from(index)).to_le_bytes();
            scene.machine.file_write(scene.file.as_ref().unwrap(), offset, &word, 0)
        })
    };
    walk("write", evicted, write, |_, _, _, _| {});
    let synced: Work<Split> = |scene| {
        let file = scene.file.as_ref().unwrap();
        scene.machine.write_word(&scene.area, 0, 1, 100)?;
        // A sync reports a loss once; the next one writes the page, which is dirty again.
        scene.machine.sync_file(file, 0..PAGES).map(drop)
    };
    all("sync", &[Of::Disk], synced);
    let dropped: Work<Split> = |scene| {
        scene.machine.drop_caches();
        Ok(())
    };
    all("drop_caches", &[Of::Cached, Of::Disk], dropped);
}

/// A scene whose first page was isolated when its frame failed, so that memory failure could only
/// flag it, and was reclaimed afterwards.
fn failed_and_reclaimed(of: Of) -> Scene<Split> {
    let scene = Scene::<Split>::new(of);
    let (machine, pfn) = (&scene.machine, scene.pages()[0]);
    machine.isolate(pfn).unwrap();
    assert_eq!(machine.memory_failure(pfn, None).result.unwrap_err().errno, Errno::EBUSY);
    assert_eq!(machine.reclaim_isolated(vec![pfn], None).freed, 1);
    scene.check_audit("reclaimed");
    scene
}

#[test]
fn a_bad_page_in_the_swap_cache_that_reclaim_meets_can_leave_its_slot() {
    let scene = failed_and_reclaimed(Of::SwapCache);
    let read = scene.machine.read_word(&scene.area, 0, 1);
    assert_eq!(read.unwrap_err().errno, Errno::EHWPOISON);
    // No entry names the slot any more, so it must be free, and so must the frame once it is
    // unpoisoned.
    scene.end("a bad page in the swap cache");
}

#[test]
fn a_clean_page_of_a_disk_that_reclaim_finds_bad_is_read_again() {
    let scene = failed_and_reclaimed(Of::Disk);
    assert_eq!(scene.machine.read_word(&scene.area, 0, 1), Ok(100));
    scene.end("a bad page of a disk");
}

#[test]
fn a_frame_that_fails_while_a_slot_is_read_into_it_leaves_the_slot_to_others() {
    let scene = Scene::<Split>::new(Of::Swapped);
    let plan = scene.machine.arm(Kind::Poison, 0, 1);
    assert_eq!(scene.machine.read_word(&scene.area, 0, 1).unwrap_err().errno, Errno::EHWPOISON);
    assert_eq!(plan.hits()[0].site, "mm_page_alloc");
    scene.machine.settle(scene.machine.disarm(&plan));
    assert_eq!(scene.machine.read_word(&scene.area, 0, 1), Ok(100));
    scene.end("a bad frame on its way in");
}
