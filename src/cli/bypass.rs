//! `outgate bypass`: mail is not judged for a while, or judged again.

use super::{
    Failure,
    arguments::{Arguments, Bypass},
    opening,
};
use crate::{
    audit::{Event, What},
    delivery::alert::Bypassed,
    diagnostic::parse_duration,
    gateway::reviewers,
};
use serde_json::json;
use std::{io::Write, time::Duration};
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Who acts, as the book names them.
const BY: &str = "command line";

/// Longer, somebody has to say again that it is wanted.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

pub fn run(arguments: &Arguments, options: &Bypass) -> Result<u8, Failure> {
    let span = options.span.as_deref().map(span).transpose()?;
    opening::block_on(async {
        let store = opening::store(arguments).await?;
        let said = |error: &dyn std::fmt::Display| Failure::said(error.to_string());
        let (now, seen) = (OffsetDateTime::now_utc(), store.bypassed_until().await.map_err(|error| said(&error))?);
        let until = match span {
            Some(span) => Some(now + span),
            None if options.end => None,
            None => return tell(arguments.json, seen.filter(|until| *until > now)),
        };
        if until.is_none() && seen.is_none() {
            return tell(arguments.json, None);
        }
        let reason = options.reason.as_deref().unwrap_or_default();
        let note = match reason {
            "" => None,
            reason => Some(store.seal_note(None, reason).await.map_err(|error| said(&error))?),
        };
        let (act, told) = match until {
            Some(until) => ("begun", Bypassed::Until { until, reason }),
            None => ("ended", Bypassed::Ended),
        };
        let (notices, _) = opening::writer(arguments)?;
        let letter = notices.bypass(&told, &reviewers(&opening::settings(arguments)?));
        let what = What::Bypass { act: act.into(), until, by: BY.into(), note };
        let written = store.set_bypass(seen, until, letter, Event { at: now, submission: None, what }).await;
        written.map_err(|error| said(&error))?;
        tell(arguments.json, until)
    })
}

fn span(text: &str) -> Result<Duration, Failure> {
    let span = parse_duration(text).filter(|span| *span > Duration::ZERO && *span <= LONGEST);
    span.ok_or_else(|| Failure::said("--for: a time such as 30min or 1h, 24h at most"))
}

fn tell(as_json: bool, until: Option<OffsetDateTime>) -> Result<u8, Failure> {
    let until = until.map(|until| until.format(&Rfc3339).unwrap_or_default());
    let line = match (&until, as_json) {
        (until, true) => json!({ "until": until }).to_string(),
        (Some(until), false) => format!("mail is not judged until {until}; outgate bypass --end has it judged again"),
        (None, false) => "mail is judged".into(),
    };
    writeln!(std::io::stdout(), "{line}").map_err(|error| Failure::said(error.to_string()))?;
    Ok(0)
}
