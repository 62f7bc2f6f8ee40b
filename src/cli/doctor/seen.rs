//! `own-domains` against the senders that were seen.

use super::Finding;
use crate::{
    audit::{Event, What},
    config::Loaded,
    quarantine::{CaseFilter, CaseStore},
    store::Store,
};
use std::collections::BTreeMap;
use time::OffsetDateTime;

/// Links of the book, and cases, that are looked at: the newest.
const LINKS: u64 = 2_000;
const CASES: usize = 1_000;
const NAMED: usize = 5;

pub(super) async fn senders(store: &Store, loaded: &Loaded) -> Vec<Finding> {
    let (Ok((judged, incoming)), Ok(foreign)) = (counted(store).await, foreign(store, loaded).await) else {
        return vec![Finding::skipped("own-domains", "the store does not answer")];
    };
    let own = loaded.own_domains().join(", ");
    let mut findings = Vec::new();
    findings.push(match (judged, incoming) {
        (0, 0) => Finding::skipped("own-domains", format!("{own}; no mail was seen yet")),
        (0, _) => Finding::bad(
            "own-domains",
            format!("{own}; of the last mail all {incoming} were incoming and none was judged"),
            "is a domain of yours missing in own-domains, or does your mail server hand over incoming mail alone?",
        ),
        _ => Finding::good(
            "own-domains",
            format!("{own}; of the last mail {judged} were judged, {incoming} were incoming"),
        ),
    });
    if !foreign.is_empty() {
        let mut most: Vec<_> = foreign.into_iter().collect();
        most.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        let named: Vec<_> = most.iter().take(NAMED).map(|(domain, times)| format!("{domain} ({times})")).collect();
        findings.push(Finding::warning(
            "own-domains",
            format!("senders of held mail that are not yours: {}", named.join(", ")),
            "if one of these domains is yours, write it in own-domains; else it is forwarded or forged mail",
        ));
    }
    findings
}

/// A bypass is on: nothing that the other checks say holds meanwhile.
pub(super) async fn bypassed(store: &Store, now: OffsetDateTime) -> Option<Finding> {
    let until = store.bypassed_until().await.ok()??;
    (until > now).then(|| {
        let text = format!("mail is not judged until {until}");
        Finding::bad("bypass", text, "outgate bypass --end, once what it was begun for is mended")
    })
}

/// Messages that were judged, and incoming ones.
async fn counted(store: &Store) -> Result<(u64, u64), crate::intake::StoreDown> {
    let mut after = store.newest_link().await?.saturating_sub(LINKS);
    let (mut judged, mut incoming) = (0, 0);
    loop {
        let links = store.links(after).await?;
        let Some(last) = links.last() else { return Ok((judged, incoming)) };
        after = last.number;
        for event in links.iter().flat_map(|link| events(&link.events)) {
            match event.what {
                What::Received { incoming: true, .. } => incoming += 1,
                What::Judged { .. } => judged += 1,
                _ => {}
            }
        }
    }
}

/// What a link says. Of an event that a newer version wrote nothing is known.
pub(super) fn events(link: &[u8]) -> Vec<Event> {
    let values: Vec<serde_json::Value> = serde_json::from_slice(link).unwrap_or_default();
    values.into_iter().filter_map(|value| serde_json::from_value(value).ok()).collect()
}

async fn foreign(store: &Store, loaded: &Loaded) -> Result<BTreeMap<String, usize>, crate::intake::StoreDown> {
    let cases = store.list(CaseFilter { limit: CASES, ..CaseFilter::default() }).await?;
    let mut foreign = BTreeMap::new();
    for sender in cases.iter().filter_map(|case| case.face.as_ref()?.envelope.sender.address.as_ref()) {
        if !loaded.ruleset.house().owns(sender) {
            *foreign.entry(sender.domain().to_lowercase()).or_insert(0) += 1;
        }
    }
    Ok(foreign)
}
