//! The fuzzer's side of the targets: what counts as a crash, beyond what a target asserts itself.

pub mod targets;

pub use libfuzzer_sys;

use rustix::time::{ClockId, clock_gettime};

/// No input may cost more. Of the thread's own time: the machine may be busy with something else.
const MOST_SECONDS: f64 = 1.0;

/// The entry of one target.
#[macro_export]
macro_rules! fuzz {
    ($target:ident) => {
        $crate::libfuzzer_sys::fuzz_target!(init: $crate::prepare(), |data: &[u8]| {
            $crate::within_a_second(|| $crate::targets::$target(data))
        });
    };
}

/// A panic ends the run, also one that the gateway would catch; but not one within mail-parser, from which the gateway
/// guards itself.
pub fn prepare() {
    let shown = std::panic::take_hook();
    drop(shown);
    std::panic::set_hook(Box::new(|panic| {
        if panic.location().is_some_and(|place| place.file().contains("/mail-parser-")) {
            return;
        }
        eprintln!("{panic}\n{}", std::backtrace::Backtrace::force_capture());
        std::process::abort();
    }));
}

/// Runs one input and looks at the clock.
pub fn within_a_second(run: impl FnOnce()) {
    let now = || {
        let time = clock_gettime(ClockId::ThreadCPUTime);
        time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
    };
    let before = now();
    run();
    let took = now() - before;
    assert!(took < MOST_SECONDS, "slow: {took:.2} s");
}
