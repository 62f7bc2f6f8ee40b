//! The doors over loopback, with a corridor and a next hop of our own behind it.

#![allow(clippy::unwrap_used)]

#[path = "door/auth.rs"]
mod auth;
#[path = "door/certificates.rs"]
mod certificates;
#[path = "door/clients.rs"]
mod clients;
#[path = "door/corridor.rs"]
mod corridor;
#[path = "door/house.rs"]
mod house;
#[path = "door/milter.rs"]
mod milter;
#[path = "support/mta.rs"]
#[allow(dead_code, reason = "another test binary uses the rest")]
mod mta;
#[path = "door/peers.rs"]
mod peers;
#[path = "door/stories.rs"]
mod stories;
#[path = "door/tls.rs"]
mod tls;
#[path = "door/transcript.rs"]
mod transcript;

/// Each file in `tests/door/` is a session, played word for word.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn transcripts() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/door");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "txt"));
    paths.sort();
    assert!(paths.len() > 15, "where are the transcripts?");
    let mut failed = Vec::new();
    for path in paths {
        let playing = path.clone();
        if tokio::spawn(async move { transcript::play(&playing).await }).await.is_err() {
            failed.push(path.file_name().unwrap().to_owned());
        }
    }
    assert!(failed.is_empty(), "failed: {failed:?}");
}
