//! A node is arranged, and its layout reads as it was arranged.

use mmcore::audit::Ledger;
use mmcore::layout::Kind;
use mmcore::machine::{Config, Machine};
use mmcore::page::MAX_ORDER;
use mmcore::profile::Profile;
use mmcore::release::{Chosen, Split};
use proptest::prelude::*;

/// Letters of kinds that fit in any number.
const LETTERS: &[u8] = b".apUfdsuzbhHSTRkcx?mi";

fn machine(frames: u32, kernel: &str) -> Machine<Chosen> {
    let config = Config { profile: Profile::preset(kernel).unwrap(), ..Config::new(2, frames) };
    Machine::new(&config).unwrap()
}

fn layout(machine: &Machine<Chosen>) -> String {
    String::from_utf8(machine.layout(1).unwrap().letters).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any layout: what was arranged is read, nothing is lost, and clearing frees the whole node.
    #[test]
    fn an_arranged_node_reads_as_it_was_arranged(
        letters in prop::collection::vec(prop::sample::select(LETTERS), 1..400),
        waiting in 0usize..14,
        kernel in prop::sample::select(&["6.1", "6.12"][..]),
    ) {
        let mut letters = letters;
        for (at, letter) in letters.iter_mut().step_by(7).take(waiting).enumerate() {
            *letter = if at % 2 == 0 { b'v' } else { b'q' };
        }
        let machine = machine(letters.len() as u32, kernel);
        let ledger = Ledger::default();
        let fresh = machine.layout(1).unwrap();
        let arranged = machine.arrange(&ledger, 1, &letters, &[]).unwrap();
        prop_assert_eq!(layout(&machine), String::from_utf8(letters.clone()).unwrap());
        prop_assert_eq!(machine.audit(&ledger), vec![]);
        prop_assert_eq!(machine.damaged(&arranged), None);
        let read = machine.layout(1).unwrap();
        let free: u32 = (0..).zip(read.free_blocks).map(|(order, blocks)| blocks << order).sum();
        prop_assert_eq!(free as usize, letters.iter().filter(|&&letter| letter == b'.').count());
        let owned = read.owners.iter().filter(|&&owner| owner != 0).count();
        prop_assert_eq!(owned, letters.iter().filter(|letter| b"zbm".contains(letter)).count());
        machine.clear_all_arranged(&ledger, arranged);
        machine.drain_pcp(1);
        prop_assert_eq!(machine.audit(&ledger), vec![]);
        let cleared = machine.layout(1).unwrap();
        prop_assert_eq!(&cleared.letters, &fresh.letters);
        prop_assert_eq!(cleared.free_blocks, fresh.free_blocks);
    }
}

#[test]
fn a_fresh_node_is_free_in_its_largest_blocks() {
    let machine = machine(3 * 1024 + 5, "6.12");
    let read = machine.layout(0).unwrap();
    assert!(read.letters.iter().all(|&letter| letter == b'.'));
    assert_eq!(read.free_blocks[usize::from(MAX_ORDER)], 3);
    assert_eq!((read.free_blocks[0], read.free_blocks[2]), (1, 1));
    assert!(machine.layout(2).is_err());
}

#[test]
fn a_layout_that_cannot_be_arranged_is_refused_and_changes_nothing() {
    let machine = machine(16, "6.1");
    let ledger = Ledger::default();
    let wide = "v".repeat(16);
    for (letters, why) in [
        ("a", "a letter for each frame: node 1 has 16, not 1"),
        ("................", ""),
        ("a..............!", "frame 15: ! is no letter of a layout"),
        ("aaaaaaaaaaaaaaaA", "swap cache"),
    ] {
        match machine.arrange(&ledger, 1, letters.as_bytes(), &[]) {
            Ok(arranged) => {
                assert_eq!(why, "");
                machine.clear_all_arranged(&ledger, arranged);
            }
            Err(error) => assert!(error.to_string().contains(why) && !why.is_empty(), "{error}"),
        }
        machine.drain_pcp(1);
        assert_eq!(layout(&machine), ".".repeat(16));
    }
    // Two batches of 14 pages hold them; with one CPU they would be drained.
    let arranged = machine.arrange(&ledger, 1, wide.as_bytes(), &[]).unwrap();
    assert_eq!(layout(&machine), wide);
    let twice = machine.arrange(&ledger, 1, b"a...............", &[]).unwrap_err();
    assert!(twice.to_string().contains("in use"), "{twice}");
    machine.clear_all_arranged(&ledger, arranged);
    let one = Machine::<Split>::new(&Config { cpus: 1, ..Config::new(1, 16) }).unwrap();
    assert!(one.arrange(&ledger, 0, b"vvvvvvvvvvvvvvvv", &[]).is_ok());
}

#[test]
fn a_page_that_lost_its_content_is_named() {
    let machine = machine(16, "6.12");
    let ledger = Ledger::default();
    let arranged = machine.arrange(&ledger, 1, b"..a.z...........", &[]).unwrap();
    assert_eq!(machine.damaged(&arranged), None);
    let area = machine.spaces()[0].areas.read()[0].clone();
    machine.write_word(&area, 0, 0, 7).unwrap();
    assert_eq!(machine.damaged(&arranged), Some(machine.nodes()[1].base.plus(2)));
}

#[test]
fn pageblocks_have_the_types_that_they_are_arranged_with() {
    let machine = machine(1024 + 100, "6.12");
    let ledger = Ledger::default();
    let letters = "a.".repeat(562);
    let arranged = machine.arrange(&ledger, 1, letters.as_bytes(), b"UME").unwrap();
    let read = machine.layout(1).unwrap();
    assert_eq!((read.types.as_slice(), read.pageblock_order), (b"UME".as_slice(), 9));
    assert_eq!(layout(&machine), letters);
    assert_eq!(machine.audit(&ledger), vec![]);
    machine.clear_all_arranged(&ledger, arranged);
    machine.drain_pcp(1);
    assert_eq!(machine.layout(1).unwrap().types, b"MMM");
    assert_eq!(machine.audit(&ledger), vec![]);
    for types in [b"MM".as_slice(), b"MM?"] {
        assert!(machine.arrange(&ledger, 1, letters.as_bytes(), types).is_err());
    }
}

#[test]
fn a_kind_of_frame_has_the_letter_of_the_recordings() {
    let letters: Vec<u8> = Kind::ALL.iter().map(|kind| kind.letter()).collect();
    assert_eq!(letters, b".avpUAfdsuwzbhHSTRkcx?miq");
}
