//! Faults of the kernel, real to the process: strace answers its system calls, or lets them wait.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

/// At work until it is dropped.
pub struct Strace {
    child: Child,
}

impl Strace {
    /// `inject` as strace's option takes it: `fsync,fdatasync:error=EIO`.
    pub fn inject(pid: u32, inject: &str) -> Self {
        let calls = inject.split(':').next().expect("calls");
        let mut child = Command::new("strace")
            // It ends at the first signal, whatever the process is doing.
            .args([
                "-f",
                "-I",
                "1",
                "-o",
                "/dev/null",
                "-e",
                &format!("trace={calls}"),
                "-e",
                &format!("inject={inject}"),
            ])
            .args(["-p", &pid.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("strace is installed");
        // It says so when it has all threads.
        let mut said = String::new();
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe"));
        while !said.contains("attached") {
            assert!(lines.read_line(&mut said).is_ok_and(|bytes| bytes > 0), "strace: {said}");
        }
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Self { child }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        // Not SIGINT: whoever was started in the background by a shell ignores it, and so would strace. The kernel lets go of the
        // process when its tracer ends.
        let _ = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status();
        let _ = self.child.wait();
    }
}
