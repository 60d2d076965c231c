//! Runs an operation with a fault at its first site, then at its second, and so on, until it passes
//! no further site.

use super::scene::{Of, Scene};
use mmcore::error::{Errno, Error};
use mmcore::inject::{Kind, Plan};
use mmcore::release::Release;

/// A number of sites that no operation reaches.
const TOO_MANY: u64 = 5_000;

/// True if a fault of this kind may lead to this error.
fn may_be(kind: Kind, errno: Errno) -> bool {
    match kind {
        Kind::NoMemory => matches!(errno, Errno::ENOMEM | Errno::EBUSY),
        // A call that faults a page in for another process reports a bad page as `EFAULT`.
        Kind::CopyFailure => matches!(errno, Errno::EHWPOISON | Errno::EBUSY | Errno::EFAULT),
        Kind::ExtraPin => matches!(errno, Errno::EBUSY | Errno::EAGAIN | Errno::EIO | Errno::EHWPOISON),
        Kind::DriverError => matches!(errno, Errno::EIO | Errno::EBUSY),
        Kind::Poison => {
            matches!(errno, Errno::EHWPOISON | Errno::EBUSY | Errno::EIO | Errno::EFAULT | Errno::EAGAIN)
        }
        Kind::Killed => errno == Errno::EINTR,
        Kind::SpuriousWakeup => false,
    }
}

/// Arms every kind of fault at every site of `work`. `check` judges the scene after the fault has
/// ended.
#[track_caller]
pub fn walk<R: Release>(
    what: &str,
    build: impl Fn() -> Scene<R>,
    work: impl Fn(&Scene<R>) -> Result<(), Error>,
    check: impl Fn(&Scene<R>, &Plan, &Result<(), Error>, &str),
) {
    for &(name, kind) in Kind::NAMES {
        for at in 0.. {
            assert!(at < TOO_MANY, "{what}: {name} has no last site");
            let scene = build();
            let plan = scene.machine.arm(kind, at, 1);
            let result = work(&scene);
            let what = format!("{what}, {:?}: {name} at {at} {:?} -> {result:?}", scene.of, plan.hits());
            scene.check_audit(&what);
            let left = scene.machine.disarm(&plan);
            scene.machine.settle(left);
            if let Err(error) = &result {
                assert!(plan.fired() > 0 && may_be(kind, error.errno), "{what}");
            }
            scene.check_audit(&what);
            check(&scene, &plan, &result, &what);
            let lost = kind == Kind::Poison && scene.machine.num_poisoned_pages() > 0;
            if scene.of != Of::Untouched {
                scene.check_content(lost, &what);
            }
            // The fault has left no trace: the operation succeeds now.
            if kind != Kind::Poison && result.is_err() {
                let again = work(&scene);
                assert!(again.is_ok(), "{what}; again: {again:?}");
                if scene.of != Of::Untouched {
                    scene.check_content(false, &what);
                }
            }
            scene.end(&what);
            if plan.fired() == 0 {
                assert!(plan.passed() <= at, "{what}: {} sites were passed", plan.passed());
                break;
            }
        }
    }
}
