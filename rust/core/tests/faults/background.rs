//! The runs of the daemons, one by one with a fault at each site, and the daemons' threads beside a process
//! that needs more memory than there is.

use super::scene::{Of, PAGES, Scene};
use super::walk::walk;
use crate::common::{assert_clean, used};
use mmcore::error::{Errno, Result};
use mmcore::inject::Kind;
use mmcore::machine::{Config, Machine};
use mmcore::page::MAX_ORDER;
use mmcore::pressure::{Daemons, Surroundings};
use mmcore::release::Split;
use std::sync::Arc;

const KINDS: [Of; 8] =
    [Of::Anon, Of::Shared, Of::Disk, Of::Tmpfs, Of::Cached, Of::SwapCache, Of::Large, Of::Movable];

/// Walks a run of a daemon over pages of every kind, on a machine with swap space.
#[track_caller]
fn each_kind(what: &str, work: fn(&Scene<Split>) -> Result<()>) {
    for of in KINDS {
        let build = || {
            let scene = Scene::with(of, |config| config.pressure = true);
            if scene.machine.swap_use().total == 0 {
                scene.machine.swapon(16).unwrap();
            }
            scene.machine.set_compaction_proactiveness(100).unwrap();
            scene
        };
        walk(what, build, work, |_, _, _, _| {});
    }
}

#[test]
fn a_run_of_the_reclaiming_daemon_frees_pages_or_keeps_them() {
    // No node can have so large a block free while pages are in use: the run reclaims all that it can.
    each_kind("kswapd", |scene| scene.machine.kswapd(0, MAX_ORDER).map(drop));
}

#[test]
fn a_run_of_the_compacting_daemon_moves_pages_or_keeps_them() {
    each_kind("kcompactd", |scene| scene.machine.kcompactd(0, MAX_ORDER).map(drop));
    each_kind("proactive compaction", |scene| {
        let run = scene.machine.compact_proactively(0)?;
        assert!(run.is_some(), "the node is too fragmented");
        Ok(())
    });
}

#[test]
fn an_allocation_under_pressure_reclaims_or_fails() {
    each_kind("pressure", |scene| {
        // More than the free memory: some pages of the scene must go.
        let machine = &scene.machine;
        let space = machine.address_space()?;
        let area = machine.mmap(&space, 126);
        let filled = area.and_then(|area| {
            (0..126).try_for_each(|index| match machine.write_word(&area, index, 0, 1) {
                Err(error) if error.errno == Errno::ENOMEM => Ok(()),
                other => other,
            })
        });
        machine.exit(&space);
        filled
    });
    assert_eq!(PAGES, 4);
}

/// Frames of the machine beside whose daemons a process works, and pages of the process.
const FRAMES: u32 = 256;

#[test]
fn the_daemons_survive_a_failed_allocation_wherever_it_strikes() {
    // The threads pass the sites in another order each time, so the struck sites are not always the same.
    for at in (0..600).step_by(7) {
        let config = Config { pressure: true, ..Config::new(1, FRAMES) };
        let machine: Arc<Machine<Split>> = Arc::new(Machine::new(&config).unwrap());
        machine.swapon(2 * FRAMES).unwrap();
        let space = machine.address_space().unwrap();
        let areas: Vec<_> = (0..3).map(|_| machine.mmap(&space, FRAMES / 2).unwrap()).collect();
        let around: Surroundings = Arc::new(|work| work());
        let daemons = Daemons::start(&machine, &around).unwrap();
        let plan = machine.arm(Kind::NoMemory, at, 3);
        let mut written = Vec::new();
        for (number, area) in (0u64..).zip(&areas) {
            for index in 0..FRAMES / 2 {
                let word = number << 32 | u64::from(index);
                match machine.write_word(area, index, 1, word) {
                    Ok(()) => written.push((area, index, word)),
                    Err(error) => assert_eq!(error.errno, Errno::ENOMEM, "{error}"),
                }
            }
        }
        daemons.stop();
        machine.settle(machine.disarm(&plan));
        assert_clean(&machine);
        for (area, index, word) in written {
            assert_eq!(machine.read_word(area, index, 1), Ok(word), "a fault at site {at} loses nothing");
        }
        machine.exit(&space);
        machine.swapoff().unwrap();
        machine.lru_drain_all();
        assert_clean(&machine);
        assert_eq!(used(&machine), 0, "a fault at site {at}");
    }
}
