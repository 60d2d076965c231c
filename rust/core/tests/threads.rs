//! Each thread that uses machines takes one of a limited number of slots. There is one test only,
//! because it takes all of them.

// The loads run on native threads: the loom build has no `mmcore::load`.
#![cfg(not(loom))]

use mmcore::error::Errno;
use mmcore::load::{LoadConfig, LoadError, open};
use mmcore::machine::{Config, Machine, enter_thread, reserve_threads};
use mmcore::release::Split;
use mmcore::sync::MAX_THREADS;

#[test]
fn threads_too_many_are_refused_all_or_none() {
    let machine = Machine::<Split>::new(&Config::new(1, 64)).unwrap();
    enter_thread().unwrap();
    let json = r#"{"migrators": 2, "mutators": 2, "pages": 256, "memcpy": false}"#;
    let config = LoadConfig::from_json(json).unwrap();
    let mut rig = open(&config, None).unwrap();

    for wanted in [MAX_THREADS, MAX_THREADS + 1, usize::MAX] {
        let error = reserve_threads(wanted).unwrap_err();
        assert_eq!(error.errno, Errno::EAGAIN);
        assert!(error.to_string().contains(&format!("at most {MAX_THREADS} threads")), "{error}");
    }
    // A refused reservation has kept no slot.
    let mut slots = reserve_threads(MAX_THREADS - 1).unwrap();
    assert!(reserve_threads(1).is_err());
    // A thread without a slot gets an error; a thread that has one goes on.
    std::thread::spawn(|| assert_eq!(enter_thread().unwrap_err().errno, Errno::EAGAIN)).join().unwrap();
    enter_thread().unwrap();
    let page = machine.alloc_pages(0, 0).unwrap();
    machine.put(page);
    // A load without slots is refused with the number that it lacks, keeps its parts, and runs once
    // there are slots.
    let refused = rig.run(1, 0.01).unwrap_err();
    assert!(matches!(refused, LoadError::SetUp(_)), "{refused}");
    assert!(refused.to_string().contains("4 more threads"), "{refused}");
    slots.truncate(MAX_THREADS - 5);
    rig.run(1, 0.01).unwrap();
    let slot = slots.pop().unwrap();
    std::thread::spawn(move || {
        assert!(slot.adopt());
        enter_thread().unwrap();
    })
    .join()
    .unwrap();
    drop(slots);
    assert!(reserve_threads(MAX_THREADS - 1).is_ok());
    rig.finish().unwrap();
}
