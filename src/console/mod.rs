//! Room 9, console: the reviewers' desk. So far a window into it: the list of cases and a page for each, read only.
//!
//! In: requests of a browser on this machine; cases from the store. Out: pages without scripts, and a record of each
//! case that was looked at. Never: a change to a case, a word of a message that is not escaped, a page for another
//! machine or under another name than ours.
//!
//! There is no sign-in yet. So `outgate demo` serves this, for its invented messages; `outgate serve` must not, until
//! people have accounts and see only the cases of their desks.

mod guard;
mod page;
#[cfg(test)]
mod tests;

use crate::{
    audit::{Book, Event, What},
    mail::SubmissionId,
    quarantine::{CaseError, CaseFilter, CaseStore},
};
use askama::Template;
use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header},
    middleware,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use page::{CasePage, ListPage, TextPage};
use std::{future::Future, io, sync::Arc};
use time::OffsetDateTime;
use tokio::net::TcpListener;

/// Cases on the list: the newest. Paging comes with the desk itself.
const LISTED: usize = 200;

/// Who looks, as the book names them.
const BY: &str = "console of the demo, nobody signed in";

/// Serves until `stop` ends. Refuses to start on an address that other machines can reach.
pub async fn serve<S>(
    listener: TcpListener,
    store: S,
    stop: impl Future<Output = ()> + Send + 'static,
) -> io::Result<()>
where
    S: CaseStore + Book,
{
    let address = listener.local_addr()?;
    if !address.ip().is_loopback() {
        return Err(io::Error::other("the console has no sign-in yet and listens on loopback alone"));
    }
    axum::serve(listener, routes(Arc::new(store), guard::Names::of(address))).with_graceful_shutdown(stop).await
}

fn routes<S: CaseStore + Book>(store: Arc<S>, names: guard::Names) -> Router {
    Router::new()
        .route("/", get(list::<S>))
        .route("/case/{id}", get(case::<S>))
        .route("/style.css", get(style))
        .fallback(|| std::future::ready(said(StatusCode::NOT_FOUND, "There is no such page.")))
        .with_state(store)
        .layer(middleware::from_fn_with_state(Arc::new(names), guard::guard))
}

async fn list<S: CaseStore>(State(store): State<Arc<S>>) -> Response {
    match store.list(CaseFilter { limit: LISTED, ..CaseFilter::default() }).await {
        Ok(cases) => shown(&ListPage::of(&cases, OffsetDateTime::now_utc())),
        Err(_) => down(),
    }
}

async fn case<S: CaseStore + Book>(State(store): State<Arc<S>>, Path(id): Path<String>) -> Response {
    let unknown = || said(StatusCode::NOT_FOUND, "No case has this number.");
    let Ok(id) = id.parse::<SubmissionId>() else { return unknown() };
    let now = OffsetDateTime::now_utc();
    let case = match store.open(id).await {
        Ok(case) => case,
        Err(CaseError::Unknown) => return unknown(),
        Err(CaseError::Down(_)) => return down(),
        Err(error) => return said(StatusCode::INTERNAL_SERVER_ERROR, &format!("Case {id}: {error}.")),
    };
    // Nobody looks unrecorded.
    let viewed = Event { at: now, submission: Some(id), what: What::Viewed { by: BY.into() } };
    if store.append(vec![viewed]).await.is_err() {
        return down();
    }
    shown(&CasePage::of(&case, now))
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], include_str!("pages/style.css")).into_response()
}

fn down() -> Response {
    said(StatusCode::SERVICE_UNAVAILABLE, "The store does not answer. Try again in a minute; the log says why.")
}

/// A page of one sentence.
fn said(status: StatusCode, text: &str) -> Response {
    (status, shown(&TextPage { text })).into_response()
}

fn shown(page: &impl Template) -> Response {
    match page.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            tracing::error!(%error, "A page could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
