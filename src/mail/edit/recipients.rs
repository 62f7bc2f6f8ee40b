//! Hiding the recipients: the header no longer names them (RFC 5322 3.6.3, A.1.3). The envelope is unchanged.

use super::header::HeaderPlan;
use crate::mail::Message;

/// Every field by which readers and clients learn recipients.
pub(super) const NAMING: [&str; 7] = ["To", "Cc", "Bcc", "Resent-To", "Resent-Cc", "Resent-Bcc", "Apparently-To"];

/// An empty group, as the standard's own example of hidden recipients has it.
pub(super) const HIDDEN: &str = "undisclosed-recipients:;";

/// Whether anything changed.
pub(super) fn hide(message: &Message, plan: &mut HeaderPlan<'_>) -> bool {
    let named: Vec<_> = NAMING.iter().flat_map(|name| plan.fields(name)).collect();
    let only = if named.len() == 1 { named.first() } else { None };
    let hidden_already = only.is_some_and(|field| {
        let value = message.read(field.value.clone());
        message.read(field.name.clone()).eq_ignore_ascii_case(b"to")
            && value.trim_ascii().eq_ignore_ascii_case(HIDDEN.as_bytes())
    });
    !hidden_already && plan.replace_all("To", &NAMING, &format!("To: {HIDDEN}"))
}
