//! The demo without `--once` serves its cases to a browser and ends in order at Ctrl-C.

#![allow(clippy::unwrap_used)]

use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    process::{Child, Command, Stdio},
    time::Duration,
};

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails when it has ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_demo_serves_its_cases_until_it_is_ended() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_outgate"));
    command.arg("demo").stdout(Stdio::null()).stderr(Stdio::piped());
    let mut demo = Running(command.spawn().unwrap());
    // Kept open: what the demo says next must not meet a closed pipe.
    let mut lines = BufReader::new(demo.0.stderr.take().unwrap()).lines().map(Result::unwrap);
    let url = lines.find(|line| line.trim().starts_with("http://")).expect("the console's address");
    let address = url.trim().trim_start_matches("http://").trim_end_matches('/').to_string();

    let mut stream = TcpStream::connect(&address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    assert!(page.contains("wait for a person") && page.matches("/case/").count() > 3, "{page}");

    // A browser's idle connection does not keep it from ending.
    let _idle = TcpStream::connect(&address).unwrap();
    kill_process(Pid::from_child(&demo.0), Signal::INT).unwrap();
    let ended = (0..400).find_map(|_| {
        std::thread::sleep(Duration::from_millis(50));
        demo.0.try_wait().unwrap()
    });
    assert!(ended.expect("it ends within 20 s").success());
}
