//! Random address-space operations are compared with a plain map of bytes. After each program every
//! word must read as the map says, a pinned page must be on the frame on which it was pinned, and
//! the audit must account for every reference.

use crate::common::{assert_clean, assert_clean_with, machine, used};
use mmcore::audit::{Handle, Ledger};
use mmcore::error::Errno;
use mmcore::machine::Machine;
use mmcore::map::{AddressSpace, Area, PinKind};
use mmcore::migrate::{Mode, Reason};
use mmcore::page::{PAGE_SIZE, Pfn};
use mmcore::release::{Packed, Putback, Release, Split};
use proptest::prelude::*;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

const WORD: usize = 8;
const SPACES: usize = 6;

/// An operation. Its numbers select, modulo their count, among the spaces, areas and pages that
/// exist.
#[derive(Clone, Debug)]
enum Op {
    Map {
        space: usize,
        pages: u32,
        order: u8,
    },
    Unmap {
        at: At,
        pages: u32,
    },
    Write {
        at: At,
        word: usize,
        value: u64,
    },
    WriteBytes {
        at: At,
        byte: usize,
        bytes: Vec<u8>,
    },
    Read {
        at: At,
        word: usize,
    },
    Fork {
        space: usize,
    },
    Exit {
        space: usize,
    },
    Pin {
        at: At,
        kind: PinKind,
        write: bool,
    },
    Unpin {
        pin: usize,
    },
    /// `whole`: the target has room for large pages.
    Migrate {
        at: At,
        whole: bool,
    },
    Split {
        at: At,
    },
    SoftOffline {
        at: At,
    },
    Prefer {
        at: At,
        node: usize,
    },
    Drain,
}

#[derive(Clone, Copy, Debug)]
struct At {
    space: usize,
    area: usize,
    page: u32,
}

fn at() -> impl Strategy<Value = At> {
    // Few areas and pages, so that operations often act on the same page.
    (0..SPACES, 0..3usize, 0..6u32).prop_map(|(space, area, page)| At { space, area, page })
}

fn op() -> impl Strategy<Value = Op> {
    let kind = prop_oneof![Just(PinKind::Get), Just(PinKind::Pin)];
    let bytes = proptest::collection::vec(any::<u8>(), 0..40);
    prop_oneof![
        2 => (0..SPACES, 1..8u32, 0..4u8).prop_map(|(space, pages, order)| Op::Map { space, pages, order }),
        1 => (at(), 1..4u32).prop_map(|(at, pages)| Op::Unmap { at, pages }),
        8 => (at(), 0..3usize, 1..9u64).prop_map(|(at, word, value)| Op::Write { at, word, value }),
        3 => (at(), 0..PAGE_SIZE, bytes).prop_map(|(at, byte, bytes)| Op::WriteBytes { at, byte, bytes }),
        4 => (at(), 0..3usize).prop_map(|(at, word)| Op::Read { at, word }),
        2 => (0..SPACES).prop_map(|space| Op::Fork { space }),
        1 => (0..SPACES).prop_map(|space| Op::Exit { space }),
        2 => (at(), kind, any::<bool>()).prop_map(|(at, kind, write)| Op::Pin { at, kind, write }),
        2 => (0..4usize).prop_map(|pin| Op::Unpin { pin }),
        2 => (at(), any::<bool>()).prop_map(|(at, whole)| Op::Migrate { at, whole }),
        2 => at().prop_map(|at| Op::Split { at }),
        1 => at().prop_map(|at| Op::SoftOffline { at }),
        1 => (at(), 0..2usize).prop_map(|(at, node)| Op::Prefer { at, node }),
        1 => Just(Op::Drain),
    ]
}

struct Mapped {
    area: Arc<Area>,
    gone: HashSet<u32>,
    /// The stored bytes, by offset in the area. All others are zero.
    bytes: HashMap<u64, u8>,
}

struct Process {
    space: Arc<AddressSpace>,
    areas: Vec<Mapped>,
}

struct Pinned {
    pfn: Pfn,
    kind: PinKind,
    space: u32,
    area: Arc<Area>,
    page: u32,
}

struct World<R: Release> {
    machine: Machine<R>,
    ledger: Ledger,
    processes: Vec<Process>,
    pins: Vec<Pinned>,
}

impl<R: Release> World<R> {
    fn new() -> World<R> {
        let machine = machine(2, 512);
        let space = machine.address_space().unwrap();
        let processes = vec![Process { space, areas: Vec::new() }];
        World { machine, ledger: Ledger::default(), processes, pins: Vec::new() }
    }

    /// The space, area and page that `at` selects; `None` if there is no space or area.
    fn choose(&mut self, at: At) -> Option<(&Machine<R>, &Arc<AddressSpace>, &mut Mapped, u32)> {
        let count = self.processes.len();
        let process = self.processes.get_mut(at.space.checked_rem(count)?)?;
        let count = process.areas.len();
        let mapped = process.areas.get_mut(at.area.checked_rem(count)?)?;
        let page = at.page % mapped.area.pages();
        Some((&self.machine, &process.space, mapped, page))
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Map { space, pages, order } => {
                let count = self.processes.len();
                let Some(space) = space.checked_rem(count) else { return };
                let process = &mut self.processes[space];
                if process.areas.len() < 3 {
                    let area = self.machine.mmap_large(&process.space, pages, order).unwrap();
                    process.areas.push(Mapped { area, gone: HashSet::new(), bytes: HashMap::new() });
                }
            }
            Op::Unmap { at, pages } => {
                let Some((machine, space, mapped, page)) = self.choose(at) else { return };
                let range = page..(page + pages).min(mapped.area.pages());
                machine.munmap(space, &mapped.area, range.clone()).unwrap();
                mapped.gone.extend(range);
            }
            Op::Write { at, word, value } => {
                let Some((machine, _, mapped, page)) = self.choose(at) else { return };
                let result = machine.write_word(&mapped.area, page, word, value);
                if mapped.expect(page, result).is_some() {
                    mapped.store(page, word * WORD, &value.to_le_bytes());
                }
            }
            Op::WriteBytes { at, byte, bytes } => {
                let Some((machine, _, mapped, page)) = self.choose(at) else { return };
                let len = bytes.len().min(PAGE_SIZE - byte);
                let offset = u64::from(page) * PAGE_SIZE as u64 + byte as u64;
                let result = machine.write_bytes(&mapped.area, offset, &bytes[..len]);
                // A store of no bytes is no access, and cannot fail.
                if len > 0 && mapped.expect(page, result).is_some() {
                    mapped.store(page, byte, &bytes[..len]);
                }
            }
            Op::Read { at, word } => {
                let Some((machine, _, mapped, page)) = self.choose(at) else { return };
                let result = machine.read_word(&mapped.area, page, word);
                if let Some(value) = mapped.expect(page, result) {
                    assert_eq!(value, mapped.word(page, word));
                }
            }
            Op::Fork { space } => self.fork(space),
            Op::Exit { space } => {
                if let Some(space) = space.checked_rem(self.processes.len()) {
                    self.machine.exit(&self.processes.swap_remove(space).space);
                }
            }
            Op::Pin { at, kind, write } => {
                let Some((machine, space, mapped, page)) = self.choose(at) else { return };
                let space = space.id;
                let result = machine.pin(&mapped.area, page, kind, write);
                if let Some(pfn) = mapped.expect(page, result) {
                    let area = Arc::clone(&mapped.area);
                    self.ledger.add(pfn, handle(kind));
                    self.pins.push(Pinned { pfn, kind, space, area, page });
                }
            }
            Op::Unpin { pin } => {
                if let Some(pin) = pin.checked_rem(self.pins.len()) {
                    let Pinned { pfn, kind, .. } = self.pins.swap_remove(pin);
                    self.machine.unpin(pfn, kind);
                    assert!(self.ledger.remove(pfn, handle(kind)));
                }
            }
            Op::Migrate { at, whole } => {
                let Some((machine, _, mapped, page)) = self.choose(at) else { return };
                machine.lru_drain_all();
                let Some(pfn) = machine.get_page_at(&mapped.area, page) else { return };
                if machine.isolate(pfn).is_ok() {
                    let other = 1 - machine.node_of(pfn);
                    let mut list = vec![pfn];
                    machine.put(pfn);
                    let target = &mut |from| {
                        let order = machine.frames()[from].order();
                        (whole || order == 0).then(|| machine.alloc_pages(other, order).ok()).flatten()
                    };
                    machine.migrate_pages(&mut list, target, Mode::Sync, Reason::Syscall);
                    // A large page that could not move whole may be on the list in parts.
                    list.into_iter().for_each(|pfn| machine.putback(pfn));
                } else {
                    machine.put(pfn);
                }
            }
            Op::Split { at } => {
                let Some((machine, _, mapped, page)) = self.choose(at) else { return };
                let Some(pfn) = machine.page_at(&mapped.area, page) else { return };
                if let Err(error) = machine.split_huge_page(pfn) {
                    assert_eq!(error.errno, Errno::EAGAIN);
                }
            }
            Op::SoftOffline { at } => {
                let Some((machine, _, mapped, page)) = self.choose(at) else { return };
                let Some(pfn) = machine.page_at(&mapped.area, page) else { return };
                if machine.soft_offline_page(pfn).is_ok() {
                    machine.unpoison_memory(pfn).unwrap();
                }
            }
            Op::Prefer { at, node } => {
                if let Some((machine, _, mapped, _)) = self.choose(at) {
                    machine.prefer(&mapped.area, node).unwrap();
                }
            }
            Op::Drain => self.machine.lru_drain_all(),
        }
    }

    fn fork(&mut self, space: usize) {
        let Some(parent) = space.checked_rem(self.processes.len()) else { return };
        if self.processes.len() == SPACES {
            return;
        }
        let space = self.machine.fork(&self.processes[parent].space).unwrap();
        let areas = self.processes[parent].areas.iter().filter_map(|mapped| {
            let live = (0..mapped.area.pages()).find(|page| !mapped.gone.contains(page))?;
            let (area, index) = space.find(mapped.area.address(live)).expect("fork copies every area");
            assert_eq!(index, live);
            Some(Mapped { area, gone: mapped.gone.clone(), bytes: mapped.bytes.clone() })
        });
        let areas = areas.collect();
        self.processes.push(Process { space, areas });
    }

    /// Checks that every word reads as the model says, and that the audit accounts for every
    /// reference.
    fn check(&self) {
        assert_clean_with(&self.machine, &self.ledger);
        for pin in self.pins.iter().filter(|pin| pin.kind == PinKind::Pin) {
            let Some(process) = self.processes.iter().find(|process| process.space.id == pin.space) else {
                continue;
            };
            let mapped = process.areas.iter().find(|mapped| Arc::ptr_eq(&mapped.area, &pin.area)).unwrap();
            if !mapped.gone.contains(&pin.page) {
                assert_eq!(self.machine.page_at(&pin.area, pin.page), Some(pin.pfn), "a pinned page moved");
            }
        }
        let mut bytes = vec![0; PAGE_SIZE];
        for mapped in self.processes.iter().flat_map(|process| &process.areas) {
            for page in 0..mapped.area.pages() {
                let offset = u64::from(page) * PAGE_SIZE as u64;
                let result = self.machine.read_bytes(&mapped.area, offset, &mut bytes);
                if mapped.expect(page, result).is_some() {
                    for (&at, &byte) in
                        mapped.bytes.iter().filter(|(at, _)| **at / PAGE_SIZE as u64 == u64::from(page))
                    {
                        assert_eq!(bytes[(at - offset) as usize], byte, "byte {at}");
                        bytes[(at - offset) as usize] = 0;
                    }
                    assert!(bytes.iter().all(|&byte| byte == 0), "a byte that nobody wrote");
                }
            }
        }
        assert_clean_with(&self.machine, &self.ledger);
    }

    fn end(mut self) {
        for process in &self.processes {
            self.machine.exit(&process.space);
        }
        for Pinned { pfn, kind, .. } in self.pins.drain(..) {
            self.machine.unpin(pfn, kind);
        }
        self.machine.lru_drain_all();
        assert_clean(&self.machine);
        assert_eq!(used(&self.machine), 0);
    }
}

impl Mapped {
    /// Checks that an access fails if and only if its page is unmapped.
    fn expect<T>(&self, page: u32, result: mmcore::error::Result<T>) -> Option<T> {
        match result {
            Ok(_) if self.gone.contains(&page) => panic!("page {page} is unmapped"),
            Ok(value) => Some(value),
            Err(error) => {
                assert!(error.errno == Errno::EFAULT && self.gone.contains(&page), "page {page}: {error}");
                None
            }
        }
    }

    fn store(&mut self, page: u32, byte: usize, bytes: &[u8]) {
        let start = u64::from(page) * PAGE_SIZE as u64 + byte as u64;
        self.bytes.extend((start..).zip(bytes.iter().copied()));
    }

    fn word(&self, page: u32, word: usize) -> u64 {
        let start = u64::from(page) * PAGE_SIZE as u64 + (word * WORD) as u64;
        let byte = |n: usize| self.bytes.get(&(start + n as u64)).copied().unwrap_or(0);
        u64::from_le_bytes(std::array::from_fn(byte))
    }
}

fn handle(kind: PinKind) -> Handle {
    match kind {
        PinKind::Get => Handle::Ref,
        PinKind::Pin => Handle::Pin,
    }
}

fn reads_as_the_model_says<R: Release>(ops: Vec<Op>) {
    let mut world = World::<R>::new();
    for (n, op) in ops.into_iter().enumerate() {
        world.run(op);
        if n % 16 == 15 {
            world.check();
        }
    }
    world.check();
    world.end();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn split_reads_as_the_model_says(ops in proptest::collection::vec(op(), 1..120)) {
        reads_as_the_model_says::<Split>(ops);
    }

    #[test]
    fn packed_reads_as_the_model_says(ops in proptest::collection::vec(op(), 1..120)) {
        reads_as_the_model_says::<Packed>(ops);
    }

    #[test]
    fn putback_reads_as_the_model_says(ops in proptest::collection::vec(op(), 1..120)) {
        reads_as_the_model_says::<Putback>(ops);
    }
}
