//! The reader's side: confine yourself, then read one attachment after the other until nobody asks any more.

use super::{
    confine,
    frame::{self, Answer, Hello},
};
use crate::detect::inside;
use std::{
    fs::File,
    io,
    os::fd::AsFd,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Runs on standard input, which is a socket in both directions. Comes back when the other end is closed.
pub fn serve() -> io::Result<()> {
    let mut stream = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let confined = confine::confine(&stream);
    let hello = confined.map_or(Hello::NoSeccomp, |landlock| Hello::Confined { landlock });
    frame::say_hello(&mut stream, &hello)?;
    if matches!(hello, Hello::NoSeccomp) {
        return Ok(());
    }
    while let Some(content) = frame::asked(&mut stream) {
        confine::allow_processor_time();
        let read = || {
            inside::read_attachment(&content, &mut |item| {
                // Nobody listens any more: what is read now is for nobody.
                if frame::tell(&mut &stream, &Answer::Item(item)).is_err() {
                    std::process::exit(1);
                }
            });
        };
        let end = match catch_unwind(AssertUnwindSafe(read)) {
            Ok(()) => Answer::End,
            Err(_) => Answer::Crashed,
        };
        frame::tell(&mut stream, &end)?;
        if matches!(end, Answer::Crashed) {
            break;
        }
    }
    Ok(())
}
