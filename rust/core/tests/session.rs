//! The effect of each operation of a program, and its failures.

use mmcore::error::Errno;
use mmcore::machine::Config;
use mmcore::memory::WORDS;
use mmcore::page::Pfn;
use mmcore::program::session::{Access, Actor, Session, Step};
use mmcore::program::{Op, operations};
use mmcore::release::Release;
use std::collections::BTreeSet;

/// A machine of two nodes of 64 frames, and a program that runs on it.
struct Bench<R: Release> {
    session: Session<R>,
    program: Actor,
}

impl<R: Release> Bench<R> {
    fn new() -> Bench<R> {
        let mut config = Config::new(2, 64);
        config.profile.release = R::DESIGN;
        Bench { session: Session::new(&config).unwrap(), program: Actor::program() }
    }

    fn step(&mut self, line: &str) -> Step {
        let op: Op = line.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        self.session.step(&mut self.program, &op)
    }

    /// Performs lines, all of which must succeed; the machine must be clean afterwards.
    #[track_caller]
    fn does(&mut self, lines: &str) -> Step {
        let mut last = Step::default();
        for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
            last = self.step(line);
            assert_eq!(last.problem, None, "{line}");
            assert!(last.is_clean(), "{line}: {:?}", last.findings);
        }
        self.is_clean();
        last
    }

    #[track_caller]
    fn is_clean(&mut self) {
        let audit = self.step("audit");
        assert!(audit.is_clean(), "{:?}", audit.findings);
    }

    /// Performs a line that must fail with an error of the kernel; the machine must be clean
    /// afterwards.
    #[track_caller]
    fn fails(&mut self, line: &str, errno: Errno) -> Step {
        let step = self.step(line);
        assert_eq!(step.problem.as_ref().map(|p| p.kind()), Some("failed"), "{line}: {step:?}");
        assert_eq!((step.ret, step.errno), (-1, Some(errno)), "{line}: {step:?}");
        self.is_clean();
        step
    }

    /// Performs a line that must be refused as a misuse; the machine must be clean afterwards.
    #[track_caller]
    fn refuses(&mut self, line: &str, why: &str) {
        let step = self.step(line);
        assert!(step.is_misuse(), "{line}: {step:?}");
        let text = step.problem.map_or_else(String::new, |problem| problem.to_string());
        assert!(text.contains(why), "{line}: {text}");
        self.is_clean();
    }

    fn count(&self, line: &str) -> u32 {
        // Reads the count from the machine, not through the session.
        let page: u32 = line.split(':').nth(1).map_or(0, |page| page.parse().unwrap());
        let area = self.session.machine().spaces()[0].areas.read()[0].clone();
        let pfn = self.session.machine().page_at(&area, page).expect("mapped");
        self.session.machine().page(pfn).unwrap().count()
    }
}

fn status(step: &Step) -> Vec<i32> {
    step.status.iter().map(|status| status.expect("written")).collect()
}

fn a_block_that_cannot_be_read_counts_as_damaged<R: Release>() {
    let mut bench = Bench::<R>::new();
    bench.does("zs_open 2\nzs_put 0 size=1000");
    assert_eq!(bench.does("zs_check 0-1").ret, 0);
    // No compressor writes such bytes.
    let machine = bench.session.machine();
    for frame in 0..128 {
        (0..WORDS).for_each(|word| machine.memory().store(Pfn(frame), word, u64::MAX));
    }
    let step = bench.step("zs_check 0-1");
    assert_eq!((step.ret, step.findings.len()), (1, 1), "{step:?}");
    assert!(step.findings[0].detail.contains("block 0"), "{step:?}");
}

fn memory_is_mapped_written_read_and_unmapped<R: Release>() {
    let mut bench = Bench::<R>::new();
    bench.does("map r0 anon 4 node=1");
    assert_eq!(bench.does("read r0:3").acc, [Access::Zero]);
    assert_eq!(bench.does("write r0:0-1").acc, [Access::Ok; 2]);
    assert_eq!(bench.does("read r0:0,3").acc, [Access::Ok, Access::Zero]);
    assert_eq!(status(&bench.does("query r0:0-1")), [1, 1]);
    bench.refuses("map r0 anon 1", "mapped already");
    bench.refuses("read r1", "r1 is not mapped");
    bench.fails("map r1 anon 0", Errno::EINVAL);
    bench.fails("map r1 anon 1 node=2", Errno::EINVAL);
    let beyond = bench.fails("write r0:9", Errno::EFAULT);
    assert_eq!(beyond.acc, [Access::Failed(Errno::EFAULT)]);
    bench.does("unmap r0:1-3");
    bench.fails("read r0:1", Errno::EFAULT);
    assert_eq!(bench.does("read r0:0").acc, [Access::Ok]);
    bench.fails("unmap r0:7", Errno::EINVAL);
    bench.does("unmap r0:0\nmap r0 anon 2\nwrite r0\nread r0");
    bench.refuses("read r0:0-4000000000", "at most");
}

fn a_child_shares_until_somebody_writes<R: Release>() {
    let mut bench = Bench::<R>::new();
    bench.does("map r0 anon 2\nwrite r0\nfork c0");
    assert_eq!(bench.does("cread c0 r0").acc, [Access::Ok; 2]);
    bench.does("write r0:0\ncwrite c0 r0:1\nread r0\ncread c0 r0");
    bench.refuses("fork c0", "forked already");
    bench.does("map r1 anon 1");
    // The region was mapped after the fork, so the child does not have it.
    assert_eq!(bench.fails("cread c0 r1", Errno::EFAULT).acc, [Access::Failed(Errno::EFAULT)]);
    bench.does("exit c0");
    bench.fails("cread c0 r0", Errno::ESRCH);
    bench.fails("exit c0", Errno::ESRCH);
    bench.refuses("exit c1", "was not forked");
    bench.does("fork c0\ncread c0 r0:0");
}

fn pins_hold_their_pages<R: Release>() {
    let mut bench = Bench::<R>::new();
    bench.does("map r0 anon 3\nwrite r0\ndrain\npin g0 r0:0 longterm\npin g1 r0:1 pipe");
    assert_eq!((bench.count("r0:0"), bench.count("r0:1")), (1025, 2));
    bench.does("pin g2 r0:2 pipe\nunpin g2");
    let moved = bench.step("move r0 node=1");
    assert_ne!(moved.ret, 0, "{moved:?}");
    bench.is_clean();
    bench.does("unpin g0\nunpin g1\nmove r0 node=1");
    assert_eq!(status(&bench.does("query r0")), [1, 1, 1]);
    bench.fails("unpin g0", Errno::EBADF);
    bench.fails("pin g0 r0:5 pipe", Errno::EFAULT);
}

fn move_pages_answers_page_by_page<R: Release>() {
    let mut bench = Bench::<R>::new();
    bench.does("map r0 anon 4\nwrite r0:0-1");
    let moved = bench.step("move r0+zero0 node=1");
    assert_eq!(moved.ret, 0, "{moved:?}");
    let (hole, fault) = (Errno::ENOENT.status(), Errno::EFAULT.status());
    assert_eq!(status(&moved), [1, 1, hole, hole, fault]);
    assert_eq!(status(&bench.does("move r0:0-1 node=0 alt")), [0, 1]);
    assert_eq!(bench.does("read r0:0-1").acc, [Access::Ok; 2]);
    bench.does("fork c0");
    assert_eq!(status(&bench.step("move r0:0 node=1 pid=c0")), [Errno::EACCES.status()]);
    assert_eq!(status(&bench.step("move r0:0 node=1 pid=c0 all")), [1]);
    bench.fails("move r0:0 node=7", Errno::ENODEV);
    bench.fails("move r0:0 node=-1", Errno::ENODEV);
    bench.fails("move r0:0 node=1 flags=64", Errno::EINVAL);
    bench.refuses("query r5", "r5 is not mapped");
}

fn references_are_counted_and_given_back_where_they_were_taken<R: Release>() {
    let mut bench = Bench::<R>::new();
    bench.does("map r0 anon 1\nwrite r0\ndrain");
    let alone = bench.count("r0:0");
    bench.does("get r0");
    assert_eq!(bench.count("r0:0"), alone + 1);
    bench.does("try_get r0\nput r0\nput r0");
    assert_eq!(bench.count("r0:0"), alone);
    bench.refuses("put r0", "no reference on r0:0");
    bench.fails("get r0:7", Errno::ENOENT);
    // The reference keeps the frame after the region is unmapped.
    bench.does("get r0\nunmap r0\nput r0");
    bench.does("allocate p0");
    bench.does("free p0");
    let free = bench.step("try_get p0");
    assert_eq!(free.errno, Some(Errno::EAGAIN), "a free frame has no reference to be had");
    bench.refuses("get p0", "p0 is free");
}

fn a_look_finds_a_page_without_a_lock<R: Release>() {
    let mut bench = Bench::<R>::new();
    bench.does("swapon 1\nmap r0 anon 2\nmap r1 file 1\nmap r2 tmpfs 1");
    for line in ["look cache r1", "look swap r0", "look entry r0", "look frame r0:1", "look rmap r0:7"] {
        bench.fails(line, Errno::ENOENT);
    }
    bench.does("write r0\nwrite r1\nread r2\ndrain\nframe r0:0");
    let alone = bench.count("r0:1");
    bench.does("look cache r1+r2\nlook entry r0+r1\nlook frame r0\nlook rmap r0+r2");
    assert_eq!(bench.count("r0:1"), alone);
    bench.does("madv r0:1 pageout\nmadv r0:1 willneed\nlook swap r0:1");
    // The frame of the first page is remembered, but it is free.
    bench.does("unmap r0:0");
    bench.fails("look entry r0:0", Errno::ENOENT);
    bench.fails("look frame r0:0", Errno::EAGAIN);
    bench.refuses("look cache r0", "maps no file");
    bench.does("allocate p0 order=1\nlook frame p0");
    bench.refuses("look entry p0", "only the pages of a region");
}

fn tokens_are_spent_once<R: Release>() {
    let mut bench = Bench::<R>::new();
    bench.does("map r0 anon 3\nwrite r0");
    bench.fails("isolate r0:0", Errno::EBUSY);
    bench.does("drain\nisolate r0:0-1");
    assert_eq!(bench.does("isolated").isolated, Some([2, 0]));
    bench.fails("isolate r0:0", Errno::EBUSY);
    bench.does("putback r0:0");
    bench.refuses("putback r0:0", "no isolation on r0:0");
    assert_eq!(status(&bench.does("migrate r0:1 node=1")), [1]);
    assert_eq!(bench.does("isolated").isolated, Some([0, 0]));
    bench.refuses("migrate r0:1 node=1", "no isolation on r0:1");
    bench.fails("migrate r0:1 node=5", Errno::EINVAL);
    assert_eq!(status(&bench.does("query r0")), [0, 1, 0]);
    // The page has an additional reference: the migration fails and puts the page back.
    bench.does("drain\nget r0:2\nisolate r0:2");
    let step = bench.fails("migrate r0:2 node=1 mode=async reason=compaction", Errno::EBUSY);
    assert_eq!(status(&step), [Errno::EBUSY.status()]);
    bench.does("put r0:2\nread r0");
}

fn a_page_migrated_for_its_failure_is_left_to_the_caller<R: Release>() {
    let mut bench = Bench::<R>::new();
    bench.does("map r0 anon 1\nwrite r0\ndrain\nisolate r0\nmigrate r0 node=1 reason=memory_failure");
    bench.does("put r0");
    bench.refuses("put r0", "no reference");
    // The same, with a page that was unmapped while it was isolated.
    bench.does("drain\nisolate r0\nunmap r0\nmigrate r0 node=0 reason=memory_failure\nput r0");
    bench.refuses("put r0", "no reference");
}

fn page_locks_keep_migration_away<R: Release>() {
    let mut bench = Bench::<R>::new();
    bench.does("map r0 anon 2\nwrite r0\ndrain\nisolate r0:1\nlock r0:0\ntrylock r0:1");
    bench.refuses("lock r0:1", "holds a page lock");
    bench.refuses("move r0 node=1", "holds a page lock");
    bench.fails("trylock r0:0", Errno::EAGAIN);
    bench.does("unlock r0:0-1\nputback r0:1");
    bench.refuses("unlock r0:0", "no page lock on r0:0");
}

fn a_freeze_takes_all_references<R: Release>() {
    let mut bench = Bench::<R>::new();
    bench.does("allocate p0\nget p0\nfreeze p0 refs=2");
    assert_eq!(bench.step("try_get p0").errno, Some(Errno::EAGAIN));
    bench.refuses("get p0", "is frozen");
    bench.refuses("put p0", "is frozen");
    bench.refuses("free p0", "is frozen");
    bench.refuses("freeze p0 refs=2", "is frozen");
    bench.refuses("unfreeze p0 refs=0", "only a put may end");
    bench.does("unfreeze p0 refs=3\nput p0\nput p0");
    bench.refuses("put p0", "no reference");
    bench.refuses("unfreeze p0 refs=1", "is not frozen");
    bench.refuses("freeze p0 refs=2", "holds 1 of 2");
    bench.does("lru_add p0");
    // The batch holds a reference too.
    bench.fails("freeze p0 refs=1", Errno::EAGAIN);
    bench.does("drain\nlock p0\nfreeze p0 refs=2\nunfreeze p0 refs=2\nunlock p0\nfree p0");
    bench.does("map r0 anon 1\nwrite r0\ndrain");
    bench.refuses("freeze r0 refs=1", "holds 0 of 1");
}

fn allocated_pages_go_on_a_list_once<R: Release>() {
    let mut bench = Bench::<R>::new();
    bench.does("allocate p0 node=1\nlru_add p0\ndrain\nisolate p0");
    assert_eq!(bench.does("isolated").isolated, Some([0, 1]));
    bench.refuses("lru_add p0", "cannot be added to a list");
    bench.refuses("allocate p0", "allocated already");
    bench.does("putback p0\nfree p0");
    bench.refuses("free p0", "no allocation on p0");
    bench.fails("allocate p1 order=11", Errno::EINVAL);
    bench.fails("allocate p1 node=2", Errno::EINVAL);
    bench.fails("allocate p1 order=7 node=0", Errno::ENOMEM);
    bench.refuses("free p1", "was not allocated");
    bench.does("allocate p1 order=3\nfree p1\ndrain cpu=0\nsleep 1");
    bench.fails("drain cpu=9", Errno::EINVAL);
    bench.does("map r0 anon 1\nwrite r0");
    bench.refuses("lru_add r0", "cannot be added to a list");
}

fn owners_keep_move_and_release_their_pages<R: Release>() {
    let mut bench = Bench::<R>::new();
    bench.does("movable m0 3 node=0\nisolate m0:0-1\nputback m0:1\nmigrate m0:0 node=1");
    bench.does("get m0:0\nput m0:0\nisolate m0:0\nputback m0:0");
    bench.does("isolate m0:2\nrelease m0:2");
    bench.fails("release m0:2", Errno::EINVAL);
    bench.does("putback m0:2\nrelease m0:0-1");
    bench.fails("isolate m0:0", Errno::EINVAL);
    bench.fails("release m0:7", Errno::ENOENT);
    bench.refuses("movable m0 1", "made already");
    bench.refuses("isolate m1", "there is no m1");
    bench.fails("movable m1 1 node=3", Errno::EINVAL);
    bench.fails("movable m2 100 node=0", Errno::ENOMEM);
    bench.does("release m2:0-9");
}

fn frames_of_a_node_are_shown_and_select_pages<R: Release>() {
    let shown = |step: &Step| serde_json::to_value(step).unwrap();
    let mut bench = Bench::<R>::new();
    bench.does("map r0 anon 70 node=1\nwmark low");
    assert_eq!(bench.does("take r0").ret, 64);
    bench.does("wmark normal\ndrain\ntrace moves node=1");
    assert_eq!(bench.does("madv r0@0-63/1:2 dontneed").calls_ret, [0; 32]);
    let layout = shown(&bench.does("layout node=1 from=32"));
    assert_eq!(layout["layout"], serde_json::json!([[32, "?"], [16, ".a"]]));
    assert_eq!(layout["kinds"], serde_json::json!({"?": 32, ".": 16, "a": 16}));
    assert_eq!(layout["buddy"][0], 32);
    assert_eq!(bench.does("kpages g0 2 node=1").ret, 2);
    let layout = shown(&bench.does("layout node=1 sum"));
    assert_eq!(layout["kinds"]["k"], 2);
    assert!(layout.get("layout").is_none());
    bench.does("unpin g0\nmlock r0@1,3");
    assert_eq!(shown(&bench.does("layout node=1"))["kinds"], serde_json::json!({".": 32, "a": 30, "U": 2}));
    bench.does("movable m0 1 node=1");
    let owners = shown(&bench.does("layout node=1"))["owners"].clone();
    assert_eq!(owners.as_array().unwrap().iter().filter(|run| run[1] != 0).count(), 1);
    bench.fails("layout node=2", Errno::EINVAL);
    bench.fails("kpages g1 1 node=2", Errno::EINVAL);
    bench.refuses("take r5", "not mapped");
}

for_each_design!(
    frames_of_a_node_are_shown_and_select_pages,
    memory_is_mapped_written_read_and_unmapped,
    a_block_that_cannot_be_read_counts_as_damaged,
    a_child_shares_until_somebody_writes,
    pins_hold_their_pages,
    move_pages_answers_page_by_page,
    references_are_counted_and_given_back_where_they_were_taken,
    a_look_finds_a_page_without_a_lock,
    tokens_are_spent_once,
    a_page_migrated_for_its_failure_is_left_to_the_caller,
    page_locks_keep_migration_away,
    a_freeze_takes_all_references,
    allocated_pages_go_on_a_list_once,
    owners_keep_move_and_release_their_pages,
);

#[test]
fn the_balloon_is_inflated_and_deflated() {
    let program = mmcore::program::parse("inflate 1").unwrap();
    let session: Session<mmcore::release::Split> =
        Session::for_program(&Config::new(2, 64), &program).unwrap();
    let mut bench = Bench { session, program: Actor::program() };
    assert_eq!(bench.does("inflate 3 node=1").ret, 3);
    assert_eq!(status(&bench.does("isolate b0:0")), [0]);
    assert_eq!(status(&bench.does("migrate b0:0 node=0")), [0]);
    let count = |step: Step, name: &str| step.nonlru.unwrap()[name];
    assert_eq!(count(bench.does("nonlru"), "left_frames"), -1);
    assert_eq!(bench.does("deflate 1").ret, 1, "the page that moved is the first to leave");
    let step = bench.does("nonlru");
    assert_eq!((count(step.clone(), "balloon0"), count(step, "left_frames")), (0, 1));
    bench.fails("isolate b0:0", Errno::ENOENT);
    bench.does("get b0:1\nput b0:1\nsoft_offline b0:1");
    bench.fails("inflate 1 node=2", Errno::EINVAL);
    bench.does("inflate 999");
    bench.fails("inflate 1", Errno::ENOMEM);
    bench.does("deflate 999");
    bench.fails("deflate 1", Errno::EBUSY);
    // 128 frames are half a MiB: 1 MiB means an empty balloon, and 0 a full one.
    assert_eq!(bench.does("balloon 1").ret, 0);
    assert_eq!(bench.does("balloon 0").ret, 127, "all frames but the bad one");
    bench.refuses("isolate b1", "there is no b1");
}

#[test]
fn a_session_without_a_balloon_says_how_to_get_one() {
    let mut bench = Bench::<mmcore::release::Split>::new();
    bench.refuses("deflate 1", "write `inflate 1`");
    bench.refuses("isolate b0", "write `inflate 1`");
}

#[test]
fn a_handle_of_the_set_up_belongs_to_the_thread_that_takes_it_first() {
    let mut bench = Bench::<mmcore::release::Split>::new();
    bench.does("map r0 anon 1\nwrite r0\ndrain\nget r0\nisolate r0\nallocate p0");
    bench.session.publish(std::mem::replace(&mut bench.program, Actor::program()));
    let (mut a, mut b) = (Actor::thread(0), Actor::thread(1));
    let session = &bench.session;
    let step = |actor: &mut Actor, line: &str| session.step(actor, &line.parse::<Op>().unwrap());
    assert!(step(&mut a, "putback r0").problem.is_none());
    assert!(step(&mut b, "putback r0").is_misuse());
    assert!(step(&mut b, "put r0").problem.is_none());
    assert!(step(&mut a, "put r0").is_misuse());
    assert!(step(&mut a, "get p0").problem.is_none());
    assert!(step(&mut b, "free p0").problem.is_none());
    assert!(step(&mut b, "free p0").is_misuse());
    assert!(step(&mut a, "audit").is_misuse(), "the machine is not quiet");
    // An object that a thread makes is its own until all threads have ended.
    assert!(step(&mut a, "map r1 anon 1").problem.is_none());
    assert!(step(&mut b, "write r1").is_misuse());
    assert!(step(&mut a, "write r0").problem.is_none());
    bench.program = bench.session.join(&mut [a, b]);
    bench.does("write r1\nread r0\nput p0");
}

#[test]
fn a_private_copy_keeps_the_content_that_its_file_had() {
    for (kind, first) in [("tmpfspriv", Access::Zero), ("filepriv", Access::Ok)] {
        for copy in ["pin g0 r0:0 longterm", "mlock r0"] {
            let mut bench = Bench::<mmcore::release::Split>::new();
            bench.does(&format!("map r0 {kind} 1\n{copy}\nfork c0\nfwrite r0"));
            assert_eq!(bench.does("read r0").acc, [first], "{kind}, {copy}");
            assert_eq!(bench.does("cread c0 r0").acc, [first], "{kind}, {copy}");
            bench.does("fread r0\nexit c0\nwrite r0\nread r0");
            bench.is_clean();
        }
    }
}

#[test]
fn a_fault_ends_with_the_operation_after_it() {
    let mut bench = Bench::<mmcore::release::Split>::new();
    bench.does("map r0 anon 1\nwrite r0");
    let mut program = |lines: &str| {
        let mut steps = lines.lines().map(|line| bench.step(line));
        steps.by_ref().last().map(|step| (step.errno, step.fault)).unwrap()
    };
    assert_eq!(program("fail no_memory\ndrain"), (None, Some(0)));
    assert_eq!(program("fork c0"), (None, None));
    assert_eq!(program("fail no_memory times=2\nfork c1"), (Some(Errno::ENOMEM), Some(1)));
    // Another line replaces the first.
    assert_eq!(program("fail no_memory\nfail killed nth=9\nfork c1"), (None, Some(0)));
    // The fault of one actor is not that of another one of the same thread.
    let mut other = Actor::thread(0);
    bench.session.step(&mut other, &"fail no_memory".parse::<Op>().unwrap());
    assert_eq!(bench.step("fork c2").fault, None);
    bench.is_clean();
}

#[test]
fn content_that_is_not_what_was_written_is_a_finding() {
    let mut bench = Bench::<mmcore::release::Split>::new();
    bench.does("map r0 anon 1\nwrite r0\nmovable m0 1");
    let machine = bench.session.machine();
    let area = machine.spaces()[0].areas.read()[0].clone();
    let pfn = machine.page_at(&area, 0).unwrap();
    let good = machine.memory().load(pfn, 0);
    machine.memory().store(pfn, 0, good ^ 1);
    let read = bench.step("read r0");
    assert_eq!((read.acc.as_slice(), read.findings.len()), ([Access::Bad].as_slice(), 1));
    assert!(!bench.step("audit").is_clean());
    bench.session.machine().memory().store(pfn, 0, good);
    bench.is_clean();
}

/// Every operation of the table succeeds or fails; only a sysctl that this machine does not have is
/// reported as unsupported. None panics.
#[test]
fn every_operation_answers() {
    const STEPS: &str = "drain cpu=1\nallocate p0 order=1\nmovable m0 2\nget r0+p0+m0\ntry_get m0\nput m0\n\
        look frame r0\nlru_add p0\nmark_accessed r0\nisolate r0+m0+p0\nputback r0:0\n\
        migrate r0+m0 node=1\ntrylock p0\n\
        lock r0\nunlock p0\nfreeze p0 refs=2\nunfreeze p0 refs=2\nrelease m0\nfree p0\naudit\nsleep 3\n\
        isolated\nnonlru\ndrop 3\nsync\ntrace off\nfork c0\nexit c0\nquery r0\nmap r9 file 1\nwrite r9\n\
        begin_writeback r9\nend_writeback r9\ntruncate r9 0\nage\nreclaim 1\nmap r8 anon 2 order=1\n\
        write r8\nsplit r8:0\nnuma_fault r8:0 node=1\ndemote r8:1 node=1\ninflate 1\ndeflate 1\n\
        map r7 anon 1\nwrite r7\nsoft_offline r7\nmemory_failure r7\nalloc_range p2 60 2\nfree p2\n\
        zs_free_empty\ncompact_for order=2 node=1\nkcompactd order=2 node=0\nkswapd node=1\n\
        fail killed nth=2";
    let mut seen = BTreeSet::new();
    let mut bench = Bench::<mmcore::release::Packed>::new();
    for line in STEPS.lines().chain(include_str!("data/recorded_ops.txt").lines()).map(str::trim) {
        let Ok(op) = line.parse::<Op>() else { continue };
        let step = bench.session.step(&mut bench.program, &op);
        assert!(step.is_clean(), "{op}: {step:?}");
        assert!(!step.is_unsupported() || matches!(op, Op::Set { .. }), "{op}: {step:?}");
        let json = serde_json::to_value(&op).unwrap();
        seen.insert(json["op"].as_str().unwrap().to_owned());
    }
    let all: BTreeSet<String> = operations().iter().map(|row| row.name()).collect();
    assert_eq!(seen, all);
}

#[test]
fn frames_select_only_pages_of_the_regions_node() {
    let mut bench = Bench::<mmcore::release::Split>::new();
    bench.does("map r0 anon 100 node=0\nwrite r0\ndrain");
    let shown = |step: &Step| serde_json::to_value(step).unwrap()["kinds"].clone();
    let other = shown(&bench.does("layout node=1"));
    assert!(other["a"].as_u64().unwrap() >= 36, "the first node is full: {other}");
    bench.does("madv r0@0,64-99 dontneed");
    assert_eq!(shown(&bench.does("layout node=1")), other);
    assert_eq!(shown(&bench.does("layout node=0"))["a"], 63);
}

#[test]
fn frames_are_held_for_all_letters_or_for_none() {
    let mut bench = Bench::<mmcore::release::Split>::new();
    let mut letters = [b"k".repeat(32), b"!".to_vec(), b".".repeat(31)].concat();
    let error = bench.session.hold_kernel_pages(&mut bench.program, 0, &letters).unwrap_err();
    assert_eq!(error.errno, Errno::EINVAL);
    assert_eq!(bench.session.machine().free_frames(0), (64, 0));
    letters[32] = b'.';
    bench.session.hold_kernel_pages(&mut bench.program, 0, &letters).unwrap();
    assert_eq!(bench.session.machine().free_frames(0), (32, 0));
    bench.session.hold_kernel_pages(&mut bench.program, 0, &b".".repeat(64)).unwrap();
    assert_eq!(bench.session.machine().free_frames(0), (64, 0));
}
