//! T2: kill -9 at random under load: no message that got its 250 is lost.

use crate::support::{Dice, Gateway, Hop, Tally, under_load};
use std::{
    env, thread,
    time::{Duration, SystemTime},
};

#[test]
fn no_message_that_got_its_250_is_lost() {
    let kills: u64 = env::var("OUTGATE_KILLS").map_or(12, |kills| kills.parse().expect("a number"));
    let seed = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(1, |now| now.as_nanos() as u64);
    let hop = Hop::start();
    let gateway = Gateway::start(hop.address());
    let told = under_load(&gateway, || {
        let mut dice = Dice::new(seed);
        for _ in 0..kills {
            thread::sleep(Duration::from_millis(200 + dice.below(1_800)));
            gateway.kill();
            gateway.launch();
        }
    });
    let tally = Tally::of(&told, &hop, &gateway);
    println!("T2 kills={kills} {tally} seed={seed}");
    tally.assert_nothing_lost(kills);
    gateway.done(&["audit", "verify"]);
}
