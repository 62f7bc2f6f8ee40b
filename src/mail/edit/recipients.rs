//! Hiding the recipients: the header no longer names them (RFC 5322 3.6.3, A.1.3). The envelope is unchanged.

use super::{Transport, header::HeaderPlan};
use crate::mail::{ANSWERS, Address, Field, Message, NAMING};
use std::collections::HashSet;

/// An empty group, as the standard's own example of hidden recipients has it.
pub(super) const HIDDEN: &str = "undisclosed-recipients:;";

/// Fields in which an address is the author's, a server's or no mailbox at all: they stay, whatever they name.
const OF_OTHERS: [&str; 21] = [
    "From",
    "Sender",
    "Return-Path",
    "Received",
    "Resent-From",
    "Resent-Sender",
    "Resent-Date",
    "Resent-Message-ID",
    "Date",
    "Subject",
    "Message-ID",
    "In-Reply-To",
    "References",
    "MIME-Version",
    "DKIM-Signature",
    "Authentication-Results",
    "ARC-Seal",
    "ARC-Message-Signature",
    "ARC-Authentication-Results",
    "Received-SPF",
    "Autocrypt",
];

/// What may stand in To: an address outside ASCII only where the transport carries it (RFC 6531 3.4).
pub(super) fn writable(address: &Address, transport: Transport) -> Option<&Address> {
    (address.as_str().is_ascii() || transport.smtputf8).then_some(address)
}

/// To names nobody, or `shown` alone. Whether anything changed.
pub(super) fn hide(message: &Message, plan: &mut HeaderPlan<'_>, shown: Option<&Address>) -> bool {
    let hidden = hidden(message, plan);
    let wanted = shown.map_or(HIDDEN, |shown| shown.as_str());
    let named: Vec<_> = NAMING.iter().flat_map(|name| plan.fields(name)).collect();
    let only = if named.len() == 1 { named.first() } else { None };
    let is_so = only.is_some_and(|field| {
        let value = message.read(field.value.clone());
        message.read(field.name.clone()).eq_ignore_ascii_case(b"to")
            && value.trim_ascii().eq_ignore_ascii_case(wanted.as_bytes())
    });
    let field = format!("To: {wanted}");
    let mut changed = !is_so && plan.replace_all("To", &NAMING, &field);
    if !is_so && !changed && shown.is_some() {
        plan.add("To", &field);
        changed = true;
    }
    plan.revise(|field| revised(message, field, &hidden)) || changed
}

/// Everybody whom a field that goes has named, but the author.
fn hidden(message: &Message, plan: &HeaderPlan<'_>) -> HashSet<String> {
    let fields = NAMING.iter().flat_map(|name| plan.fields(name));
    let mut hidden: HashSet<String> = fields.flat_map(|field| message.addresses_in(field)).collect();
    hidden.extend(message.shown_recipients());
    for author in ["From", "Sender"].iter().flat_map(|name| message.mailboxes(name)) {
        hidden.remove(&author.folded());
    }
    hidden
}

/// What a field becomes that would give the recipients away: an answer goes to the others whom it names, any other goes.
fn revised(message: &Message, field: &Field, hidden: &HashSet<String>) -> Option<Option<String>> {
    let name = message.read(field.name.clone());
    let is_of_others = message.is_named(field, &OF_OTHERS)
        || name.get(..8).is_some_and(|start| start.eq_ignore_ascii_case(b"content-"));
    if hidden.is_empty() || is_of_others || message.is_named(field, &NAMING) {
        return None;
    }
    let value = message.read(field.value.clone());
    if !value.iter().any(|byte| matches!(byte, b'@' | b'?')) {
        return None;
    }
    let shown = message.addresses_in(field);
    let gives_away = shown.iter().any(|address| hidden.contains(address));
    if !message.is_named(field, &ANSWERS) {
        return gives_away.then_some(None);
    }
    // One address is where the author wants answers.
    if !gives_away || shown.len() < 2 {
        return None;
    }
    let others: Vec<_> =
        message.mailboxes_of(field).into_iter().filter(|address| !hidden.contains(&address.folded())).collect();
    let list: Vec<&str> = others.iter().map(Address::as_str).collect();
    Some((!list.is_empty()).then(|| list.join(", ")))
}
