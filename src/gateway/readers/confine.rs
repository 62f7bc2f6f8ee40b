//! The walls of a reader: it may read and write the one socket that it was started with, ask for memory and the time, and end.

use landlock::{ABI, Access, AccessFs, AccessNet, Ruleset, RulesetAttr, RulesetStatus, Scope};
use rustix::{
    process::{Resource, Rlimit, setrlimit},
    time::{ClockId, clock_gettime},
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::fd::AsRawFd,
};

/// Beyond what it has mapped when it begins: the largest attachment, and twice what may be unpacked of it at once.
const ADDRESS_SPACE: u64 = 256 << 20;

/// Processor time for one attachment.
const PROCESSOR: u64 = 4;

/// Shuts this process off; whether with Landlock. None: it is not shut off, and must not read.
pub(super) fn confine(stream: &File) -> Option<bool> {
    limits()?;
    // Its rules are made in a file that is opened, so the last limit comes behind it.
    let landlock = landlock();
    limit(Resource::Nofile, 0)?;
    let fd = u64::try_from(stream.as_raw_fd()).ok()?;
    let program = filter(fd)?;
    seccompiler::apply_filter(&program).ok()?;
    Some(landlock)
}

fn limits() -> Option<()> {
    // The first number is the size of all that is mapped, in pages (proc_pid_statm(5)).
    let mapped = fs::read_to_string("/proc/self/statm").ok()?.split(' ').next()?.parse::<u64>().ok()?;
    limit(Resource::As, mapped * rustix::param::page_size() as u64 + ADDRESS_SPACE)?;
    limit(Resource::Core, 0)?;
    limit(Resource::Fsize, 0)?;
    limit(Resource::Nproc, 0)
}

fn limit(resource: Resource, most: u64) -> Option<()> {
    setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) }).ok()
}

/// So much more than was used up to now. Past it the kernel ends the process.
pub(super) fn allow_processor_time() {
    let used = u64::try_from(clock_gettime(ClockId::ProcessCPUTime).tv_sec).unwrap_or(0);
    let limit = Rlimit { current: Some(used + PROCESSOR), maximum: None };
    // The gateway's own clock ends it as well.
    let _ = setrlimit(Resource::Cpu, limit);
}

/// No file, no network, no signal to others, as far as the kernel knows how.
fn landlock() -> bool {
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V5)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI::V6)))
        .and_then(|rules| rules.create())
        .and_then(|rules| rules.restrict_self());
    restricted.is_ok_and(|status| status.ruleset != RulesetStatus::NotEnforced)
}

/// All else ends the process.
fn filter(stream: u64) -> Option<BpfProgram> {
    let on = |argument, operator, value| {
        let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value).ok()?;
        SeccompRule::new(vec![condition]).ok()
    };
    let on_stream = || Some(vec![on(0, SeccompCmpOp::Eq, stream)?]);
    // No page that can be run: the third argument of both.
    let not_to_run = || Some(vec![on(2, SeccompCmpOp::MaskedEq(libc::PROT_EXEC as u64), 0)?]);
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = BTreeMap::new();
    rules.insert(libc::SYS_read, on_stream()?);
    rules.insert(libc::SYS_write, on_stream()?);
    // Asked before a file is closed, in debug builds.
    rules.insert(libc::SYS_fcntl, vec![on(1, SeccompCmpOp::Eq, libc::F_GETFD as u64)?]);
    rules.insert(libc::SYS_mmap, not_to_run()?);
    rules.insert(libc::SYS_mprotect, not_to_run()?);
    // Its own limits only: process 0. The resource is the processor.
    let own_time = [(0, 0), (1, libc::RLIMIT_CPU as u64)];
    let own_time = own_time.map(|(argument, value)| {
        SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value).ok()
    });
    rules.insert(libc::SYS_prlimit64, vec![SeccompRule::new(own_time.into_iter().collect::<Option<_>>()?).ok()?]);
    for harmless in [
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigaction,
        libc::SYS_sched_yield,
        libc::SYS_restart_syscall,
        libc::SYS_close,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_tgkill,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ] {
        rules.insert(harmless, Vec::new());
    }
    let architecture: TargetArch = std::env::consts::ARCH.try_into().ok()?;
    let filter = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, architecture).ok()?;
    filter.try_into().ok()
}
