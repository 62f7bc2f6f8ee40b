//! Attachments read in processes of their own, which can do nothing but read and answer.
//!
//! The same program, started with `reader`. A process that dies, hangs or asks the kernel for anything is a part that was
//! not read, never a message that was lost; the next attachment gets a new one.

mod confine;
mod frame;
mod worker;

pub use worker::serve;

use crate::{
    detect::inside::{AttachmentReader, Item},
    mail::UnreadReason,
};
use frame::{Answer, Failed, Hello};
use std::{
    io,
    os::{fd::OwnedFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Condvar, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// No attachment takes longer than this, whatever the message's clock says.
const MOST_TIME: Duration = Duration::from_secs(5);

/// A process that does not say so soon that it is confined never will.
const START: Duration = Duration::from_secs(5);

/// Attachments read by one process. What one has left in it cannot reach many others.
const MOST_READ: u32 = 50;

/// After a process could not be started or confined, nothing is tried for so long: it is a fault of this machine.
const PAUSE: Duration = Duration::from_secs(30);

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// What is started as a reader: this program. Without it, nothing is read inside.
pub fn use_program(program: impl Into<PathBuf>) {
    // The first one stays: it is the same program.
    let _ = PROGRAM.set(program.into());
}

/// All processes that read for this one.
pub struct Readers {
    program: Option<PathBuf>,
    most: usize,
    state: Mutex<State>,
    freed: Condvar,
    warned: AtomicBool,
}

#[derive(Default)]
struct State {
    idle: Vec<Process>,
    busy: usize,
    /// When one last could not be started, and why.
    refused: Option<(Instant, &'static str)>,
}

/// Those of this process.
pub fn readers() -> &'static Readers {
    static READERS: LazyLock<Readers> =
        LazyLock::new(|| Readers { program: PROGRAM.get().cloned(), ..Readers::new(PathBuf::new()) });
    &READERS
}

impl Readers {
    /// Readers that are this program, as many as there are processors.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: Some(program.into()),
            most: thread::available_parallelism().map_or(2, usize::from),
            state: Mutex::default(),
            freed: Condvar::new(),
            warned: AtomicBool::new(false),
        }
    }

    /// What keeps attachments from being read on this machine: it starts a process when none is there.
    pub fn trial(&self) -> Result<Walls, &'static str> {
        match self.take(Instant::now() + START) {
            Ok(process) => {
                let walls = process.walls;
                self.give_back(Some(process));
                Ok(walls)
            }
            Err(_) => Err(self.lock().refused.map_or("no reader became free", |(_, why)| why)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process for one attachment, alone.
    fn take(&self, until: Instant) -> Result<Process, UnreadReason> {
        let mut state = self.lock();
        loop {
            if let Some(process) = state.idle.pop() {
                state.busy += 1;
                return Ok(process);
            }
            if state.refused.is_some_and(|(at, _)| at.elapsed() < PAUSE) {
                return Err(UnreadReason::UnknownFormat);
            }
            if state.busy < self.most {
                state.busy += 1;
                break;
            }
            let Some(left) = until.checked_duration_since(Instant::now()) else { return Err(UnreadReason::Time) };
            state = self.freed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        self.start().map_err(|why| {
            tracing::error!(why, "No attachment can be read inside: a reader cannot be started or shut off");
            self.lock().refused = Some((Instant::now(), why));
            self.give_back(None);
            UnreadReason::UnknownFormat
        })
    }

    fn start(&self) -> Result<Process, &'static str> {
        let program = self.program.as_ref().ok_or("this program cannot start itself")?;
        let process = Process::start(program)?;
        if !process.walls.landlock && !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!("The kernel has no Landlock: readers of attachments are shut off by seccomp alone");
        }
        Ok(process)
    }

    fn give_back(&self, process: Option<Process>) {
        let mut state = self.lock();
        state.busy -= 1;
        state.idle.extend(process);
        drop(state);
        self.freed.notify_one();
    }
}

impl AttachmentReader for Readers {
    fn read(&self, content: &[u8], until: Instant, take: &mut dyn FnMut(Item)) -> Result<(), UnreadReason> {
        let until = until.min(Instant::now() + MOST_TIME);
        let started = Instant::now();
        let mut process = Lent { readers: self, process: Some(self.take(until)?) };
        let result = process.read(content, until, take);
        metrics::histogram!("outgate_reader_seconds").record(started.elapsed().as_secs_f64());
        if let Err(reason) = result {
            // It has died, hangs, or has something to say that nobody waits for.
            process.process = None;
            metrics::counter!("outgate_readers_lost_total").increment(1);
            return Err(reason);
        }
        Ok(())
    }
}

/// A process out of the pool, also when whoever has it panics.
struct Lent<'r> {
    readers: &'r Readers,
    process: Option<Process>,
}

impl Lent<'_> {
    fn read(&mut self, content: &[u8], until: Instant, take: &mut dyn FnMut(Item)) -> Result<(), UnreadReason> {
        let Some(mut process) = self.process.take() else { return Err(UnreadReason::Crashed) };
        // Whatever goes wrong below ends the process: only one that came to its end goes back.
        process.read(content, until, take)?;
        process.left -= 1;
        self.process = (process.left > 0).then_some(process);
        Ok(())
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.readers.give_back(self.process.take());
    }
}

/// What a reader is shut off by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walls {
    pub landlock: bool,
}

/// One process.
struct Process {
    child: Child,
    stream: UnixStream,
    left: u32,
    walls: Walls,
}

impl Process {
    fn start(program: &Path) -> Result<Self, &'static str> {
        let (stream, theirs) = UnixStream::pair().map_err(|_| "no socket")?;
        let mut command = Command::new(program);
        command.arg("reader").env_clear().current_dir("/").stdin(OwnedFd::from(theirs));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|_| "the process could not be started")?;
        // The copy of the other end that it was started with is closed with the command.
        drop(command);
        let mut process = Self { child, stream, left: MOST_READ, walls: Walls { landlock: false } };
        match frame::hello(&mut Timed { stream: &process.stream, until: Instant::now() + START }) {
            Ok(Hello::Confined { landlock }) => {
                process.walls = Walls { landlock };
                Ok(process)
            }
            Ok(Hello::NoSeccomp) => Err("the kernel has no seccomp"),
            Err(_) => Err("the process ended at once"),
        }
    }

    fn read(&mut self, content: &[u8], until: Instant, take: &mut dyn FnMut(Item)) -> Result<(), UnreadReason> {
        let mut timed = Timed { stream: &self.stream, until };
        let failed = |failed| match failed {
            Failed::Late => UnreadReason::Time,
            Failed::Gone | Failed::Nonsense => UnreadReason::Crashed,
        };
        let result = frame::ask(&mut timed, content).and_then(|()| {
            loop {
                match frame::answer(&mut timed)? {
                    Answer::Item(item) => take(item),
                    Answer::End => return Ok(()),
                    Answer::Crashed => return Err(Failed::Gone),
                }
            }
        });
        result.map_err(|why| match why {
            // Its own clock is in processor time, and ends it.
            Failed::Gone if self.was_out_of_time() => UnreadReason::Time,
            why => failed(why),
        })
    }

    fn was_out_of_time(&mut self) -> bool {
        use std::os::unix::process::ExitStatusExt;
        // The end of its socket is seen a moment before its own.
        for _ in 0..50 {
            if let Ok(Some(status)) = self.child.try_wait() {
                return status.signal() == Some(rustix::process::Signal::XCPU.as_raw());
            }
            thread::sleep(Duration::from_millis(2));
        }
        false
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself; waited for it is in either case.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The stream with an end in time.
struct Timed<'s> {
    stream: &'s UnixStream,
    until: Instant,
}

impl Timed<'_> {
    fn left(&self) -> io::Result<Duration> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl io::Read for Timed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(Some(self.left()?))?;
        self.stream.read(buffer)
    }
}

impl io::Write for Timed<'_> {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(Some(self.left()?))?;
        self.stream.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
