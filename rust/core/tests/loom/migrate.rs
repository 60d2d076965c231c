//! A whole migration by the machine, against a user's access and against a holder.

use crate::{assert_clean, join, machine, models, start, used};
use mmcore::machine::Machine;
use mmcore::map::{AddressSpace, Area};
use mmcore::migrate::{Mode, Reason};
use mmcore::page::Pfn;
use mmcore::release::Split;
use std::sync::Arc;

struct Process {
    machine: Arc<Machine<Split>>,
    space: Arc<AddressSpace>,
    area: Arc<Area>,
}

impl Process {
    /// A machine with one written page that is on its list.
    fn new() -> Arc<Process> {
        let machine = machine::<Split>(2);
        let space = machine.address_space().expect("the first");
        let area = machine.mmap(&space, 1).expect("one page");
        machine.write_word(&area, 0, 0, 1).expect("mapped");
        machine.lru_drain_all();
        Arc::new(Process { machine, space, area })
    }

    /// Migrates the page; true if it moved.
    fn migrate(&self, pfn: Pfn) -> bool {
        let machine = &self.machine;
        if machine.isolate(pfn).is_err() {
            return false;
        }
        let mut list = vec![pfn];
        let moved = machine.migrate_pages(
            &mut list,
            &mut |_| machine.alloc_pages(0, 0).ok(),
            Mode::Async,
            Reason::Syscall,
        );
        machine.putback_movable_pages(&mut list);
        moved.succeeded == 1
    }

    fn page(&self) -> Pfn {
        self.machine.page_at(&self.area, 0).expect("mapped")
    }

    fn end(&self) {
        self.machine.exit(&self.space);
        self.machine.lru_drain_all();
        assert_eq!(used(&self.machine), 0, "a leaked page");
        assert_clean(&self.machine);
    }
}

models! {
    /// A user stores during the migration; afterwards the store must be in the page.
    store_against_migration(Some(2)) {
        let process = Process::new();
        let pfn = process.page();
        let user = start(&process, |process| {
            process.machine.write_word(&process.area, 0, 0, 2).expect("mapped");
        });
        process.migrate(pfn);
        join([user]);
        assert_eq!(process.machine.read_word(&process.area, 0, 0).expect("mapped"), 2, "a lost store");
        process.end();
    }

    /// A holder writes to the frame and puts it; a migration that succeeds must have copied the
    /// write.
    holder_against_migration(Some(3)) {
        let process = Process::new();
        let pfn = process.page();
        process.machine.frames()[pfn].get(pfn);
        let holder = start(&process, move |process| {
            process.machine.memory().store(pfn, 1, 7);
            process.machine.put(pfn);
        });
        process.migrate(pfn);
        join([holder]);
        assert_eq!(process.machine.read_word(&process.area, 0, 1).expect("mapped"), 7, "a lost store");
        process.end();
    }
}
